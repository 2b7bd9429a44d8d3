/**
 * Student's t for any degrees of freedom above 0, whole or not, and the digamma and trigamma functions, to 1e-11 relative
 * (test/metrics/distributions.test.ts). DLMF stands for the NIST Digital Library of Mathematical Functions.
 */
import { normalCdf, normalQuantile } from "./normal.js";

/** Above this the continued fraction loses digits (about df · 1e-16), and an expansion about the normal gains them. */
const LARGE_DF = 1e5;

/** P(T > t); `df` may be Infinity. */
export function studentUpper(t: number, df: number): number {
  return t < 0 ? 1 - studentTwoSided(t, df) / 2 : studentTwoSided(t, df) / 2;
}

/**
 * P(|T| > |t|) = I_x(df/2, 1/2), x = df / (df + t²) (DLMF 8.17), without cancellation in the tail; for large df by the
 * normal tail of √y (1 + (y + 3) / 48a²), y = a log(1 + t²/df), a = df − 1/2 (Hill, "Student's t-distribution", Algorithm
 * 395, Communications of the ACM 13, 1970; the terms it leaves out are below 1e-18 here).
 */
export function studentTwoSided(t: number, df: number): number {
  if (df === Number.POSITIVE_INFINITY) return 2 * normalCdf(-Math.abs(t));
  const square = (t * t) / df;
  if (df > LARGE_DF) {
    const y = (df - 0.5) * Math.log1p(square);
    return 2 * normalCdf(-Math.sqrt(y) * (1 + (y + 3) / (48 * (df - 0.5) ** 2)));
  }
  if (square === Number.POSITIVE_INFINITY) return 0;
  const a = df / 2;
  const x = 1 / (1 + square);
  const y = square / (1 + square);
  // x^a y^(1/2) / B(a, 1/2)
  const scale = (Math.exp(-a * Math.log1p(square)) * Math.sqrt(y) * gammaRatio(a)) / Math.sqrt(Math.PI);
  if (x < (a + 1) / (a + 2.5)) return (scale / a) * betaFraction(x, a, 0.5);
  return 1 - 2 * scale * betaFraction(y, 0.5, a);
}

/** The t with P(T ≤ t) = p; `df` may be Infinity; ±Infinity at 0 and 1, NaN outside. */
export function studentQuantile(p: number, df: number): number {
  const z = normalQuantile(p);
  if (df === Number.POSITIVE_INFINITY || !Number.isFinite(z)) return z;
  if (p === 0.5) return 0;
  return p < 0.5 ? -upperQuantile(p, -z, df) : upperQuantile(1 - p, z, df);
}

/**
 * The t > 0 with P(T > t) = q < 1/2, by Newton's method on log P as a function of log t. That function is concave, so
 * after one step the root is approached from the right; the start is the normal quantile with the first term of its
 * expansion in 1/df (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5).
 */
function upperQuantile(q: number, z: number, df: number): number {
  let t = z * (1 + (z * z + 1) / (4 * df));
  const density = gammaRatio(df / 2) / Math.sqrt(df * Math.PI);
  for (let step = 0; step < 200; step++) {
    const upper = studentUpper(t, df);
    if (upper === 0) {
      t /= 2; // past what a double can tell
      continue;
    }
    const slope = (t * density * Math.exp((-(df + 1) / 2) * Math.log1p((t * t) / df))) / upper;
    const change = (Math.log(upper) - Math.log(q)) / slope;
    t *= Math.exp(change);
    if (!(Math.abs(change) > 1e-14)) break;
  }
  return t;
}

/** The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method. */
function betaFraction(x: number, a: number, b: number): number {
  let c = 1;
  let d = 1 / keptFrom0(1 - ((a + b) * x) / (a + 1));
  let value = d;
  for (let m = 1; m < 10_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / keptFrom0(1 + even * d);
    c = keptFrom0(1 + even / c);
    value *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / keptFrom0(1 + odd * d);
    c = keptFrom0(1 + odd / c);
    value *= c * d;
    if (!(Math.abs(c * d - 1) > 1e-16)) break;
  }
  return value;
}

function keptFrom0(x: number): number {
  return Math.abs(x) < 1e-300 ? 1e-300 : x;
}

/**
 * Γ(a + 1/2) / Γ(a), by its expansion in 1/a (DLMF 5.11.13) once a is raised above 40 by Γ(a + 1) = a Γ(a). A difference
 * of two logarithms would lose a digit for every power of ten in a.
 */
function gammaRatio(a: number): number {
  let factor = 1;
  let x = a;
  for (; x < 40; x++) factor *= x / (x + 0.5);
  const u = 1 / x;
  const series =
    1 + u * (-1 / 8 + u * (1 / 128 + u * (5 / 1024 + u * (-21 / 32768 + u * (-399 / 262144 + (u * 869) / 4194304)))));
  return factor * Math.sqrt(x) * series;
}

/** The expansions in 1/x below are good to double precision from here. */
const LARGE = 12;

/** log Γ(x), x > 0 (DLMF 5.11.1). */
export function logGamma(x: number): number {
  let product = 1;
  let at = x;
  for (; at < LARGE; at++) product *= at;
  const u = 1 / (at * at);
  const series = (1 / 12 - u * (1 / 360 - u * (1 / 1260 - u * (1 / 1680 - u * (1 / 1188 - (u * 691) / 360360))))) / at;
  return (at - 0.5) * Math.log(at) - at + Math.log(2 * Math.PI) / 2 + series - Math.log(product);
}

/** ψ(x) = d log Γ(x) / dx, x > 0 (DLMF 5.11.2). */
export function digamma(x: number): number {
  let sum = 0;
  let at = x;
  for (; at < LARGE; at++) sum -= 1 / at;
  const u = 1 / (at * at);
  const series = u * (1 / 12 - u * (1 / 120 - u * (1 / 252 - u * (1 / 240 - u * (1 / 132 - (u * 691) / 32760)))));
  return sum + Math.log(at) - 1 / (2 * at) - series;
}

/** ψ'(x), x > 0: the derivative of the same expansion. */
export function trigamma(x: number): number {
  let sum = 0;
  let at = x;
  for (; at < LARGE; at++) sum += 1 / (at * at);
  const u = 1 / (at * at);
  const series =
    u * (1 / 6 - u * (1 / 30 - u * (1 / 42 - u * (1 / 30 - u * (5 / 66 - u * (691 / 2730 - (u * 7) / 6))))));
  return sum + (1 + 1 / (2 * at) + series) / at;
}

/**
 * The x > 0 with ψ'(x) = y, by Newton's method on 1/ψ', which is convex and nearly linear: x ← x + ψ'(x) (1 − ψ'(x)/y) /
 * ψ''(x), from x = 1/2 + 1/y on (Smyth, Statistical Applications in Genetics and Molecular Biology 3, 2004, appendix).
 * ψ'' is a central difference of ψ': it sets the pace only.
 *
 * @throws RangeError unless y is above 0
 */
export function trigammaInverse(y: number): number {
  if (!(y > 0)) throw new RangeError(`the trigamma function is nowhere ${y}`);
  // There ψ'(x) is 1/x² or 1/x, but for a relative 1e-7 and 1e-6.
  if (y > 1e7) return 1 / Math.sqrt(y);
  if (y < 1e-6) return 1 / y;
  let x = 0.5 + 1 / y;
  for (let step = 0; step < 60; step++) {
    const value = trigamma(x);
    const h = 1e-5 * x;
    const slope = (trigamma(x + h) - trigamma(x - h)) / (2 * h);
    const change = (value * (1 - value / y)) / slope;
    x += change;
    if (!(Math.abs(change) > 1e-14 * x)) break;
  }
  return x;
}
