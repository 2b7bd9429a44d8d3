/**
 * Moderated variances: each cell's variance drawn towards what all cells have in common, because 3 runs say little about
 * a variance and 200 cells of 3 runs say much about variances in general (Smyth, "Linear models and empirical Bayes
 * methods for assessing differential expression in microarray experiments", Statistical Applications in Genetics and
 * Molecular Biology 3, 2004; the method of limma).
 *
 * The model: s²_g | σ²_g ~ σ²_g χ²_d / d, and 1/σ²_g ~ χ²_d0 / (d0 s0²). Then the posterior mean of 1/σ²_g is 1/s̃²_g,
 *
 *     s̃²_g = (d0 s0² + d s²_g) / (d0 + d),   with d0 + d degrees of freedom.
 */
import { digamma, trigamma, trigammaInverse } from "./distributions.js";

export interface VariancePrior {
  /** d0: how many degrees of freedom the cells together are worth to each. 0 moderates nothing, Infinity pools fully. */
  df: number;
  /** s0². */
  variance: number;
}

export interface SampleVariance {
  variance: number;
  df: number;
}

/**
 * Fewer cells than this say too little of how variances vary: with 3 runs, moderated 95 % intervals held the truth in
 * 93.5 % over 5 cells, 94.1 % over 10, 94.7 % over 20 (6,000 cells each, σ 0.3, 1, 1, 60 prompts, d0 = 8).
 */
export const FEWEST_CELLS = 10;

/** A variance of exactly 0 has no logarithm; it counts as this share of the median one, as limma has it. */
const LEAST_SHARE_OF_MEDIAN = 1e-5;

/**
 * d0 and s0² by the moments of log variances (Smyth 2004, section 6.2). With e_g = log s²_g − ψ(d_g/2) + log(d_g/2),
 *
 *     ψ'(d0/2) = mean((e_g − ē)² G/(G − 1) − ψ'(d_g/2)),   s0² = exp(ē + ψ(d0/2) − log(d0/2));
 *
 * where the right side is not above 0 the variances do not differ beyond chance: d0 = Infinity, s0² = the pooled variance
 * Σ d_g s²_g / Σ d_g, the maximum-likelihood estimate then (as in limma since 2017; the paper has exp(ē)).
 * With fewer than FEWEST_CELLS variances, or a median of 0, d0 = 0.
 *
 * @throws RangeError for a variance below 0 or not finite, or degrees of freedom not above 0
 */
export function fitVariancePrior(samples: readonly SampleVariance[]): VariancePrior {
  for (const { variance, df } of samples)
    if (!(variance >= 0 && Number.isFinite(variance) && df > 0))
      throw new RangeError(`${variance} with ${df} degrees of freedom is no sample variance`);
  const middle = median(samples.map(({ variance }) => variance));
  if (samples.length < FEWEST_CELLS || !(middle > 0)) return { df: 0, variance: 0 };
  const e = samples.map(({ variance, df }) => {
    const log = Math.log(Math.max(variance, LEAST_SHARE_OF_MEDIAN * middle));
    return log - digamma(df / 2) + Math.log(df / 2);
  });
  const mean = average(e);
  const correction = e.length / (e.length - 1);
  const excess = average(e.map((value, g) => (value - mean) ** 2 * correction - trigamma(samples[g]!.df / 2)));
  if (!(excess > 0)) {
    const pooled = samples.reduce((sum, { variance, df }) => sum + df * variance, 0);
    return { df: Number.POSITIVE_INFINITY, variance: pooled / samples.reduce((sum, { df }) => sum + df, 0) };
  }
  const df = 2 * trigammaInverse(excess);
  return { df, variance: Math.exp(mean + digamma(df / 2) - Math.log(df / 2)) };
}

/** s̃² and its degrees of freedom. */
export function moderate(sample: SampleVariance, prior: VariancePrior): SampleVariance {
  if (prior.df === Number.POSITIVE_INFINITY) return { variance: prior.variance, df: prior.df };
  const df = prior.df + sample.df;
  return { variance: (prior.df * prior.variance + sample.df * sample.variance) / df, df };
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
