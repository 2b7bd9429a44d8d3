/** Adjusted p-values of a family of tests: Holm, and Benjamini and Yekutieli. */

/**
 * Holm's step-down Bonferroni ("A simple sequentially rejective multiple test procedure", Scandinavian Journal of
 * Statistics 6, 1979): with p ascending, p̃_(k) = max_{i ≤ k} min(1, (m − i + 1) p_(i)). Rejecting p̃ ≤ α makes one false
 * rejection or more with probability at most α, whatever the dependence.
 *
 * @returns adjusted values in the order given
 * @throws RangeError for a p outside [0, 1], NaN too
 */
export function holm(pValues: readonly number[]): number[] {
  const order = ascending(pValues);
  const adjusted = new Array<number>(order.length);
  let largest = 0;
  for (const [rank, index] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (order.length - rank) * pValues[index]!));
    adjusted[index] = largest;
  }
  return adjusted;
}

/**
 * Benjamini and Yekutieli ("The control of the false discovery rate in multiple testing under dependency", Annals of
 * Statistics 29, 2001): with p ascending and c = Σ_{i ≤ m} 1/i, p̃_(k) = min_{i ≥ k} min(1, c m p_(i) / i). Of what
 * p̃ ≤ α rejects, the expected share of false rejections is at most α, whatever the dependence.
 *
 * @returns adjusted values in the order given
 * @throws RangeError for a p outside [0, 1], NaN too
 */
export function benjaminiYekutieli(pValues: readonly number[]): number[] {
  const order = ascending(pValues);
  const m = order.length;
  let harmonic = 0;
  for (let i = 1; i <= m; i++) harmonic += 1 / i;
  const adjusted = new Array<number>(m);
  let smallest = 1;
  for (let rank = m - 1; rank >= 0; rank--) {
    const index = order[rank]!;
    smallest = Math.min(smallest, (harmonic * m * pValues[index]!) / (rank + 1));
    adjusted[index] = smallest;
  }
  return adjusted;
}

function ascending(pValues: readonly number[]): number[] {
  const bad = pValues.findIndex((p) => !(p >= 0 && p <= 1));
  if (bad >= 0) throw new RangeError(`p-value ${bad} is ${pValues[bad]}, not in [0, 1]`);
  return pValues.map((_, index) => index).sort((left, right) => pValues[left]! - pValues[right]!);
}
