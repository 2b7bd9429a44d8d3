/** How far an extractor agrees with people: value by value, beside what chance would reach. */
import { brierScore, expectedCalibrationError, type Forecast } from "../metrics/calibration.js";
import {
  bootstrapScores,
  confusionOf,
  type Estimate,
  type Judged,
  type Scores as PrecisionScores,
  wilson,
} from "../metrics/classification.js";
import type { Scores } from "../values/extractor.js";
import { bootstrapAuc } from "./auc.js";
import type { LabelledText } from "./labelled.js";
import { type PickTest, pickTests } from "./pick-tests.js";

export interface ValuePrecision {
  value: string;
  /** Texts that people labelled for this value; 0 = unvalidated. */
  texts: number;
  /** Of these, where people say yes, and where the extractor does. */
  positives: number;
  found: number;
  scores: Record<keyof PrecisionScores, Estimate>;
  /** How well the scores rank, whatever the threshold: ½ knows nothing. */
  auc: Estimate;
  /** As many yeses as the extractor says, given to texts at random. */
  random: PrecisionScores;
  /** F1 of saying yes to every text: the best of what knows nothing. */
  alwaysF1: number;
  calibration: Calibration | null;
}

export interface Calibration {
  /** Over ten bins of equal width. */
  expectedError: number;
  brier: number;
  /** Of always giving the share of yeses: what knows nothing but that. */
  brierOfShare: number;
}

export interface PrecisionReport {
  extractor: string;
  texts: number;
  /** null where no text names one: each then stands alone. */
  clusters: number | null;
  values: ValuePrecision[];
  picks: PickTest[];
}

export interface MeasureOptions {
  /** From this score on the extractor says yes to a value, in text `index`. */
  thresholdOf: (value: string, index: number) => number;
  seed: number;
  resamples?: number;
}

/**
 * Intervals are percentile bootstraps over clusters (`bootstrapScores`). Random scores are those of the expected counts:
 * with π the share of texts where people say yes and q the share where the extractor does, precision π, recall q and
 * F1 2πq / (π + q); always saying yes has q = 1.
 *
 * @param scores of each text, in the same order; null leaves the text out
 */
export function measurePrecision(
  extractor: string,
  texts: readonly LabelledText[],
  scores: readonly (Scores | null)[],
  values: readonly string[],
  { thresholdOf, seed, resamples }: MeasureOptions,
): PrecisionReport {
  const scored = texts.flatMap((text, index) => {
    const given = scores[index];
    return given == null ? [] : [{ text, scores: given, index }];
  });
  const clusters = new Set(scored.flatMap(({ text }) => text.cluster ?? []));
  return {
    extractor,
    texts: scored.length,
    clusters: clusters.size === 0 ? null : clusters.size,
    values: values.map((value) => {
      const judged: Judged[] = [];
      const forecasts: Forecast[] = [];
      for (const { text, scores, index } of scored) {
        const truth = text.labels.get(value);
        if (truth === undefined) continue;
        const probability = scores[value] ?? 0;
        judged.push({
          truth,
          predicted: probability >= thresholdOf(value, index),
          ...(text.cluster === null ? {} : { cluster: text.cluster }),
        });
        forecasts.push({ probability, truth });
      }
      return measureValue(value, judged, forecasts, { seed, ...(resamples === undefined ? {} : { resamples }) });
    }),
    picks: pickTests(scored, values, seed),
  };
}

function measureValue(
  value: string,
  judged: readonly Judged[],
  forecasts: readonly Forecast[],
  options: { seed: number; resamples?: number },
): ValuePrecision {
  const { truePositive, falsePositive, falseNegative } = confusionOf(judged);
  const n = judged.length;
  const [positives, found] = [truePositive + falseNegative, truePositive + falsePositive];
  const [share, marked] = [positives / n, found / n];
  // Yes and no alone are no probabilities.
  const graded = forecasts.some(({ probability }) => probability > 0 && probability < 1);
  return {
    value,
    texts: n,
    positives,
    found,
    scores: scoresWithIntervals(judged, options),
    auc: bootstrapAuc(
      judged.map(({ truth, cluster }, index) => ({ truth, cluster, score: forecasts[index]!.probability })),
      options,
    ),
    random: { precision: share, recall: marked, f1: (2 * share * marked) / (share + marked) },
    alwaysF1: (2 * share) / (share + 1),
    calibration: graded
      ? {
          expectedError: expectedCalibrationError(forecasts),
          brier: brierScore(forecasts),
          brierOfShare: share * (1 - share),
        }
      : null,
  };
}

/**
 * Bootstrapped over clusters. Where a share is 0 or 1 every resample repeats it, and the bootstrap knows nothing: its
 * interval is then Wilson's of as many trials as clusters have a say in it. F1 then has none.
 */
function scoresWithIntervals(
  judged: readonly Judged[],
  options: { seed: number; resamples?: number },
): Record<keyof PrecisionScores, Estimate> {
  const scores = bootstrapScores(judged, options);
  const widened = (estimate: Estimate, counts: (item: Judged) => boolean): Estimate => {
    if (estimate.value !== 0 && estimate.value !== 1) return estimate;
    const trials = new Set(judged.flatMap((item, index) => (counts(item) ? [item.cluster ?? index] : []))).size;
    const { low, high } = wilson(estimate.value * trials, trials);
    return { ...estimate, low, high };
  };
  const { f1 } = scores;
  return {
    precision: widened(scores.precision, ({ predicted }) => predicted),
    recall: widened(scores.recall, ({ truth }) => truth),
    f1: f1.value === 0 || f1.value === 1 ? { ...f1, low: Number.NaN, high: Number.NaN } : f1,
  };
}
