/** What a study can see: variance components, and the smallest shift that a design detects. */
import { type CrossedEstimate, crossedVariance } from "./crossed.js";
import { logGamma, studentQuantile } from "./distributions.js";
import { normalCdf } from "./normal.js";

/** Variances of y_sk = μ + a_s + b_k + e_sk. */
export interface VarianceComponents {
  /** σ_a²: between runs. */
  run: number;
  /** σ_b²: between prompts. */
  prompt: number;
  /** σ_e²: of a run on a prompt. */
  rest: number;
}

/**
 * Components by the method of moments from one arm's mean over runs and clusters (each cluster counted as one prompt);
 * below 0 counts as 0. Null with one run or one cluster, which cannot tell them apart.
 */
export function varianceComponents(estimate: CrossedEstimate): VarianceComponents | null {
  const { runs, clusters, interactions } = crossedVariance(estimate);
  const [ofRuns, ofRest] = [runs[0], interactions[0]];
  if (runs.length !== 1 || ofRuns === undefined || ofRest === undefined || clusters === undefined) return null;
  const K = estimate.clusters.length;
  const S = ofRuns.size;
  return {
    run: Math.max(0, S * (ofRuns.variance - ofRest.variance)),
    prompt: Math.max(0, K * (clusters.variance - ofRest.variance)),
    rest: S * K * ofRest.variance,
  };
}

export interface Design {
  runs: number;
  prompts: number;
  components: VarianceComponents;
  /** Level of the two-sided test; default 0.05. For m comparisons with Bonferroni's correction, 0.05 / m. */
  alpha?: number;
}

/** What a design's interval rests on, at the true components. */
export interface ExpectedError {
  standardError: number;
  /** Degrees of freedom of the interval (crossed.ts), which sets how large an estimate has to be. */
  df: number;
  /** Satterthwaite's: how much the standard error itself will vary. */
  spreadDf: number;
}

/** @throws RangeError with fewer than two runs or prompts */
export function expectedError({ runs: S, prompts: K, components }: Design): ExpectedError {
  if (!(S >= 2 && K >= 2)) throw new RangeError(`${S} runs on ${K} prompts show no variance of runs`);
  const rest = components.rest / (S * K);
  const ofRuns = components.run / S + rest;
  const ofPrompts = components.prompt / K + rest;
  const variance = ofRuns + ofPrompts - rest;
  const share = ofRuns / variance;
  const squares = ofRuns ** 2 / (S - 1) + ofPrompts ** 2 / (K - 1) + rest ** 2 / ((S - 1) * (K - 1));
  return {
    standardError: Math.sqrt(variance),
    df: 1 / (share / (S - 1) + (1 - share) / (K - 1)),
    spreadDf: variance ** 2 / squares,
  };
}

/**
 * Probability that a design finds a shift, P(|T| > t_{1 − α/2, df}) with T noncentral t, ncp = shift / standard error. That
 * T has Satterthwaite's degrees of freedom is an approximation: with 3 runs expect a few percent of error.
 *
 * @throws RangeError with fewer than two runs or prompts
 */
export function powerOf(shift: number, design: Design): number {
  const { standardError, df, spreadDf } = expectedError(design);
  const ncp = Math.abs(shift) / standardError;
  const t = studentQuantile(1 - (design.alpha ?? 0.05) / 2, df);
  return noncentralUpper(t, spreadDf, ncp) + noncentralUpper(t, spreadDf, -ncp);
}

/**
 * The smallest shift found with probability `power` (default 0.8), by bisection.
 * @throws RangeError with fewer than two runs or prompts, or unless alpha < power < 1
 */
export function smallestDetectableShift(design: Design, power = 0.8): number {
  if (!(power > (design.alpha ?? 0.05) && power < 1)) throw new RangeError(`a power of ${power} cannot be asked for`);
  let high = expectedError(design).standardError;
  if (high === 0) return 0;
  while (powerOf(high, design) < power) high *= 2;
  let low = 0;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (powerOf(middle, design) < power) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * P(T > t) of the noncentral t, T = (Z + ncp) / X with X = √(χ²_df / df). With X = e^v it is
 *
 *     ∫ Φ(ncp − t e^v) c exp(df (v − e^(2v)/2)) dv,   c = 2 (df/2)^(df/2) / Γ(df/2),
 *
 * an integrand that dies away fast on both sides, for which the trapezoid rule converges exponentially.
 */
export function noncentralUpper(t: number, df: number, ncp: number): number {
  const from = -(NEGLIGIBLE / df + Math.sqrt(NEGLIGIBLE / df));
  const to = Math.log1p(10 / Math.sqrt(2 * df));
  const width = (to - from) / STEPS;
  const constant = Math.log(2) + (df / 2) * Math.log(df / 2) - logGamma(df / 2);
  let sum = 0;
  for (let step = 0; step <= STEPS; step++) {
    const v = from + step * width;
    const x = Math.exp(v);
    sum += Math.exp(constant + df * (v - (x * x) / 2)) * normalCdf(ncp - t * x);
  }
  return sum * width;
}

/** e^-37 is below double precision. */
const NEGLIGIBLE = 37;
const STEPS = 400;
