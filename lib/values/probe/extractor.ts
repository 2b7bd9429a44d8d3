/**
 * The `probe` extractor: a trained line through a local model's mean hidden states for each value (train.ts), whose
 * scores are calibrated probabilities. It needs the model that it was trained on.
 */
import { createHash } from "node:crypto";
import type { Model } from "../../engine/model.js";
import { DataFormatError, UsageError, type ValoraError } from "../../errors.js";
import type { Exchange, Extractor, Scores } from "../extractor.js";
import { responseIds } from "../response-ids.js";
import type { Value } from "../taxonomy.js";
import { embedRequestOf, WORDING } from "./features.js";
import { type ProbeFile, readProbe } from "./file.js";
import { sigmoid } from "./regression.js";

/** Grows when the same probe gives other scores. */
const NAME = "probe@1";

/** Responses between two writes of the cache: a second's work of a small model. */
const BATCH = 32;

export interface OpenProbeOptions {
  onNote?: ((message: string) => void) | undefined;
}

/**
 * Disposes of the model with the extractor, and where it cannot be made.
 *
 * @throws UsageError where the probe knows none of the values, or is another model's
 * @throws FileError, DataFormatError for a file that is no probe
 */
export async function openProbe(
  path: string,
  values: readonly Value[],
  openModel: () => Promise<Model>,
  { onNote }: OpenProbeOptions = {},
): Promise<Extractor> {
  const probe = await readProbe(path);
  const known = chooseKnown(path, probe, values, onNote);
  const model = await openModel();
  try {
    await checkModel(path, probe, model);
    return {
      name: NAME,
      settings: {
        model: await model.hash(),
        template: templateHash(model),
        compute: model.device.compute,
        layer: probe.layer,
        wording: { ...WORDING, turn: WORDING.turn("ROLE", "CONTENT") },
        values: known.map(({ name, weights, bias }) => ({ name, weights, bias })),
      },
      values: known.map(({ name }) => name),
      threshold: 0.5,
      thresholds: Object.fromEntries(known.map(({ name, threshold }) => [name, threshold])),
      cached: true,
      batchSize: BATCH,
      concurrency: 1,
      score: (batch, asked, { signal }) => scoreBatch(model, probe, batch, asked, signal),
      dispose: () => model.dispose(),
    };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

/** SHA-256 of the chat template; null for a model without one. */
export function templateHash(model: Pick<Model, "chatTemplate">): string | null {
  const source = model.chatTemplate?.source;
  return source === undefined ? null : createHash("sha256").update(source).digest("hex");
}

function chooseKnown(
  path: string,
  probe: ProbeFile,
  values: readonly Value[],
  onNote: ((message: string) => void) | undefined,
): ProbeFile["values"] {
  const wanted = new Set(values.map(({ name }) => name));
  const known = probe.values.filter(({ name }) => wanted.has(name));
  const names = probe.values.map(({ name }) => name).join(", ");
  if (known.length === 0)
    throw new UsageError(`--probe: ${path} knows ${names}, and none of these was asked for; name them with --value`);
  const missing = [...wanted].filter((name) => known.every((value) => value.name !== name));
  if (missing.length > 0) onNote?.(`${path} knows nothing of ${missing.join(", ")}: these count as not expressed`);
  return known;
}

async function checkModel(path: string, probe: ProbeFile, model: Model): Promise<void> {
  if ((await model.hash()) !== probe.model.sha256)
    throw new UsageError(
      `--probe: ${path} was trained on the hidden states of ${probe.model.name}, and --model ${model.name} has other weights; give that model, or train a probe on this one`,
    );
  if (templateHash(model) !== probe.template)
    throw new UsageError(
      `--probe: ${path} was trained under another chat template than ${model.name} has here; give that template, or train the probe again`,
    );
}

async function scoreBatch(
  model: Model,
  probe: ProbeFile,
  batch: readonly Exchange[],
  asked: readonly Value[],
  signal: AbortSignal | undefined,
): Promise<(Scores | ValoraError)[]> {
  const names = new Set(asked.map(({ name }) => name));
  const values = probe.values.filter(({ name }) => names.has(name));
  const answers = new Array<Scores | undefined>(batch.length);
  const reasons: string[] = [];
  const ids = responseIds(batch);
  const places = new Map(ids.map((id, index) => [id, index]));
  const requests = batch.map(({ prompt, response }, index) => embedRequestOf(model, ids[index]!, prompt, response));
  const embedded = model.embed(requests, {
    layer: probe.layer,
    signal,
    onError: "skip",
    onSkip: (reason) => reasons.push(reason),
  });
  for await (const { id, embedding } of embedded)
    answers[places.get(id)!] = Object.fromEntries(
      values.map(({ name, weights, bias }) => {
        const z = weights.reduce((sum, weight, channel) => sum + weight * embedding[channel]!, bias);
        return [name, sigmoid(z)];
      }),
    );
  // What was left out is told in the order of the requests.
  return Array.from(answers, (answer) => answer ?? new DataFormatError(reasons.shift() ?? "a response was left out"));
}
