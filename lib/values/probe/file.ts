/** A trained probe as a JSON file: what it reads, its weights, how well it did, and what it has seen. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { DataFormatError, describeFileError, FileError } from "../../errors.js";
import { describeIssue } from "../../files/describe-issue.js";

/** Grows when a file of the same content would give other scores. */
export const PROBE_FORMAT = "valora-probe@1";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const estimateSchema = z.object({
  value: z.number().nullable(),
  low: z.number().nullable(),
  high: z.number().nullable(),
});

const valueSchema = z.object({
  name: z.string(),
  definition: z.string(),
  /** score = σ(weights·x + bias), of the mean hidden state x; a calibrated probability. */
  weights: z.array(z.number()),
  bias: z.number(),
  /** The value is expressed from this score on: where F1 was highest. */
  threshold: z.number(),
  l2: z.number(),
  texts: z.int(),
  positives: z.int(),
  /** Cross-fitted: of scores from fits that saw nothing of a text's group. */
  figures: z.object({
    precision: estimateSchema,
    recall: estimateSchema,
    f1: estimateSchema,
    auc: estimateSchema,
    expected_calibration_error: z.number().nullable(),
    brier: z.number().nullable(),
    brier_of_share: z.number().nullable(),
  }),
});

const probeSchema = z.looseObject({
  format: z.literal(PROBE_FORMAT),
  model: z.object({ name: z.string(), sha256, layers: z.int(), channels: z.int(), compute: z.string() }),
  /** SHA-256 of the chat template; null for a model without one. */
  template: sha256.nullable(),
  /** Hidden states after this many layers. */
  layer: z.int().nonnegative(),
  training: z.object({
    input: z.string(),
    layout: z.string(),
    texts: z.int(),
    groups: z.int(),
    folds: z.int(),
    seed: z.int(),
    /** Hashed clusters, prompts and responses that it was trained on (folds.ts), with spaces between them. */
    seen: z.string(),
  }),
  values: z.array(valueSchema).min(1),
});

export type ProbeFile = z.infer<typeof probeSchema>;

/**
 * @throws FileError where it cannot be read
 * @throws DataFormatError naming the field where it is no probe
 */
export async function readProbe(path: string): Promise<ProbeFile> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DataFormatError(`${path} is not valid JSON, so no probe; train one with --train-probe`, { cause: error });
  }
  const parsed = probeSchema.safeParse(value);
  if (!parsed.success)
    throw new DataFormatError(`${path} is no probe: ${describeIssue(parsed.error)}; train one with --train-probe`);
  const { values, model, layer } = parsed.data;
  const odd = values.find(({ weights }) => weights.length !== model.channels);
  if (odd !== undefined)
    throw new DataFormatError(
      `${path}: "${odd.name}" has ${odd.weights.length} weights for a model of ${model.channels} channels; train the probe again`,
    );
  if (layer > model.layers)
    throw new DataFormatError(`${path}: layer ${layer} of a model of ${model.layers}; train the probe again`);
  return parsed.data;
}

/** One line a value: weights are long, and a diff should show which value changed. */
export function probeText(probe: ProbeFile): string {
  const { values, ...rest } = probe;
  const head = JSON.stringify(rest, null, 2).slice(0, -2);
  return `${head},\n  "values": [\n${values.map((value) => `    ${JSON.stringify(value)}`).join(",\n")}\n  ]\n}\n`;
}
