/** Whether a shift is shown to be no larger than a margin: two one-sided tests. */
import { studentUpper } from "./distributions.js";

/** A t statistic's ingredients; an `Inference` is one. */
export interface Tested {
  estimate: number;
  standardError: number | null;
  df: number | null;
}

/**
 * The p-value of "|shift| ≥ margin" by two one-sided t tests (Schuirmann, "A comparison of the two one-sided tests
 * procedure and the power approach", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): the larger of
 * P(T > (estimate + margin)/se) and P(T > (margin − estimate)/se). It is below α exactly where the interval of
 * confidence 1 − 2α lies within (−margin, margin). Null where there is no standard error.
 *
 * @throws RangeError unless the margin is above 0
 */
export function equivalenceP({ estimate, standardError, df }: Tested, margin: number): number | null {
  if (!(margin > 0)) throw new RangeError(`an equivalence margin of ${margin} is not above 0`);
  if (standardError === null || df === null) return null;
  const nearer = margin - Math.abs(estimate);
  if (standardError === 0) return nearer > 0 ? 0 : 1;
  return studentUpper(nearer / standardError, df);
}

/**
 * - "equivalent": shown to be smaller than the margin, whether or not it is 0
 * - "different": shown not to be 0, and not shown to be smaller than the margin
 * - "undecided": neither; the data are too few. It is not a finding of no change.
 */
export type Verdict = "different" | "equivalent" | "undecided";

/** Both p-values null or absent give "undecided". */
export function verdict(
  { differenceP, equivalenceP }: { differenceP: number | null; equivalenceP?: number | null },
  alpha = 0.05,
): Verdict {
  if (equivalenceP !== null && equivalenceP !== undefined && equivalenceP < alpha) return "equivalent";
  return differenceP !== null && differenceP < alpha ? "different" : "undecided";
}
