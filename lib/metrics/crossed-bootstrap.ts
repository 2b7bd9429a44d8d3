/** The pigeonhole bootstrap over runs × clusters, for estimates that are no means; crossed.ts says what it rests on. */
import { philox } from "../engine/random.js";
import { type CrossedVariance, type Inference, inferFrom } from "./crossed.js";

/** How often each run of a group and each cluster was drawn; 1 everywhere is the sample itself. */
export interface CrossedWeights {
  /** By group. */
  runs: readonly Float64Array[];
  clusters: Float64Array;
}

export interface CrossedBootstrapOptions {
  /** Default 1,000: the standard error's own Monte Carlo error is then about 2 %. */
  resamples?: number;
  confidence?: number;
  seed?: number;
}

/** Keeps these draws apart from others under the same seed. */
const DOMAIN = 0x70696765;

/**
 * Draws clusters, the runs of each group, and both, R times, and puts a t interval on
 *
 *     V = Σ_groups S/(S − 1) var(θ*_runs) + C/(C − 1) var(θ*_clusters) − Σ_groups S C/((S − 1)(C − 1)) var(θ*_rest)
 *
 * with θ*_rest = θ*_both − θ*_runs − θ*_clusters + θ. For a mean this is `infer(crossedMean(…))` up to Monte Carlo error.
 *
 * @param statistic of weighted runs and clusters; smooth in the weights, and finite
 * @param groups number of runs of each group
 * @throws RangeError where the statistic is not finite
 */
export function crossedBootstrap(
  statistic: (weights: CrossedWeights) => number,
  groups: readonly number[],
  clusters: number,
  options: CrossedBootstrapOptions = {},
): Inference {
  const { resamples = 1000, confidence, seed = 0 } = options;
  const evaluate = (weights: CrossedWeights): number => {
    const value = statistic(weights);
    if (!Number.isFinite(value)) throw new RangeError(`the statistic of a resample is ${value}`);
    return value;
  };
  const ones: CrossedWeights = {
    runs: groups.map((runs) => new Float64Array(runs).fill(1)),
    clusters: new Float64Array(clusters).fill(1),
  };
  const estimate = evaluate(ones);
  const ofClusters = new Moments();
  const ofRuns = groups.map(() => new Moments());
  const ofRest = groups.map(() => new Moments());
  for (let resample = 0; resample < resamples; resample++) {
    const drawn = draw(clusters, resample, 0, seed);
    const byClusters = evaluate({ runs: ones.runs, clusters: drawn });
    ofClusters.add(byClusters);
    for (const [index, runs] of groups.entries()) {
      if (runs < 2) continue;
      const drawnRuns = draw(runs, resample, index + 1, seed);
      const own = ones.runs.map((weights, group) => (group === index ? drawnRuns : weights));
      const byRuns = evaluate({ runs: own, clusters: ones.clusters });
      ofRuns[index]!.add(byRuns);
      ofRest[index]!.add(evaluate({ runs: own, clusters: drawn }) - byRuns - byClusters + estimate);
    }
  }
  const C = clusters / (clusters - 1);
  const parts: CrossedVariance = { runs: [], interactions: [], singleRun: groups.some((runs) => runs < 2) };
  if (clusters > 1) parts.clusters = { variance: C * ofClusters.variance(), df: clusters - 1 };
  for (const [index, size] of groups.entries()) {
    if (size < 2) continue;
    const S = size / (size - 1);
    parts.runs.push({ group: String(index), size, variance: S * ofRuns[index]!.variance(), df: size - 1 });
    if (clusters > 1)
      parts.interactions.push({ variance: S * C * ofRest[index]!.variance(), df: (size - 1) * (clusters - 1) });
  }
  return inferFrom(estimate, parts, { confidence, runs: Math.min(...groups), clusters, items: clusters });
}

/** How often each of `size` came up in `size` draws with replacement. */
function draw(size: number, resample: number, stream: number, seed: number): Float64Array {
  const counts = new Float64Array(size);
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] as const;
  for (let drawn = 0; drawn < size; drawn += 4) {
    const block = philox([drawn, resample, stream, DOMAIN], key);
    for (let lane = 0; lane < 4 && drawn + lane < size; lane++) counts[Math.floor((block[lane]! / 2 ** 32) * size)]!++;
  }
  return counts;
}

/** Mean and variance of a stream of numbers (Welford, Technometrics 4, 1962). */
class Moments {
  #n = 0;
  #mean = 0;
  #squares = 0;

  add(value: number): void {
    this.#n++;
    const change = value - this.#mean;
    this.#mean += change / this.#n;
    this.#squares += change * (value - this.#mean);
  }

  variance(): number {
    return this.#squares / (this.#n - 1);
  }
}
