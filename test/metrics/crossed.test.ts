/** Means over runs × prompts: against analysis of variance, against definitions, and for coverage of a known truth. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type CrossedArray,
  combine,
  crossedDifference,
  crossedMean,
  crossedVariance,
  infer,
} from "#lib/metrics/crossed.js";
import { crossedBootstrap } from "#lib/metrics/crossed-bootstrap.js";
import { studentQuantile } from "#lib/metrics/distributions.js";
import { assertClose, GOLDEN } from "./support/golden.js";
import { random } from "./support/random.js";
import {
  type Coverage,
  crossedCoverage,
  detectionRate,
  differenceCoverage,
  simulateArray,
  type World,
} from "./support/simulate.js";

/** One item in each cluster. */
function arrayOf(y: number[][], group = "runs"): CrossedArray {
  const clusters = y[0]!.map((_, k) => `c${k}`);
  return { group, runs: y.length, clusters, counts: clusters.map(() => 1), sums: y.flat() };
}

describe("crossedMean", () => {
  it("takes its variance apart as a two-way analysis of variance does", () => {
    for (const { y, mean, run, prompt, rest } of GOLDEN.anova) {
      const estimate = crossedMean(arrayOf(y));
      const parts = crossedVariance(estimate);
      assertClose(estimate.estimate, mean, 1e-12, "mean");
      assertClose(parts.runs[0]!.variance, run, 1e-10, "runs");
      assertClose(parts.clusters!.variance, prompt, 1e-10, "clusters");
      assertClose(parts.interactions[0]!.variance, rest, 1e-10, "interaction");
      const [S, K] = [y.length, y[0]!.length];
      const ofRuns = run / (run + prompt - rest);
      const df = 1 / (ofRuns / (S - 1) + (1 - ofRuns) / (K - 1));
      const { standardError, low, high } = infer(estimate);
      assertClose(standardError! ** 2, run + prompt - rest, 1e-10, "V");
      assertClose((high! - low!) / 2, studentQuantile(0.975, df) * standardError!, 1e-10, "half the width");
    }
  });

  it("has the cluster-robust variances of a regression where clusters are unequal", () => {
    const { counts, y, mean, run, cluster } = GOLDEN.clusters;
    const clusters = counts.map((_, c) => `c${c}`);
    const sums: number[] = [];
    let at = 0;
    for (let s = 0; s < 6; s++)
      for (const count of counts) {
        sums.push(y.slice(at, at + count).reduce((sum, value) => sum + value, 0));
        at += count;
      }
    const estimate = crossedMean({ group: "runs", runs: 6, clusters, counts, sums });
    const parts = crossedVariance(estimate);
    assertClose(estimate.estimate, mean, 1e-12, "mean");
    assertClose(parts.runs[0]!.variance, run, 1e-10, "runs");
    assertClose(parts.clusters!.variance, cluster, 1e-10, "clusters");
  });

  it("is a paired t test of runs where all prompts are alike, and of prompts where there is one run", () => {
    const runs = infer(
      crossedMean(
        arrayOf([
          [1, 1],
          [2, 2],
          [4, 4],
        ]),
      ),
    );
    assertClose(runs.standardError!, Math.sqrt(7 / 3 / 3), 1e-12, "runs");
    assert.deepEqual([runs.over, runs.runs], ["runs and prompts", 3]);
    const single = infer(crossedMean(arrayOf([[1, 2, 4]])));
    assertClose(single.standardError!, Math.sqrt(7 / 3 / 3), 1e-12, "prompts");
    assertClose(single.df!, 2, 1e-12, "df");
    assert.deepEqual([single.over, single.runs], ["prompts", 1]);
  });

  it("leaves out 0 exactly where p is below 1 − confidence", () => {
    const draw = random(4);
    for (let replicate = 0; replicate < 200; replicate++) {
      const world = { runs: 1 + (replicate % 4), clusters: 9, mean: 0.6, run: 0.3, prompt: 1, rest: 0.5 };
      const { low, high, p } = infer(crossedMean(simulateArray(world, draw)), { confidence: 0.9 });
      assert.equal(p! < 0.1, low! > 0 || high! < 0);
    }
  });

  it("has no interval where nothing could be drawn again, and refuses what has no mean", () => {
    const { estimate, low, high, p, over } = infer(crossedMean(arrayOf([[2.5]])));
    assert.deepEqual([estimate, low, high, p, over], [2.5, null, null, null, "nothing"]);
    assert.equal(infer(crossedMean(arrayOf([[1], [2]]))).over, "runs");
    const flat = infer(
      crossedMean(
        arrayOf([
          [3, 3],
          [3, 3],
        ]),
      ),
    );
    assert.deepEqual([flat.low, flat.high, flat.p], [3, 3, 0]);
    assert.throws(() => crossedMean(arrayOf([[1, Number.NaN]])), RangeError);
    assert.throws(() => crossedMean({ ...arrayOf([[1, 2]]), sums: [1] }), RangeError);
    assert.throws(() => crossedMean({ ...arrayOf([[]]), clusters: [], counts: [], sums: [] }), RangeError);
  });

  it("lets shared prompts and runs cancel in a difference", () => {
    const draw = random(9);
    const y = Array.from({ length: 4 }, () => Array.from({ length: 10 }, () => draw.normal()));
    const one = crossedMean(arrayOf(y));
    const same = infer(crossedDifference(one, one));
    assert.deepEqual([same.estimate, same.standardError], [0, 0]);
    const shifted = crossedMean(
      arrayOf(
        y.map((row) => row.map((value, k) => value + k)),
        "others",
      ),
    );
    const { clusters } = crossedVariance(crossedDifference(shifted, one));
    // The prompts differ by 0 … 9, whose variance is 55/6, in a mean of 10.
    assertClose(clusters!.variance, 55 / 6 / 10, 1e-10, "prompt part of the difference");
    assert.throws(
      () =>
        combine([
          { weight: 1, of: one },
          { weight: 1, of: crossedMean(arrayOf(y.slice(1))) },
        ]),
      RangeError,
    );
  });
});

describe("crossedBootstrap", () => {
  it("has the closed form as its limit for a mean, of one arm and of a difference", () => {
    const draw = random(11);
    const world = { clusters: 12, largestCluster: 3, run: 0.6, prompt: 1, rest: 1 };
    const [a, b] = [simulateArray({ ...world, runs: 4 }, draw, "a"), simulateArray({ ...world, runs: 3 }, draw, "b")];
    b.counts = a.counts;
    const mean = ({ runs, counts, sums }: CrossedArray, byRun: Float64Array, byCluster: Float64Array): number => {
      let [sum, weight] = [0, 0];
      for (let s = 0; s < runs; s++)
        for (let c = 0; c < counts.length; c++) {
          sum += byRun[s]! * byCluster[c]! * sums[s * counts.length + c]!;
          weight += byRun[s]! * byCluster[c]! * counts[c]!;
        }
      return sum / weight;
    };
    const options = { resamples: 20_000, seed: 3 };
    const one = crossedBootstrap(({ runs, clusters }) => mean(a, runs[0]!, clusters), [4], 12, options);
    const exact = infer(crossedMean(a));
    // Unequal clusters make the mean a ratio, whose linear part the closed form has: a few percent apart on 12 clusters.
    assertClose(one.standardError!, exact.standardError!, 0.05, "standard error");
    assertClose(one.df!, exact.df!, 0.15, "degrees of freedom");
    const even = (array: CrossedArray): CrossedArray => ({ ...array, counts: new Float64Array(12).fill(1) });
    const both = crossedBootstrap(
      ({ runs, clusters }) => mean(even(a), runs[0]!, clusters) - mean(even(b), runs[1]!, clusters),
      [4, 3],
      12,
      options,
    );
    const difference = infer(crossedDifference(crossedMean(even(a)), crossedMean(even(b))));
    assertClose(both.estimate, difference.estimate, 1e-10, "difference");
    // Monte Carlo error of a standard deviation from 20,000 draws: 0.5 %, of each of five parts.
    assertClose(both.standardError!, difference.standardError!, 0.03, "standard error of the difference");
    assertClose(both.df!, difference.df!, 0.08, "degrees of freedom of the difference");
  });
});

/** 2,000 replicates: the standard error of a coverage of 0.95 is 0.005. */
const REPLICATES = 2000;

function assertCoverage({ held, replicates }: Coverage, what: string): void {
  const share = held / replicates;
  assert.ok(share >= 0.93 && share <= 0.97, `${what}: ${share.toFixed(4)} of ${replicates} intervals hold the truth`);
}

describe("the crossed interval on simulated truth", () => {
  const worlds: Record<string, Omit<World, "runs" | "clusters">> = {
    "runs differ most": { run: 0.3, prompt: 1, rest: 1 },
    "as much from runs as from prompts": { run: 0.1, prompt: 1.4, rest: 0.5 },
    "prompts differ most": { run: 0.02, prompt: 1, rest: 0.3 },
    "clusters of up to five, skewed prompts": { run: 0.2, prompt: 1, rest: 1, largestCluster: 5, shape: "skewed" },
  };
  for (const [name, world] of Object.entries(worlds))
    it(`holds the truth in 93 to 97 % of studies with 1, 3 and 5 runs on 200 prompts: ${name}`, () => {
      for (const runs of [1, 3, 5])
        assertCoverage(crossedCoverage({ ...world, runs, clusters: 200 }, REPLICATES, 100 + runs), `${runs} runs`);
    });

  it("holds the truth of induced minus control", () => {
    const world = { runs: 3, clusters: 100, run: 0.2, prompt: 1, rest: 1, mean: 0.5 };
    assertCoverage(differenceCoverage(world, 5, REPLICATES, 21), "3 runs against 5");
  });

  it("finds nothing where there is nothing in 95 % of studies", () => {
    // Error of the rate: 0.005.
    const rate = detectionRate({ runs: 3, clusters: 200, run: 0.2, prompt: 1, rest: 1 }, REPLICATES, 31);
    assert.ok(rate >= 0.03 && rate <= 0.07, `false positive rate ${rate}`);
  });
});
