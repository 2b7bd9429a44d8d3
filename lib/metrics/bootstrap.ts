/** Confidence intervals of a mean by bootstrap: BCa over independent units, reproducible from a seed. */
import { philox } from "../engine/random.js";
import { normalCdf, normalQuantile } from "./normal.js";

export interface Interval {
  mean: number;
  low: number;
  high: number;
  /** Units that the mean is over. */
  n: number;
}

export interface BootstrapOptions {
  /** Default 2,000: Monte Carlo error of an endpoint is then about 2 % of the interval's width. */
  resamples?: number;
  /** Share of such intervals that hold the true mean; default 0.95. */
  confidence?: number;
  seed?: number;
  /** Different streams of one seed draw independently. */
  stream?: number;
}

/**
 * The mean of `values` with a bias-corrected and accelerated (BCa) bootstrap interval (Efron, "Better Bootstrap
 * Confidence Intervals", JASA 82, 1987; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 14).
 *
 * B means m*_b of n draws with replacement; with Φ the normal distribution function and z_q its q-quantile,
 *
 *     z0 = Φ⁻¹(share of m*_b below the mean, ties counted half)
 *     a  = Σ (m̄ − m_i)³ / 6 (Σ (m̄ − m_i)²)^(3/2)          m_i = mean without value i, m̄ = their mean
 *     endpoint(q) = quantile of m* at Φ(z0 + (z0 + z_q) / (1 − a (z0 + z_q))),  q = (1 ± confidence) / 2
 *
 * Each value has to come from an independent unit (one pair, one cluster mean). With no value the mean is NaN; with one
 * value, or all alike, the interval is the value itself.
 *
 * @throws RangeError for a value that is not finite
 */
export function bootstrapMean(values: readonly number[], options: BootstrapOptions = {}): Interval {
  const { resamples = 2000, confidence = 0.95, seed = 0, stream = 0 } = options;
  const n = values.length;
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new RangeError(`value ${bad} of ${n} is ${values[bad]}; a mean needs finite values`);
  const mean = average(values);
  if (n < 2 || values.every((value) => value === values[0])) return { mean, low: mean, high: mean, n };

  const means = resampledMeans(values, resamples, seed, stream).sort();
  let below = 0;
  for (const value of means) below += value < mean ? 1 : value === mean ? 0.5 : 0;
  // Kept off 0 and 1, where the quantile is infinite: half a resample is the finest that B of them can tell.
  const share = Math.min(Math.max(below / resamples, 0.5 / resamples), 1 - 0.5 / resamples);
  const z0 = normalQuantile(share);
  const a = acceleration(values, mean);
  const endpoint = (q: number): number => {
    const z = z0 + normalQuantile(q);
    return sortedQuantile(means, normalCdf(z0 + z / (1 - a * z)));
  };
  return { mean, low: endpoint((1 - confidence) / 2), high: endpoint((1 + confidence) / 2), n };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Leaving out value i shifts the mean by (mean − value_i) / (n − 1), so the jackknife needs no n² sums. */
function acceleration(values: readonly number[], mean: number): number {
  let squares = 0;
  let cubes = 0;
  for (const value of values) {
    const shift = (value - mean) / (values.length - 1);
    squares += shift ** 2;
    cubes += shift ** 3;
  }
  return cubes / (6 * squares ** 1.5);
}

function resampledMeans(values: readonly number[], resamples: number, seed: number, stream: number): Float64Array {
  const n = values.length;
  const means = new Float64Array(resamples);
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] as const;
  for (let b = 0; b < resamples; ++b) {
    let sum = 0;
    for (let drawn = 0; drawn < n; drawn += 4) {
      const block = philox([drawn, b, stream, BOOTSTRAP_DOMAIN], key);
      // A 32-bit draw scaled to n: its bias, n / 2^32, is far below what a bootstrap resolves.
      for (let lane = 0; lane < 4 && drawn + lane < n; ++lane) sum += values[Math.floor((block[lane]! / 2 ** 32) * n)]!;
    }
    means[b] = sum / n;
  }
  return means;
}

/** Keeps these draws apart from the sampler's under the same seed. */
const BOOTSTRAP_DOMAIN = 0x626f6f74;

/** Quantile of sorted numbers with linear interpolation between order statistics (Hyndman and Fan's type 7). */
export function sortedQuantile(sorted: ArrayLike<number>, q: number): number {
  const at = Math.min(Math.max(q, 0), 1) * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}
