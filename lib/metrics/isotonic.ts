/** Isotonic regression: the non-decreasing sequence nearest to a given one in squares. */

/**
 * By pooling adjacent violators (Barlow, Bartholomew, Bremner and Brunk, Statistical Inference under Order Restrictions,
 * 1972): neighbours in the wrong order are replaced by their mean, until none are.
 */
export function isotonic(values: ArrayLike<number>): Float64Array {
  const means: number[] = [];
  const sizes: number[] = [];
  for (let index = 0; index < values.length; index++) {
    means.push(values[index]!);
    sizes.push(1);
    while (means.length > 1 && means.at(-2)! > means.at(-1)!) {
      const [mean, size] = [means.pop()!, sizes.pop()!];
      const joined = sizes.at(-1)! + size;
      means[means.length - 1] = (means.at(-1)! * sizes.at(-1)! + mean * size) / joined;
      sizes[sizes.length - 1] = joined;
    }
  }
  const result = new Float64Array(values.length);
  let at = 0;
  for (const [block, mean] of means.entries()) for (let i = 0; i < sizes[block]!; i++) result[at++] = mean;
  return result;
}
