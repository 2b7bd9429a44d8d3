/** The standard normal distribution function and its inverse, to about 1e-15 relative. */

/**
 * Φ(x). Near 0 by the series φ(x) Σ x^(2k+1) / (1·3·…·(2k+1)), in the tails by the continued fraction of the upper tail,
 * φ(x) / (x + 1/(x + 2/(x + …))) (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.11 and 26.2.14).
 */
export function normalCdf(x: number): number {
  if (Number.isNaN(x)) return Number.NaN;
  const size = Math.abs(x);
  if (size > 38.5) return x < 0 ? 0 : 1;
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (size < 4) {
    let term = size;
    let sum = size;
    for (let odd = 3; term > sum * 1e-17; odd += 2) {
      term *= (size * size) / odd;
      sum += term;
    }
    return x < 0 ? 0.5 - density * sum : 0.5 + density * sum;
  }
  let fraction = size;
  for (let k = 60; k >= 1; --k) fraction = size + k / fraction;
  const tail = density / fraction;
  return x < 0 ? tail : 1 - tail;
}

/**
 * Φ⁻¹(p), p in (0, 1), by Halley's method on Φ from a rough start; ±Infinity at 0 and 1, NaN outside. The start,
 * sign(p − ½) √(−2 ln(2 min(p, 1 − p))) · 0.8, only has to be on the right side: five steps reach double precision.
 */
export function normalQuantile(p: number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0) return Number.NEGATIVE_INFINITY;
  if (p === 1) return Number.POSITIVE_INFINITY;
  if (p > 0.5) return -normalQuantile(1 - p);
  let x = -0.8 * Math.sqrt(Math.max(0, -2 * Math.log(2 * p)));
  for (let step = 0; step < 50; ++step) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    const newton = (normalCdf(x) - p) / density;
    const change = newton / (1 + (x * newton) / 2);
    x -= change;
    if (!(Math.abs(change) > 1e-15 * Math.max(1, Math.abs(x)))) break;
  }
  return x;
}
