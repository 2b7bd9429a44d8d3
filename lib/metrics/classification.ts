/** An extractor against human labels: precision, recall and F1, with intervals. */
import { philox } from "../engine/random.js";
import { sortedQuantile } from "./bootstrap.js";
import { normalQuantile } from "./normal.js";

export interface Estimate {
  /** NaN where there is nothing to take a share of. */
  value: number;
  low: number;
  high: number;
  /** What the share is of; for F1, the items. */
  n: number;
}

/**
 * A proportion with Wilson's score interval (Wilson, "Probable inference, the law of succession, and statistical
 * inference", JASA 22, 1927): the p for which |p̂ − p| ≤ z √(p (1 − p) / n),
 *
 *     (p̂ + z²/2n ± z √(p̂ (1 − p̂)/n + z²/4n²)) / (1 + z²/n)
 *
 * It assumes independent trials; where items come in clusters, use `bootstrapScores`.
 *
 * @throws RangeError unless 0 ≤ hits ≤ n, whole numbers
 */
export function wilson(hits: number, n: number, confidence = 0.95): Estimate {
  if (!(Number.isInteger(hits) && Number.isInteger(n) && hits >= 0 && hits <= n))
    throw new RangeError(`${hits} hits of ${n} are no proportion`);
  if (n === 0) return { value: Number.NaN, low: 0, high: 1, n };
  const z = normalQuantile((1 + confidence) / 2);
  const p = hits / n;
  const scale = 1 + z ** 2 / n;
  const middle = (p + z ** 2 / (2 * n)) / scale;
  const half = (z * Math.sqrt((p * (1 - p)) / n + z ** 2 / (4 * n ** 2))) / scale;
  // At the ends the bound is exactly 0 or 1; rounding would put it beside them.
  return { value: p, low: hits === 0 ? 0 : middle - half, high: hits === n ? 1 : middle + half, n };
}

export interface Judged {
  /** What people say. */
  truth: boolean;
  /** What the extractor says. */
  predicted: boolean;
  /** Items of one cluster (a prompt, a conclusion) are drawn together; each item its own where it is left out. */
  cluster?: string;
}

export interface Confusion {
  truePositive: number;
  falsePositive: number;
  falseNegative: number;
  trueNegative: number;
}

export function confusionOf(items: Iterable<Judged>): Confusion {
  const counts = { truePositive: 0, falsePositive: 0, falseNegative: 0, trueNegative: 0 };
  for (const { truth, predicted } of items) {
    if (predicted) counts[truth ? "truePositive" : "falsePositive"]++;
    else counts[truth ? "falseNegative" : "trueNegative"]++;
  }
  return counts;
}

export interface Scores {
  precision: number;
  recall: number;
  f1: number;
}

/**
 * precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN), their harmonic mean (van Rijsbergen,
 * Information Retrieval, 1979, ch. 7). NaN where the denominator is 0.
 */
export function scoresOf({ truePositive, falsePositive, falseNegative }: Confusion): Scores {
  return {
    precision: truePositive / (truePositive + falsePositive),
    recall: truePositive / (truePositive + falseNegative),
    f1: (2 * truePositive) / (2 * truePositive + falsePositive + falseNegative),
  };
}

export interface BootstrapScoresOptions {
  resamples?: number;
  confidence?: number;
  seed?: number;
}

/** Keeps these draws apart from those of `bootstrapMean` under the same seed. */
const DOMAIN = 0x70726631;

/**
 * Precision, recall and F1 with percentile bootstrap intervals over clusters (Efron and Tibshirani, An Introduction to the
 * Bootstrap, 1993, ch. 13). Resamples in which a score has no denominator are left out of its interval.
 */
export function bootstrapScores(
  items: readonly Judged[],
  options: BootstrapScoresOptions = {},
): Record<keyof Scores, Estimate> {
  const { resamples = 2000, confidence = 0.95, seed = 0 } = options;
  const clusters = new Map<string | number, Judged[]>();
  for (const [index, item] of items.entries()) {
    const key = item.cluster ?? index;
    const cluster = clusters.get(key);
    if (cluster === undefined) clusters.set(key, [item]);
    else cluster.push(item);
  }
  const counts = [...clusters.values()].map(confusionOf);
  const drawn: Record<keyof Scores, number[]> = { precision: [], recall: [], f1: [] };
  for (let resample = 0; resample < resamples && counts.length > 0; resample++) {
    const scores = scoresOf(resampled(counts, resample, seed));
    for (const name of Object.keys(drawn) as (keyof Scores)[])
      if (Number.isFinite(scores[name])) drawn[name].push(scores[name]);
  }
  const total = confusionOf(items);
  const { truePositive, falsePositive, falseNegative } = total;
  const denominators = {
    precision: truePositive + falsePositive,
    recall: truePositive + falseNegative,
    f1: items.length,
  };
  const estimate = (name: keyof Scores): Estimate => {
    const sorted = drawn[name].sort((left, right) => left - right);
    const end = (q: number): number => (sorted.length === 0 ? Number.NaN : sortedQuantile(sorted, q));
    const [low, high] = [end((1 - confidence) / 2), end((1 + confidence) / 2)];
    return { value: scoresOf(total)[name], low, high, n: denominators[name] };
  };
  return { precision: estimate("precision"), recall: estimate("recall"), f1: estimate("f1") };
}

function resampled(counts: readonly Confusion[], resample: number, seed: number): Confusion {
  const sum = { truePositive: 0, falsePositive: 0, falseNegative: 0, trueNegative: 0 };
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] as const;
  for (let done = 0; done < counts.length; done += 4) {
    const block = philox([done, resample, 0, DOMAIN], key);
    for (let lane = 0; lane < 4 && done + lane < counts.length; lane++) {
      const one = counts[Math.floor((block[lane]! / 2 ** 32) * counts.length)]!;
      sum.truePositive += one.truePositive;
      sum.falsePositive += one.falsePositive;
      sum.falseNegative += one.falseNegative;
    }
  }
  return sum;
}
