/**
 * Logistic regression with an L2 penalty, in double precision, and Platt's scaling of its scores.
 *
 *     minimise  1/n Σ log(1 + exp(−y_i z_i)) + l2/2 ‖w‖²,   z_i = w·x_i + b,  y_i = ±1
 *
 * over features that have mean 0 and standard deviation 1 in the training rows; b is not penalised. The solver is L-BFGS
 * (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 7.4 and 7.5) with backtracking: the problem is convex
 * and smooth, and with l2 > 0 has one minimum.
 */

/** A score's linear part: w·x + bias, of features as they are. */
export interface LinearModel {
  weights: Float64Array;
  bias: number;
}

export interface FitOptions {
  l2: number;
  /** Where to start: the fit under another penalty. */
  start?: LinearModel;
}

/** Rows of one length, one after the other. */
export interface Features {
  data: Float32Array;
  channels: number;
}

/** Pairs of steps that L-BFGS remembers. */
const MEMORY = 10;
const MAX_STEPS = 300;
/** Largest entry of the gradient at which the fit has converged; the loss is a mean, so it does not grow with n. */
const TOLERANCE = 1e-5;
/** Armijo's condition: the share of the linear decrease that a step has to reach. */
const SUFFICIENT = 1e-4;

/** @param rows indices into the features; `truth` is of the same length */
export function fitLogistic(
  features: Features,
  rows: readonly number[],
  truth: readonly boolean[],
  { l2, start }: FitOptions,
): LinearModel {
  const { channels } = features;
  const { means, scales } = moments(features, rows);
  const matrix = standardised(features, rows, means, scales);
  // The last parameter is the bias.
  const point = new Float64Array(channels + 1);
  if (start !== undefined) {
    point[channels] = start.bias;
    for (let c = 0; c < channels; c++) {
      point[c] = start.weights[c]! * scales[c]!;
      point[channels] = point[channels]! + start.weights[c]! * means[c]!;
    }
  }
  const found = minimise(point, (at, gradient) => lossOf(matrix, channels, truth, l2, at, gradient));
  const weights = new Float64Array(channels);
  let bias = found[channels]!;
  for (let c = 0; c < channels; c++) {
    weights[c] = found[c]! / scales[c]!;
    bias -= weights[c]! * means[c]!;
  }
  return { weights, bias };
}

/** w·x + b of one row, summed in double. */
export function scoreRow({ weights, bias }: LinearModel, { data, channels }: Features, row: number): number {
  let sum = bias;
  for (let c = 0, at = row * channels; c < channels; c++, at++) sum += weights[c]! * data[at]!;
  return sum;
}

/** A channel that never changes has scale 1: standardised it is 0, and says nothing. */
function moments({ data, channels }: Features, rows: readonly number[]): { means: Float64Array; scales: Float64Array } {
  const means = new Float64Array(channels);
  const scales = new Float64Array(channels);
  for (const row of rows)
    for (let c = 0; c < channels; c++) means[c] = means[c]! + data[row * channels + c]! / rows.length;
  for (const row of rows)
    for (let c = 0; c < channels; c++)
      scales[c] = scales[c]! + (data[row * channels + c]! - means[c]!) ** 2 / rows.length;
  return { means, scales: scales.map((variance) => (variance > 0 ? Math.sqrt(variance) : 1)) };
}

function standardised(
  { data, channels }: Features,
  rows: readonly number[],
  means: Float64Array,
  scales: Float64Array,
): Float64Array {
  const matrix = new Float64Array(rows.length * channels);
  for (const [index, row] of rows.entries())
    for (let c = 0; c < channels; c++)
      matrix[index * channels + c] = (data[row * channels + c]! - means[c]!) / scales[c]!;
  return matrix;
}

/** The objective at `point`, its gradient written into `gradient`. */
function lossOf(
  matrix: Float64Array,
  channels: number,
  truth: readonly boolean[],
  l2: number,
  point: Float64Array,
  gradient: Float64Array,
): number {
  const n = truth.length;
  gradient.fill(0);
  let loss = 0;
  for (let i = 0; i < n; i++) {
    const begin = i * channels;
    let z = point[channels]!;
    for (let c = 0; c < channels; c++) z += point[c]! * matrix[begin + c]!;
    const signed = truth[i] ? z : -z;
    loss += softplus(-signed) / n;
    // d loss / d z = −y σ(−y z) / n
    const slope = ((truth[i] ? -1 : 1) * sigmoid(-signed)) / n;
    for (let c = 0; c < channels; c++) gradient[c] = gradient[c]! + slope * matrix[begin + c]!;
    gradient[channels] = gradient[channels]! + slope;
  }
  for (let c = 0; c < channels; c++) {
    loss += (l2 / 2) * point[c]! ** 2;
    gradient[c] = gradient[c]! + l2 * point[c]!;
  }
  return loss;
}

interface Step {
  move: Float64Array;
  change: Float64Array;
  curvature: number;
}

/** The minimum of a convex function: L-BFGS from `start`, until the gradient is small or no step goes down any more. */
export function minimise(
  start: Float64Array,
  objective: (point: Float64Array, gradient: Float64Array) => number,
): Float64Array {
  let point = Float64Array.from(start);
  let gradient = new Float64Array(point.length);
  let value = objective(point, gradient);
  const steps: Step[] = [];
  for (let done = 0; done < MAX_STEPS && largest(gradient) > TOLERANCE; done++) {
    let direction = descent(gradient, steps);
    let slope = dot(direction, gradient);
    if (!(slope < 0)) {
      steps.length = 0;
      direction = gradient.map((entry) => -entry);
      slope = dot(direction, gradient);
    }
    const next = new Float64Array(point.length);
    const nextGradient = new Float64Array(point.length);
    let nextValue = Number.POSITIVE_INFINITY;
    let length = 1;
    for (; length > 1e-12; length /= 2) {
      for (let at = 0; at < next.length; at++) next[at] = point[at]! + length * direction[at]!;
      nextValue = objective(next, nextGradient);
      if (nextValue <= value + SUFFICIENT * length * slope) break;
    }
    if (length <= 1e-12) break;
    const move = next.map((entry, at) => entry - point[at]!);
    const change = nextGradient.map((entry, at) => entry - gradient[at]!);
    const curvature = dot(move, change);
    if (curvature > 0) {
      steps.push({ move, change, curvature });
      if (steps.length > MEMORY) steps.shift();
    }
    [point, gradient, value] = [next, nextGradient, nextValue];
  }
  return point;
}

/** −H·gradient by the two-loop recursion. */
function descent(gradient: Float64Array, steps: readonly Step[]): Float64Array {
  const direction = Float64Array.from(gradient);
  const factors: number[] = [];
  for (const { move, change, curvature } of [...steps].reverse()) {
    const factor = dot(move, direction) / curvature;
    factors.push(factor);
    for (let at = 0; at < direction.length; at++) direction[at] = direction[at]! - factor * change[at]!;
  }
  const last = steps.at(-1);
  const scale = last === undefined ? 1 : last.curvature / dot(last.change, last.change);
  for (let at = 0; at < direction.length; at++) direction[at] = direction[at]! * scale;
  for (const { move, change, curvature } of steps) {
    const factor = factors.pop()! - dot(change, direction) / curvature;
    for (let at = 0; at < direction.length; at++) direction[at] = direction[at]! + factor * move[at]!;
  }
  return direction.map((entry) => -entry);
}

/** σ(slope·z + offset) is a probability. */
export interface Calibration {
  slope: number;
  offset: number;
}

/**
 * Platt's scaling ("Probabilistic outputs for support vector machines", 1999): the slope and offset that fit the scores
 * best, to targets (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2), which keep it finite where scores separate the classes.
 */
export function fitPlatt(scores: readonly number[], truth: readonly boolean[]): Calibration {
  const positives = truth.filter(Boolean).length;
  const [high, low] = [(positives + 1) / (positives + 2), 1 / (truth.length - positives + 2)];
  const n = scores.length;
  const spread = Math.sqrt(scores.reduce((sum, score) => sum + score ** 2, 0) / n) || 1;
  const fit = minimise(Float64Array.of(1, 0), (point, gradient) => {
    gradient.fill(0);
    let loss = 0;
    for (let i = 0; i < n; i++) {
      const x = scores[i]! / spread;
      const z = point[0]! * x + point[1]!;
      const target = truth[i] ? high : low;
      loss += (softplus(z) - target * z) / n;
      const error = (sigmoid(z) - target) / n;
      gradient[0] = gradient[0]! + error * x;
      gradient[1] = gradient[1]! + error;
    }
    return loss;
  });
  return { slope: fit[0]! / spread, offset: fit[1]! };
}

/** Mean −log p of what is true, of scores that are log-odds. */
export function logLoss(scores: readonly number[], truth: readonly boolean[]): number {
  return scores.reduce((sum, z, index) => sum + softplus(truth[index] ? -z : z), 0) / scores.length;
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** log(1 + exp(x)) */
function softplus(x: number): number {
  return x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += a[at]! * b[at]!;
  return sum;
}

function largest(vector: Float64Array): number {
  let max = 0;
  for (const entry of vector) max = Math.max(max, Math.abs(entry));
  return max;
}
