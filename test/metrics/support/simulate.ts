/**
 * Simulations with a known truth: how often intervals hold it, how often nothing is called something. The tests run them
 * with few replicates; `print-simulations.ts` prints the tables of docs/statistics.md with many.
 */
import { type CrossedArray, crossedDifference, crossedMean, type Inference, infer } from "#lib/metrics/crossed.js";
import { equivalenceP } from "#lib/metrics/equivalence.js";
import { crossedRatio } from "#lib/metrics/fieller.js";
import { relabelledMaxT } from "#lib/metrics/max-t.js";
import { fitVariancePrior, moderate } from "#lib/metrics/moderated.js";
import { type Random, random } from "./random.js";

/** y_sk = mean + a_s + b_c + g_k + e_sk: runs, clusters, prompts within a cluster, and the rest. */
export interface World {
  runs: number;
  clusters: number;
  /** Items of each cluster: drawn evenly from 1 to this; default 1. */
  largestCluster?: number;
  mean?: number;
  /** Standard deviations. */
  run: number;
  prompt: number;
  rest: number;
  /** Of prompt effects; default normal. */
  shape?: "normal" | "skewed";
}

export function simulateArray(world: World, draw: Random, group = "runs", prefix = "c"): CrossedArray {
  const { runs, clusters: C, largestCluster = 1, mean = 0, shape = "normal" } = world;
  const counts = Float64Array.from({ length: C }, () => 1 + Math.floor(draw.uniform() * largestCluster));
  const sums = new Float64Array(runs * C);
  const ofPrompt = Float64Array.from({ length: C }, () => world.prompt * draw[shape]());
  for (let s = 0; s < runs; s++) {
    const ofRun = world.run * draw.normal();
    for (let c = 0; c < C; c++) {
      let sum = 0;
      for (let k = 0; k < counts[c]!; k++) sum += mean + ofRun + ofPrompt[c]! + world.rest * draw.normal();
      sums[s * C + c] = sum;
    }
  }
  return { group, runs, clusters: Array.from({ length: C }, (_, c) => `${prefix}${c}`), counts, sums };
}

export interface Coverage {
  replicates: number;
  held: number;
  /** Mean width. */
  width: number;
}

export function coverageOf(
  replicates: number,
  seed: number,
  truth: number,
  interval: (draw: Random, replicate: number) => { low: number | null; high: number | null } | null,
): Coverage {
  const draw = random(seed);
  let held = 0;
  let width = 0;
  let counted = 0;
  for (let replicate = 0; replicate < replicates; replicate++) {
    const made = interval(draw, replicate);
    if (made === null) continue;
    counted++;
    held += made.low! <= truth && truth <= made.high! ? 1 : 0;
    width += (made.high! - made.low!) / replicates;
  }
  return { replicates: counted, held, width };
}

/** Of the crossed interval. With one run the truth is that run's own mean, so σ_run is 0 there. */
export function crossedCoverage(world: World, replicates: number, seed: number): Coverage {
  const own = world.runs === 1 ? { ...world, run: 0 } : world;
  return coverageOf(replicates, seed, world.mean ?? 0, (draw) => infer(crossedMean(simulateArray(own, draw))));
}

/** Percentiles of an uncorrected pigeonhole bootstrap, for comparison. */
export function percentileCoverage(world: World, replicates: number, seed: number, resamples = 400): Coverage {
  return coverageOf(replicates, seed, world.mean ?? 0, (draw) => {
    const { runs: S, clusters, sums, counts } = simulateArray(world, draw);
    const C = clusters.length;
    const means = Float64Array.from({ length: resamples }, () => {
      const rows = Array.from({ length: S }, () => Math.floor(draw.uniform() * S));
      let sum = 0;
      let items = 0;
      for (let c = 0; c < C; c++) {
        const column = Math.floor(draw.uniform() * C);
        items += S * counts[column]!;
        for (const row of rows) sum += sums[row * C + column]!;
      }
      return sum / items;
    }).sort();
    return { low: means[Math.floor(0.025 * resamples)]!, high: means[Math.ceil(0.975 * resamples) - 1]! };
  });
}

/** Of induced minus control: runs of their own, prompts in common, and a prompt's response to each its own. */
export function differenceCoverage(world: World, controlRuns: number, replicates: number, seed: number): Coverage {
  return coverageOf(replicates, seed, world.mean ?? 0, (draw) => {
    const induced = simulateArray(world, draw, "induced");
    const control = simulateArray({ ...world, runs: controlRuns, mean: 0 }, draw, "control");
    return infer(crossedDifference(crossedMean(induced), crossedMean(control)));
  });
}

export interface ModeratedWorld extends World {
  cells: number;
  /** Degrees of freedom of the truth: σ²_g = priorDf · run² / χ²_priorDf; Infinity makes all cells alike. */
  priorDf: number;
}

/** Of moderated and plain intervals over cells whose run variances are drawn from the model's prior. */
export function moderatedCoverage(
  world: ModeratedWorld,
  replicates: number,
  seed: number,
): { plain: Coverage; moderated: Coverage } {
  const draw = random(seed);
  const plain: Coverage = { replicates: 0, held: 0, width: 0 };
  const moderated: Coverage = { replicates: 0, held: 0, width: 0 };
  const count = (into: Coverage, { low, high }: Inference): void => {
    into.replicates++;
    into.held += low! <= 0 && 0 <= high! ? 1 : 0;
    into.width += (high! - low!) / (replicates * world.cells);
  };
  for (let replicate = 0; replicate < replicates; replicate++) {
    const estimates = Array.from({ length: world.cells }, () => {
      const scale = Number.isFinite(world.priorDf) ? Math.sqrt(world.priorDf / draw.chiSquare(world.priorDf)) : 1;
      return crossedMean(simulateArray({ ...world, run: world.run * scale }, draw));
    });
    const samples = estimates.map(({ groups }) => {
      const { byRun, runs } = groups[0]!;
      return { variance: byRun.reduce((sum, value) => sum + value ** 2, 0) / (runs - 1), df: runs - 1 };
    });
    const prior = fitVariancePrior(samples);
    for (const [index, estimate] of estimates.entries()) {
      count(plain, infer(estimate));
      const better = moderate(samples[index]!, prior);
      const runVariance = () => ({ variance: better.variance / world.runs, df: better.df });
      count(moderated, infer(estimate, { runVariance }));
    }
  }
  return { plain, moderated };
}

/** Of the ratio of two means of the same runs on other prompts, where it is not blank; and how often it is blank. */
export function ratioCoverage(
  world: World,
  { target, ratio, correlation }: { target: number; ratio: number; correlation: number },
  replicates: number,
  seed: number,
): Coverage & { blank: number } {
  const made = coverageOf(replicates, seed, ratio, (draw) => {
    const own = Array.from({ length: world.runs }, () => draw.normal());
    const column = (mean: number, prefix: string): CrossedArray => {
      const array = simulateArray({ ...world, run: 0, mean }, draw, "runs", prefix);
      const C = array.clusters.length;
      const sums = Float64Array.from(array.sums);
      for (let s = 0; s < world.runs; s++) {
        const ofRun = world.run * (correlation * own[s]! + Math.sqrt(1 - correlation ** 2) * draw.normal());
        for (let c = 0; c < C; c++) sums[s * C + c]! += array.counts[c]! * ofRun;
      }
      return { ...array, sums };
    };
    const found = crossedRatio(crossedMean(column(ratio * target, "n")), crossedMean(column(target, "d")));
    return found.kind === "ratio" ? found : null;
  });
  return { ...made, blank: replicates - made.replicates };
}

/** How often |mean| ≥ margin is denied at 5 %, where the mean is `mean`. At mean = margin that is an error. */
export function equivalenceRate(world: World, margin: number, replicates: number, seed: number): number {
  const draw = random(seed);
  let found = 0;
  for (let replicate = 0; replicate < replicates; replicate++)
    found += equivalenceP(infer(crossedMean(simulateArray(world, draw))), margin)! < 0.05 ? 1 : 0;
  return found / replicates;
}

/** How often |mean| is found to differ from 0 at 5 %. */
export function detectionRate(world: World, replicates: number, seed: number): number {
  const draw = random(seed);
  let found = 0;
  for (let replicate = 0; replicate < replicates; replicate++)
    found += infer(crossedMean(simulateArray(world, draw))).p! < 0.05 ? 1 : 0;
  return found / replicates;
}

/**
 * Share of studies in which max-T finds any of the cells that do not differ from random-subset runs: `rows` induced
 * values, each with `runs` runs over `columns` correlated cells, the first `moved` of which do move, by 5 standard
 * deviations. Bonferroni over rows, as the study has it.
 */
export function maxTErrorRate(
  {
    rows,
    runs,
    nullRuns,
    columns,
    moved,
  }: { rows: number; runs: number; nullRuns: number; columns: number; moved: number },
  replicates: number,
  seed: number,
): number {
  const draw = random(seed);
  const run = (shift: number): number[] => {
    const common = draw.normal();
    return Array.from({ length: columns }, (_, j) => (j < moved ? shift : 0) + 0.7 * common + 0.71 * draw.skewed());
  };
  let wrong = 0;
  for (let replicate = 0; replicate < replicates; replicate++) {
    const nulls = Array.from({ length: nullRuns }, () => run(0));
    const found = Array.from({ length: rows }, () => {
      const adjusted = relabelledMaxT(
        Array.from({ length: runs }, () => run(5)),
        nulls,
        { most: 1000, seed: replicate },
      );
      return adjusted.slice(moved).some((p) => rows * p <= 0.05);
    });
    wrong += found.some(Boolean) ? 1 : 0;
  }
  return wrong / replicates;
}
