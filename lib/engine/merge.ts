/**
 * Merging: a model folder whose matrices are W + scale · B A, computed in float32 and stored as BF16 or F32, never
 * requantised, and the proof that it is the same model: the same tokens scored by model + adapter and by the folder
 * as it was written. The folder appears only after the proof.
 */
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describeFileError, FileError, fromNative, UsageError, ValoraError } from "../errors.js";
import { syncFolder, temporaryName, writeFileAtomic } from "../files/atomic.js";
import { sha256File } from "../files/hash.js";
import { writeManifest } from "../files/manifest.js";
import { isLinearKind } from "../models/linear-kinds.js";
import { type MergedDtype, writeMergedFolder } from "../models/merged-folder.js";
import { createSafetensorsWriter, type NewTensor } from "../models/safetensors.js";
import { isVector, tensorName } from "../models/tensor-names.js";
import type { NativeTensor } from "../native.js";
import type { Adapter } from "./adapter.js";
import { throwIfAborted } from "./cancel.js";
import type { Isa } from "./device.js";
import { encodeStart } from "./encode.js";
import { manifestOf } from "./manifest-of.js";
import type { Model } from "./model.js";
import { MODEL_CARD, renderMergedCard } from "./model-card.js";
import { openModel } from "./open.js";
import { drawBelow } from "./random.js";
import type { ScoreRequest } from "./requests.js";

export interface MergeProgress {
  /** Bytes of weights written, and in all. */
  done: number;
  total: number;
}

export interface MergeOptions {
  /** How all tensors are stored; default "BF16". */
  dtype?: MergedDtype;
  signal?: AbortSignal;
  onProgress?: (progress: MergeProgress) => void;
}

/** What was written, and how near it is to model + adapter. */
export interface MergeProof {
  output: string;
  dtype: MergedDtype;
  /** Matrices that the adapter changed. */
  merged: number;
  /** Tokens whose log-probabilities were compared. */
  tokens: number;
  /** Sums of their log-probabilities under the model alone, with the adapter, and merged. */
  logprob_base: number;
  logprob_adapter: number;
  logprob_merged: number;
  /** Between adapter and merged, a token. */
  largest_difference: number;
  mean_difference: number;
}

/** Numbers read from the core at a time: 16 MiB, so that memory stays small and calls few. */
const CHUNK_NUMBERS = 1 << 22;

/**
 * @param dir does not exist yet, or is empty
 * @throws UsageError where it holds something, FileError where it cannot be written
 * @throws UnsupportedError where transformers has no words for what a GGUF file holds
 */
export async function mergeAdapter(
  model: Model,
  adapter: Adapter,
  dir: string,
  options: MergeOptions = {},
): Promise<MergeProof> {
  const { dtype = "BF16", signal, onProgress } = options;
  if (dtype !== "BF16" && dtype !== "F32") throw new UsageError(`dtype "${String(dtype)}": choose BF16 or F32`);
  if (adapter.model !== model)
    throw new UsageError("this adapter belongs to another model; load it into the one it is merged with");
  await requireEmpty(dir);
  const draft = temporaryName(dir);
  try {
    await mkdir(draft, { recursive: true });
    await writeMergedFolder(model.files, draft, dtype);
    await writeWeights(model, adapter, join(draft, "model.safetensors"), dtype, signal, onProgress);
    const comparison = await compare(model, adapter, draft, signal);
    const merged = (await adapter.modules()).length;
    const proof: MergeProof = { output: dir, dtype, merged, ...comparison };
    await describe(model, adapter, draft, proof);
    await rmdir(dir).catch(() => {}); // an empty one stands in the way of the rename on some systems
    await rename(draft, dir);
    await syncFolder(dirname(dir));
    return proof;
  } catch (error) {
    if (error instanceof ValoraError || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new FileError(`${dir} cannot be written: ${describeFileError(error)}`, { cause: error });
  } finally {
    await rm(draft, { recursive: true, force: true }).catch(() => {});
  }
}

async function describe(model: Model, adapter: Adapter, folder: string, proof: MergeProof): Promise<void> {
  const { output, ...figures } = proof;
  const options = { model: model.name, output, dtype: proof.dtype };
  const manifest = await manifestOf(model, {
    command: "merge",
    options,
    sha256: {
      adapter: await adapter.hash(),
      output: await sha256File(join(folder, "model.safetensors")),
    },
  });
  const full = { ...manifest, options, proof: figures };
  await writeFileAtomic(join(folder, MODEL_CARD), renderMergedCard(full));
  await writeManifest(join(folder, "manifest.json"), full);
}

async function requireEmpty(dir: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new FileError(`${dir} cannot be used as output: ${describeFileError(error)}`, { cause: error });
  }
  if (names.length > 0) throw new UsageError(`output ${dir}: it already holds ${names[0]}; choose another folder`);
}

async function writeWeights(
  model: Model,
  adapter: Adapter,
  path: string,
  dtype: MergedDtype,
  signal: AbortSignal | undefined,
  onProgress: ((progress: MergeProgress) => void) | undefined,
): Promise<void> {
  const { tensors, family } = model.files;
  const named = tensors.map((tensor) => ({ tensor, name: tensorName("safetensors", family, tensor) }));
  const layout = named.map(({ tensor, name }): NewTensor => ({ name, shape: shapeOf(tensor), dtype }));
  const width = dtype === "F32" ? 4 : 2;
  const progress: MergeProgress = {
    done: 0,
    total: tensors.reduce((sum, { rows, cols }) => sum + rows * cols * width, 0),
  };
  const writer = await createSafetensorsWriter(path, layout, { format: "pt" });
  try {
    for (const { tensor, name } of named) {
      const { role, layer, rows, cols } = tensor;
      const handle = isLinearKind(role) ? adapter.handle : 0;
      const step = Math.max(1, Math.floor(CHUNK_NUMBERS / cols));
      for (let begin = 0; begin < rows; begin += step) {
        throwIfAborted(signal);
        const count = Math.min(step, rows - begin);
        const values = await model.native.readTensor(role, layer, begin, count, handle).catch((error: unknown) => {
          throw fromNative(error);
        });
        await writer.write(name, values);
        progress.done += values.length * width;
        onProgress?.({ ...progress });
      }
    }
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

function shapeOf({ role, rows, cols }: NativeTensor): number[] {
  return isVector(role) ? [cols] : [rows, cols];
}

/** Plain sentences, dialogue, arithmetic, code and another language: what the two are compared on. */
const SAMPLES = [
  "The committee met on Tuesday to decide how the remaining money should be spent, and could not agree.",
  "I understand why you are upset, and I am sorry. Would you like to tell me what happened next?",
  "If a train travels 60 kilometres in 45 minutes, its average speed is 80 kilometres per hour.",
  "def mean(values):\n    total = sum(values)\n    return total / len(values)\n",
  "Die Freiheit des Einzelnen endet dort, wo die Freiheit des anderen beginnt.",
];

/** Sequences of random tokens, for a model without a tokenizer. */
const RANDOM_SEQUENCES = 4;
const RANDOM_LENGTH = 24;

/** Each sequence scored from its second token on. */
function sampleRequests(model: Model): ScoreRequest[] {
  const { vocabulary, maxPositions } = model.files.config;
  const sequences =
    model.tokenizer === null
      ? Array.from({ length: RANDOM_SEQUENCES }, (_, sequence) =>
          Array.from({ length: RANDOM_LENGTH }, (_, at) => drawBelow(vocabulary, 0, sequence, at)),
        )
      : SAMPLES.map((text) => encodeStart(model, text));
  return sequences.map((tokens, index) => ({
    id: String(index),
    context_tokens: tokens.slice(0, 1),
    completions_tokens: [tokens.slice(1, maxPositions)],
  }));
}

type Comparison = Pick<
  MergeProof,
  "tokens" | "logprob_base" | "logprob_adapter" | "logprob_merged" | "largest_difference" | "mean_difference"
>;

async function compare(
  model: Model,
  adapter: Adapter,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Comparison> {
  const requests = sampleRequests(model);
  const score = async (scored: Model, one: Adapter | null): Promise<number[]> => {
    const logprobs: number[] = [];
    const options = { adapters: { one }, perToken: true, ...(signal === undefined ? {} : { signal }) };
    for await (const result of scored.score(requests, options)) logprobs.push(...(result.token_logprobs ?? []));
    return logprobs;
  };
  const base = await score(model, null);
  const adapted = await score(model, adapter);
  const { kind, cudaDevice, isa, compute, threads, memoryBytes } = model.device;
  const device = cudaDevice === undefined ? kind : (`cuda:${cudaDevice}` as const);
  const same = kind === "cpu" ? { isa: isa as Isa } : {};
  await using written = await openModel(folder, { device, compute, threads, memoryBytes, ...same });
  const merged = await score(written, null);
  const differences = adapted.map((logprob, index) => Math.abs(logprob - (merged[index] as number)));
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  return {
    tokens: merged.length,
    logprob_base: sum(base),
    logprob_adapter: sum(adapted),
    logprob_merged: sum(merged),
    largest_difference: Math.max(...differences),
    mean_difference: sum(differences) / differences.length,
  };
}
