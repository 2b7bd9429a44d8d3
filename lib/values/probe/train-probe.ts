/** From labelled texts to a probe and its figures: hidden states, folds, one fit a value (train.ts), the report. */
import { defaultLayer } from "../../engine/embed.js";
import type { Model } from "../../engine/model.js";
import type { ItemErrorOptions } from "../../engine/requests.js";
import { DataFormatError } from "../../errors.js";
import type { Estimate } from "../../metrics/classification.js";
import type { LabelledText } from "../../precision/labelled.js";
import { measurePrecision, type PrecisionReport, type ValuePrecision } from "../../precision/measure.js";
import type { Scores } from "../extractor.js";
import type { Value } from "../taxonomy.js";
import { templateHash } from "./extractor.js";
import { embedRequestOf } from "./features.js";
import { PROBE_FORMAT, type ProbeFile } from "./file.js";
import { foldsOf, groupsOf, instructionsOf, keysOf } from "./folds.js";
import type { Features } from "./regression.js";
import { fitsOf, type TrainedValue, trainValue } from "./train.js";

export interface TrainProbeOptions extends ItemErrorOptions {
  /** Default `defaultLayer`: about two thirds of the depth. */
  layer?: number | undefined;
  seed: number;
  /** Where the texts come from, for the file. */
  input: string;
  layout: string;
  signal?: AbortSignal | undefined;
  /** Texts read of all, then fits made of all. */
  onProgress?: ((what: "reading" | "fitting", done: number, total: number) => void) | undefined;
  /** Told of values that cannot be learnt. */
  onNote?: ((message: string) => void) | undefined;
}

export interface TrainedProbe {
  file: ProbeFile;
  /** Cross-fitted: what the probe does on texts of groups that it has not seen. */
  report: PrecisionReport;
}

const FOLDS = 5;
/** Fewer texts of a kind say nothing that a fit of hundreds of weights could learn. */
const MIN_EXAMPLES = 10;

/**
 * @throws DataFormatError where no value can be learnt from the texts, and for a text that cannot be embedded unless such
 *   are to be skipped
 */
export async function trainProbe(
  model: Model,
  texts: readonly LabelledText[],
  values: readonly Value[],
  options: TrainProbeOptions,
): Promise<TrainedProbe> {
  const { layers, channels } = model.files.config;
  const layer = options.layer ?? defaultLayer(layers);
  const { used, features } = await embedTexts(model, texts, layer, options);
  const groups = groupsOf(used);
  const folds = foldsOf(groups, FOLDS, options.seed);
  const learnable = values.filter(({ name }) => isLearnable(name, used, folds, options.onNote));
  if (learnable.length === 0)
    throw new DataFormatError(
      `${options.input}: no value has ${MIN_EXAMPLES} texts with it and ${MIN_EXAMPLES} without it in more than one group; label more texts`,
    );
  const trained = new Map<string, TrainedValue & { rows: number[] }>();
  const total = learnable.length * fitsOf(FOLDS);
  let fits = 0;
  for (const { name } of learnable) {
    const rows = used.flatMap(({ labels }, row) => (labels.has(name) ? [row] : []));
    const truth = rows.map((row) => used[row]!.labels.get(name)!);
    const foldOf = rows.map((row) => folds[row]!);
    const one = trainValue(features, rows, truth, foldOf, {
      signal: options.signal,
      onFit: () => options.onProgress?.("fitting", ++fits, total),
    });
    trained.set(name, { ...one, rows });
    // Fits hold the thread: lets a signal and the progress through.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const report = reportOf(used, groups, learnable, trained, options.seed);
  const isInstruction = instructionsOf(used);
  return {
    report,
    file: {
      format: PROBE_FORMAT,
      model: { name: model.name, sha256: await model.hash(), layers, channels, compute: model.device.compute },
      template: templateHash(model),
      layer,
      training: {
        input: options.input,
        layout: options.layout,
        texts: used.length,
        groups: new Set(groups).size,
        folds: FOLDS,
        seed: options.seed,
        seen: [...new Set(used.flatMap((text) => keysOf(text, isInstruction)))].sort().join(" "),
      },
      values: learnable.map(({ name, definition }) => {
        const { weights, bias, threshold, l2 } = trained.get(name)!.probe;
        const measured = report.values.find(({ value }) => value === name)!;
        const { texts, positives } = measured;
        const figures = figuresOf(measured);
        return {
          name,
          definition,
          texts,
          positives,
          threshold,
          l2,
          bias,
          figures,
          weights: Array.from(weights, short),
        };
      }),
    },
  };
}

/** Texts of one prompt follow one another, so that the prompt is computed once; their own order is kept in the result. */
async function embedTexts(
  model: Model,
  texts: readonly LabelledText[],
  layer: number,
  { onError, onSkip, signal, onProgress }: TrainProbeOptions,
): Promise<{ used: LabelledText[]; features: Features }> {
  const { channels } = model.files.config;
  const byPrompt = new Map<string, number[]>();
  for (const [index, { prompt }] of texts.entries()) {
    const key = JSON.stringify(prompt);
    const same = byPrompt.get(key);
    if (same === undefined) byPrompt.set(key, [index]);
    else same.push(index);
  }
  const order = [...byPrompt.values()].flat();
  const places = new Map(texts.map(({ id }, index) => [id, index]));
  const states = new Array<Float32Array | undefined>(texts.length);
  const requests = order.map((index) => {
    const { id, prompt, response } = texts[index]!;
    return embedRequestOf(model, id, prompt, response);
  });
  const embedded = model.embed(requests, {
    layer,
    signal,
    ...(onError && { onError }),
    ...(onSkip && { onSkip }),
    onProgress: ({ done }) => onProgress?.("reading", done, texts.length),
  });
  for await (const { id, embedding } of embedded) states[places.get(id)!] = embedding;
  const rows = texts.flatMap((_, index) => (states[index] === undefined ? [] : [index]));
  const data = new Float32Array(rows.length * channels);
  for (const [row, index] of rows.entries()) data.set(states[index]!, row * channels);
  return { used: rows.map((index) => texts[index]!), features: { data, channels } };
}

/** Whether there is enough of both kinds, and that not all in one fold. */
function isLearnable(
  name: string,
  texts: readonly LabelledText[],
  folds: readonly number[],
  onNote: ((message: string) => void) | undefined,
): boolean {
  const labelled = texts.flatMap(({ labels }, index) => {
    const truth = labels.get(name);
    return truth === undefined ? [] : [{ truth, fold: folds[index]! }];
  });
  if (labelled.length === 0) return false;
  for (const kind of [true, false]) {
    const some = labelled.filter(({ truth }) => truth === kind);
    const spread = new Set(some.map(({ fold }) => fold)).size;
    if (some.length >= MIN_EXAMPLES && spread > 1) continue;
    const what = kind ? "with" : "without";
    onNote?.(
      `${name} is left out: ${some.length} texts ${what} it in ${spread} of ${FOLDS} folds are too few to learn from`,
    );
    return false;
  }
  return true;
}

function reportOf(
  texts: readonly LabelledText[],
  groups: readonly number[],
  values: readonly Value[],
  trained: ReadonlyMap<string, TrainedValue & { rows: readonly number[] }>,
  seed: number,
): PrecisionReport {
  const scores = texts.map((): Scores => ({}));
  const thresholds = new Map<string, Map<number, number>>();
  for (const [name, { rows, scores: given, thresholds: cuts }] of trained) {
    const byText = new Map<number, number>();
    for (const [place, row] of rows.entries()) {
      scores[row]![name] = given[place]!;
      byText.set(row, cuts[place]!);
    }
    thresholds.set(name, byText);
  }
  // What shares a fold for its words is no independent text either.
  const grouped = texts.map((text, index) => ({ ...text, cluster: String(groups[index]) }));
  const names = values.map(({ name }) => name);
  const thresholdOf = (value: string, index: number): number => thresholds.get(value)!.get(index)!;
  return measurePrecision("probe@1, cross-fitted", grouped, scores, names, { thresholdOf, seed });
}

function figuresOf({ scores, auc, calibration }: ValuePrecision): ProbeFile["values"][number]["figures"] {
  const number = (value: number | undefined): number | null =>
    value === undefined || !Number.isFinite(value) ? null : short(value);
  const estimate = ({ value, low, high }: Estimate) => ({ value: number(value), low: number(low), high: number(high) });
  return {
    precision: estimate(scores.precision),
    recall: estimate(scores.recall),
    f1: estimate(scores.f1),
    auc: estimate(auc),
    expected_calibration_error: number(calibration?.expectedError),
    brier: number(calibration?.brier),
    brier_of_share: number(calibration?.brierOfShare),
  };
}

/** Nine digits: as many as the hidden states, float32, have. */
function short(value: number): number {
  return Number(value.toPrecision(9));
}
