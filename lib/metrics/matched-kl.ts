/**
 * Shifts compared at the same distance from the untrained model. Two arms at the same step may be at different distances,
 * and whatever is farther away shows larger side effects; at the same KL divergence they are alike in that.
 */

import type { Inference } from "./crossed.js";
import { type CrossedBootstrapOptions, type CrossedWeights, crossedBootstrap } from "./crossed-bootstrap.js";
import { isotonic } from "./isotonic.js";

/** KL and shift of several runs at their checkpoints, summed by cluster. KL and shift may come from different clusters. */
export interface Trajectory {
  runs: number;
  /** Optimiser steps of the checkpoints, ascending, without step 0, where KL and shift are 0. */
  steps: readonly number[];
  /** Items of each cluster that KL and shift were measured on; 0 where a cluster has none. */
  klCounts: Float64Array;
  shiftCounts: Float64Array;
  /** [runs, steps, clusters] sums over items. */
  kl: Float64Array;
  shift: Float64Array;
}

export type MatchedShift =
  | { kind: "shift"; kl: number; shift: Inference }
  /** Nothing is said beyond the checkpoints: the run that came least far ended at `reached`. */
  | { kind: "blank"; kl: number; why: "kl not reached"; reached: number };

/**
 * The mean over runs of the shift at KL = `kl`: along each run KL is made non-decreasing in steps (isotonic regression, as
 * measured KL is noisy), checkpoints of equal KL are joined, and the shift is interpolated linearly from (0, 0) on, which
 * is monotone wherever the checkpoints are. The interval is a pigeonhole bootstrap's over runs and clusters.
 *
 * @throws RangeError for a KL that is not above 0
 */
export function shiftAtKl(trajectory: Trajectory, kl: number, options: CrossedBootstrapOptions = {}): MatchedShift {
  return shiftDifferenceAtKl([trajectory], kl, options);
}

/**
 * The same for the difference between two arms, `first` − `second`, whose clusters are the same prompts in the same order
 * and whose runs are different runs.
 */
export function compareAtKl(
  first: Trajectory,
  second: Trajectory,
  kl: number,
  options: CrossedBootstrapOptions = {},
): MatchedShift {
  if (first.shiftCounts.length !== second.shiftCounts.length)
    throw new RangeError(`${first.shiftCounts.length} clusters cannot be compared with ${second.shiftCounts.length}`);
  return shiftDifferenceAtKl([first, second], kl, options);
}

/** How far the run that came least far has gone, in nats: shifts can be read up to there. */
export function reachedKl(trajectory: Trajectory): number {
  const all = new Float64Array(trajectory.shiftCounts.length).fill(1);
  return Math.min(...eachRun(trajectory).map((run) => klAlong(trajectory, run, all).at(-1)!));
}

function shiftDifferenceAtKl(arms: readonly Trajectory[], kl: number, options: CrossedBootstrapOptions): MatchedShift {
  if (!(kl > 0 && Number.isFinite(kl))) throw new RangeError(`shifts cannot be matched at a KL of ${kl}`);
  const clusters = arms[0]!.shiftCounts.length;
  const reached = Math.min(...arms.map(reachedKl));
  if (!(kl <= reached)) return { kind: "blank", kl, why: "kl not reached", reached };
  const statistic = (weights: CrossedWeights): number =>
    arms.reduce((sum, arm, index) => sum + (index === 0 ? 1 : -1) * meanAtKl(arm, kl, weights, index), 0);
  const shift = crossedBootstrap(
    statistic,
    arms.map(({ runs }) => runs),
    clusters,
    options,
  );
  return { kind: "shift", kl, shift };
}

function eachRun({ runs }: Trajectory): number[] {
  return Array.from({ length: runs }, (_, run) => run);
}

function meanAtKl(arm: Trajectory, kl: number, { runs, clusters }: CrossedWeights, group: number): number {
  const weights = runs[group]!;
  let sum = 0;
  let total = 0;
  for (let run = 0; run < arm.runs; run++) {
    if (weights[run] === 0) continue;
    const shifts = weightedMeans(arm.shift, arm.shiftCounts, arm, run, clusters);
    sum += weights[run]! * interpolate(klAlong(arm, run, clusters), shifts, kl);
    total += weights[run]!;
  }
  return sum / total;
}

/** KL at each checkpoint of one run, non-decreasing and not below 0. */
function klAlong(arm: Trajectory, run: number, clusters: Float64Array): Float64Array {
  return isotonic(weightedMeans(arm.kl, arm.klCounts, arm, run, clusters)).map((value) => Math.max(0, value));
}

function weightedMeans(
  sums: Float64Array,
  counts: Float64Array,
  { steps }: Trajectory,
  run: number,
  weights: Float64Array,
): Float64Array {
  const C = weights.length;
  let total = 0;
  for (let c = 0; c < C; c++) total += weights[c]! * counts[c]!;
  // A resample that has drawn none of the clusters that this was measured on says nothing of it.
  if (total === 0) return weightedMeans(sums, counts, { steps } as Trajectory, run, new Float64Array(C).fill(1));
  return Float64Array.from(steps, (_, step) => {
    const offset = (run * steps.length + step) * C;
    let sum = 0;
    for (let c = 0; c < C; c++) sum += weights[c]! * sums[offset + c]!;
    return sum / total;
  });
}

/**
 * y at x from points that begin at (0, 0); `xs` is non-decreasing. Past the last point, which only a resample can meet,
 * the last line goes on.
 */
export function interpolate(xs: ArrayLike<number>, ys: ArrayLike<number>, x: number): number {
  const points: { x: number; y: number; n: number }[] = [{ x: 0, y: 0, n: 1 }];
  for (let index = 0; index < xs.length; index++) {
    const last = points.at(-1)!;
    if (xs[index]! > last.x) points.push({ x: xs[index]!, y: ys[index]!, n: 1 });
    else {
      last.y += (ys[index]! - last.y) / (last.n + 1);
      last.n++;
    }
  }
  if (points.length === 1) return points[0]!.y;
  let right = points.findIndex((point) => point.x >= x);
  if (right < 0) right = points.length - 1;
  right = Math.max(right, 1);
  const [a, b] = [points[right - 1]!, points[right]!];
  return a.y + ((x - a.x) / (b.x - a.x)) * (b.y - a.y);
}
