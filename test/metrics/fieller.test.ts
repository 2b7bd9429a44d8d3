/** Ratios: Fieller's bounds against roots found by bracketing, blanks, and coverage of a known ratio. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crossedMean } from "#lib/metrics/crossed.js";
import { crossedRatio, fiellerInterval } from "#lib/metrics/fieller.js";
import { assertClose, GOLDEN } from "./support/golden.js";
import { random } from "./support/random.js";
import { ratioCoverage, simulateArray } from "./support/simulate.js";

describe("Fieller's interval", () => {
  it("ends where the t test of a − ρ b does", () => {
    for (const [a, b, aa, bb, ab, t, low, high] of GOLDEN.fieller) {
      const interval = fiellerInterval(a, b, { aa, bb, ab }, t)!;
      assertClose(interval.low, low, 1e-9, `low of ${a}/${b}`);
      assertClose(interval.high, high, 1e-9, `high of ${a}/${b}`);
    }
  });

  it("is none where the denominator may be 0", () => {
    assert.equal(fiellerInterval(1, 0.5, { aa: 0.1, bb: 0.1, ab: 0 }, 2), null);
    assert.equal(fiellerInterval(1, 0, { aa: 0.1, bb: 0.1, ab: 0 }, 2), null);
  });
});

describe("crossedRatio", () => {
  const draw = random(13);
  const of = (mean: number, prefix: string) =>
    crossedMean(simulateArray({ runs: 4, clusters: 40, mean, run: 0.1, prompt: 1, rest: 0.5 }, draw, "runs", prefix));

  it("of an estimate and itself is 1 with no doubt", () => {
    const own = of(3, "a");
    const found = crossedRatio(own, own);
    assert.ok(found.kind === "ratio");
    assertClose(found.ratio, 1, 1e-12, "ratio");
    assertClose(found.low, 1, 1e-6, "low");
    assertClose(found.high, 1, 1e-6, "high");
  });

  it("is blank, not a number, where the target did not move", () => {
    assert.deepEqual(crossedRatio(of(3, "a"), of(0, "b")), {
      kind: "blank",
      why: "denominator not shown to differ from 0",
    });
    const single = crossedMean({ group: "runs", runs: 1, clusters: ["c"], counts: [1], sums: [2] });
    assert.deepEqual(crossedRatio(single, single), { kind: "blank", why: "no interval" });
  });

  it("holds the true ratio in 93 to 97 % of studies with 3 and 5 runs, correlated or not", () => {
    // 2,000 studies: the error of a coverage of 0.95 is 0.005.
    for (const runs of [3, 5])
      for (const correlation of [0, 0.8]) {
        const world = { runs, clusters: 100, run: 0.15, prompt: 1, rest: 1 };
        const made = ratioCoverage(world, { target: 2, ratio: 0.4, correlation }, 2000, 40 + runs);
        const share = made.held / made.replicates;
        assert.ok(share >= 0.93 && share <= 0.97, `${runs} runs, correlation ${correlation}: ${share}`);
        assert.ok(made.blank <= 100, `${made.blank} blanks`);
      }
  });
});
