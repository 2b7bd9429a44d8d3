/** Agreement of annotators beyond chance: Cohen's and Fleiss' kappa. */

/**
 * Cohen's kappa of two annotators (Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
 * Measurement 20, 1960): κ = (p_o − p_e) / (1 − p_e), with p_o the share of items that both label alike and
 * p_e = Σ_c p_first(c) p_second(c). NaN without items, or where both give one label only, the same.
 *
 * @throws RangeError where the lists differ in length
 */
export function cohenKappa(first: readonly string[], second: readonly string[]): number {
  if (first.length !== second.length)
    throw new RangeError(`one annotator labelled ${first.length} items, the other ${second.length}`);
  const n = first.length;
  const observed = first.filter((label, item) => label === second[item]).length / n;
  const left = countLabels(first);
  const right = countLabels(second);
  let expected = 0;
  for (const [label, count] of left) expected += (count / n) * ((right.get(label) ?? 0) / n);
  return (observed - expected) / (1 - expected);
}

/**
 * Fleiss' kappa of any number of annotators (Fleiss, "Measuring nominal scale agreement among many raters", Psychological
 * Bulletin 76, 1971): with n_ic of m annotators giving item i the category c,
 *
 *     P_i = Σ_c n_ic (n_ic − 1) / (m (m − 1)),   p_c = Σ_i n_ic / (N m),   κ = (mean P_i − Σ p_c²) / (1 − Σ p_c²)
 *
 * @param ratings for each item the labels of its annotators, who need not be the same people
 * @throws RangeError where items have different numbers of labels, or fewer than two
 */
export function fleissKappa(ratings: readonly (readonly string[])[]): number {
  const raters = ratings[0]?.length ?? 0;
  const odd = ratings.findIndex((labels) => labels.length !== raters);
  if (odd >= 0) throw new RangeError(`item ${odd} has ${ratings[odd]!.length} labels, item 0 has ${raters}`);
  if (raters < 2) throw new RangeError(`agreement needs two annotators or more, not ${raters}`);
  let observed = 0;
  for (const labels of ratings) {
    let alike = 0;
    for (const count of countLabels(labels).values()) alike += count * (count - 1);
    observed += alike / (raters * (raters - 1)) / ratings.length;
  }
  let expected = 0;
  for (const count of countLabels(ratings.flat()).values()) expected += (count / (ratings.length * raters)) ** 2;
  return (observed - expected) / (1 - expected);
}

function countLabels(labels: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}
