/** A ratio of two estimates with Fieller's interval, and no number where the data do not bound it. */
import { type CrossedEstimate, combine, crossedVariance, infer } from "./crossed.js";
import { studentQuantile } from "./distributions.js";

export type Ratio =
  | { kind: "ratio"; ratio: number; low: number; high: number; df: number }
  /** The denominator may be 0, so any ratio at all agrees with the data. */
  | { kind: "blank"; why: "denominator not shown to differ from 0" | "denominator not measured" | "no interval" };

/**
 * The set of ρ for which a − ρ b does not differ from 0 (Fieller, "Some problems in interval estimation", Journal of the
 * Royal Statistical Society B 16, 1954):
 *
 *     (b² − t² V_bb) ρ² − 2 (a b − t² V_ab) ρ + (a² − t² V_aa) ≤ 0
 *
 * It is an interval exactly where b² > t² V_bb; else it is unbounded, and the result is blank.
 *
 * @param t quantile of the t distribution that goes with the variances
 */
export function fiellerInterval(
  a: number,
  b: number,
  { aa, bb, ab }: { aa: number; bb: number; ab: number },
  t: number,
): { low: number; high: number } | null {
  const square = b * b - t * t * bb;
  if (!(square > 0)) return null;
  const middle = a * b - t * t * ab;
  const root = Math.sqrt(Math.max(0, middle * middle - square * (a * a - t * t * aa)));
  return { low: (middle - root) / square, high: (middle + root) / square };
}

/**
 * The ratio of two crossed estimates, which may share runs and prompts. Degrees of freedom are those of
 * numerator − ratio · denominator at the estimated ratio. Blank too where the denominator's own interval holds 0.
 */
export function crossedRatio(numerator: CrossedEstimate, denominator: CrossedEstimate, confidence = 0.95): Ratio {
  const own = infer(denominator, { confidence });
  if (own.low === null || own.high === null) return { kind: "blank", why: "no interval" };
  if (own.low <= 0 && own.high >= 0) return { kind: "blank", why: "denominator not shown to differ from 0" };
  const ratio = numerator.estimate / denominator.estimate;
  const contrast = infer(
    combine([
      { weight: 1, of: numerator },
      { weight: -ratio, of: denominator },
    ]),
  );
  if (contrast.df === null) return { kind: "blank", why: "no interval" };
  // Of the parts that a sum of both has, what it has beyond theirs is twice the covariance.
  const both = combine([
    { weight: 1, of: numerator },
    { weight: 1, of: denominator },
  ]);
  const aa = (infer(numerator).standardError ?? 0) ** 2;
  const bb = (own.standardError ?? 0) ** 2;
  const most = Math.sqrt(aa * bb);
  const ab = (unclamped(both) - unclamped(numerator) - unclamped(denominator)) / 2;
  const t = studentQuantile((1 + confidence) / 2, contrast.df);
  const interval = fiellerInterval(
    numerator.estimate,
    denominator.estimate,
    { aa, bb, ab: Math.max(-most, Math.min(most, ab)) },
    t,
  );
  if (interval === null) return { kind: "blank", why: "denominator not shown to differ from 0" };
  return { kind: "ratio", ratio, ...interval, df: contrast.df };
}

/** V without the care for what is less than 0, so that it is quadratic in the estimate. */
function unclamped(estimate: CrossedEstimate): number {
  const { runs, clusters, interactions } = crossedVariance(estimate);
  const add = (sum: number, { variance }: { variance: number }): number => sum + variance;
  return runs.reduce(add, 0) + (clusters?.variance ?? 0) - interactions.reduce(add, 0);
}
