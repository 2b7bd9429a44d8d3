/**
 * Trains a probe: for each value a logistic regression on mean hidden states, its penalty, calibration and threshold
 * chosen on texts that it was not fitted to - and measured by cross-fitting: every text gets a score from a fit that saw
 * neither it nor anything of its group.
 *
 * With folds f = 1 … K (folds.ts) and z_i the log-odds that the fit without text i's fold gives it,
 *
 *     penalty of fold f      the one whose z has the lowest log loss over the other folds
 *     calibration of fold f  Platt's, of those z over the other folds
 *     threshold of fold f    where F1 of the calibrated scores is highest over the other folds
 *     final probe            fitted to all texts; penalty, calibration and threshold from the z of all folds
 */
import { throwIfAborted } from "../../errors.js";
import {
  type Calibration,
  type Features,
  fitLogistic,
  fitPlatt,
  type LinearModel,
  logLoss,
  scoreRow,
  sigmoid,
} from "./regression.js";

/** From strong to weak: each fit starts from the one before. Of standardised features and a mean loss. */
export const PENALTIES = [1, 0.1, 0.01, 0.001] as const;

/** A value's own line through the hidden states: score = σ(weights·x + bias), expressed from `threshold` on. */
export interface ValueProbe {
  weights: Float64Array;
  bias: number;
  threshold: number;
  l2: number;
}

export interface TrainedValue {
  probe: ValueProbe;
  /** Cross-fitted, of each labelled text in the order of `rows`: its score, and the threshold that its fold was given. */
  scores: number[];
  thresholds: number[];
}

export interface TrainValueOptions {
  signal?: AbortSignal | undefined;
  /** After each fit. */
  onFit?: (() => void) | undefined;
}

/** Fits that `trainValue` makes. */
export function fitsOf(folds: number): number {
  return folds * PENALTIES.length + 1;
}

/**
 * @param rows the labelled texts, as indices into the features
 * @param truth of each row
 * @param folds of each row, from 0; every fold but its own has texts of both kinds
 */
export function trainValue(
  features: Features,
  rows: readonly number[],
  truth: readonly boolean[],
  folds: readonly number[],
  { signal, onFit }: TrainValueOptions = {},
): TrainedValue {
  const names = [...new Set(folds)].sort((a, b) => a - b);
  const fit = (places: readonly number[], l2: number, start: LinearModel | undefined): LinearModel => {
    throwIfAborted(signal);
    const model = fitLogistic(
      features,
      places.map((place) => rows[place]!),
      places.map((place) => truth[place]!),
      { l2, ...(start && { start }) },
    );
    onFit?.();
    return model;
  };
  const all = rows.map((_, place) => place);
  /** z of every row under every penalty. */
  const odds = PENALTIES.map(() => new Array<number>(rows.length).fill(0));
  for (const fold of names) {
    const inside = all.filter((place) => folds[place] === fold);
    const outside = all.filter((place) => folds[place] !== fold);
    let model: LinearModel | undefined;
    for (const [index, l2] of PENALTIES.entries()) {
      model = fit(outside, l2, model);
      for (const place of inside) odds[index]![place] = scoreRow(model, features, rows[place]!);
    }
  }
  const chosen = new Map(names.map((fold) => [fold, choose(odds, truth, all, (place) => folds[place] !== fold)]));
  const final = choose(odds, truth, all, () => true);
  const l2 = PENALTIES[final.penalty]!;
  const whole = fit(all, l2, undefined);
  const { slope, offset } = final.calibration;
  return {
    probe: {
      weights: whole.weights.map((weight) => slope * weight),
      bias: slope * whole.bias + offset,
      threshold: final.threshold,
      l2,
    },
    scores: all.map((place) => {
      const { penalty, calibration } = chosen.get(folds[place]!)!;
      return calibrated(odds[penalty]![place]!, calibration);
    }),
    thresholds: all.map((place) => chosen.get(folds[place]!)!.threshold),
  };
}

interface Choice {
  /** Index of the penalty. */
  penalty: number;
  calibration: Calibration;
  threshold: number;
}

function choose(
  odds: readonly (readonly number[])[],
  truth: readonly boolean[],
  all: readonly number[],
  counts: (place: number) => boolean,
): Choice {
  const places = all.filter(counts);
  const labels = places.map((place) => truth[place]!);
  const losses = odds.map((of) =>
    logLoss(
      places.map((place) => of[place]!),
      labels,
    ),
  );
  const penalty = losses.indexOf(Math.min(...losses));
  const scores = places.map((place) => odds[penalty]![place]!);
  const calibration = fitPlatt(scores, labels);
  const threshold = bestThreshold(
    scores.map((z) => calibrated(z, calibration)),
    labels,
  );
  return { penalty, calibration, threshold };
}

function calibrated(z: number, { slope, offset }: Calibration): number {
  return sigmoid(slope * z + offset);
}

/** The score from which on saying yes has the highest F1; the highest such score where several have it. */
export function bestThreshold(scores: readonly number[], truth: readonly boolean[]): number {
  const order = scores.map((score, index) => ({ score, yes: truth[index]! })).sort((a, b) => b.score - a.score);
  const positives = truth.filter(Boolean).length;
  let [hits, best, threshold] = [0, -1, 1];
  for (const [index, { score, yes }] of order.entries()) {
    if (yes) hits++;
    if (order[index + 1]?.score === score) continue;
    const f1 = (2 * hits) / (index + 1 + positives);
    if (f1 > best) [best, threshold] = [f1, score];
  }
  return threshold;
}
