/**
 * Everything about a model that its files say - shape, where each tensor lies, tokenizer, chat template - without its
 * weights: those the core maps from the places listed here.
 */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describeFileError, FileError, ModelFormatError, UnsupportedError } from "../errors.js";
import type { NativeConfig, NativeTensor } from "../native.js";
import { type ModelConfig, type ModelFamily, parseConfig } from "./config.js";
import { parseGgufConfig } from "./config-gguf.js";
import { decodeFloats } from "./floats.js";
import { type GgufHeader, readGgufHeader } from "./gguf.js";
import { readOptionalJson } from "./json-file.js";
import { matchTensors, type StoredTensor } from "./model-tensors.js";
import type { Rope } from "./rope.js";
import { readSafetensorsHeader, readSafetensorsIndex, requireFloats } from "./safetensors.js";
import type { WeightFormat } from "./tensor-names.js";
import { readFolderText, readGgufText, type TextFiles } from "./text-files.js";

export interface ModelFiles extends TextFiles {
  /** The .gguf file, or the folder of config.json. */
  path: string;
  format: WeightFormat;
  family: ModelFamily;
  config: NativeConfig;
  /** What the config's inverse frequencies came from. */
  rope: Rope;
  tensors: NativeTensor[];
  /** Numbers in all tensors; an embedding that serves as head counts once. */
  parameters: number;
  /** Every file that was read or will be mapped. */
  files: string[];
  /** What a user should know, a sentence each. */
  notes: string[];
}

const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/**
 * @param path a .gguf file, a folder with config.json and safetensors (in one file or in shards with an index), or a
 *   folder with one .gguf file
 * @throws FileError where something is not there or cannot be read
 * @throws ModelFormatError where something is damaged or does not fit together
 * @throws UnsupportedError naming what valora does not compute
 */
export async function readModelFiles(path: string): Promise<ModelFiles> {
  const names = await listFolder(path);
  if (names === null) return readGguf(path);
  const weights = [WEIGHTS, INDEX].find((name) => names.includes(name));
  if (weights !== undefined && names.includes("config.json")) return readFolder(path, weights);
  const ggufs = names.filter((name) => name.endsWith(".gguf")).sort();
  if (ggufs.length === 1) return readGguf(join(path, ggufs[0] as string));
  if (ggufs.length > 1) {
    throw new ModelFormatError(`${path} holds ${ggufs.length} .gguf files; name one of them, for example ${ggufs[0]}`);
  }
  if (weights === undefined && names.some((name) => /^pytorch_model.*\.bin$/.test(name))) {
    throw new UnsupportedError(
      `${path} holds weights as PyTorch pickles only, which valora does not read; save them as safetensors`,
    );
  }
  throw new ModelFormatError(
    `${path} holds no model: expected config.json with ${WEIGHTS} or ${INDEX}, or one .gguf file; found ${
      weights === undefined ? "no weights" : `${weights} without config.json`
    }`,
  );
}

/** The names in a folder; null for a file. */
async function listFolder(path: string): Promise<string[] | null> {
  try {
    return (await stat(path)).isDirectory() ? await readdir(path) : null;
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}

async function readFolder(path: string, weights: string): Promise<ModelFiles> {
  const configPath = join(path, "config.json");
  const json = (await readOptionalJson(configPath)) ?? {};
  const model = parseConfig(json, configPath);
  const files = [configPath, join(path, weights)];
  const stored =
    weights === INDEX ? await readSafetensorsIndex(join(path, INDEX)) : await readOneFile(join(path, WEIGHTS));
  const tensors = matchTensors(
    stored.map((tensor): StoredTensor => ({ ...tensor, dtype: requireFloats(tensor, tensor.file) })),
    model,
    "safetensors",
    false,
    path,
  );
  if (weights === INDEX) files.push(...new Set(stored.map(({ file }) => file)));
  const text = await readFolderText(path, json, model.config.vocabulary, files);
  return assemble(path, "safetensors", model, tensors, text, files);
}

async function readOneFile(file: string) {
  return (await readSafetensorsHeader(file)).tensors.map((tensor) => ({ ...tensor, file }));
}

async function readGguf(path: string): Promise<ModelFiles> {
  if (path.endsWith(".safetensors")) {
    throw new ModelFormatError(`${path} is one file of a model; name its folder, which holds config.json too`);
  }
  const header = await readGgufHeader(path);
  const model = parseGgufConfig(header, await readRopeDivisors(path, header), path);
  const stored = header.tensors.map(
    (tensor): StoredTensor => ({ ...tensor, file: path, shape: [...tensor.shape].reverse() }),
  );
  // llama.cpp rotates neighbouring rows of `llama` models only; the other families keep transformers' two halves.
  const tensors = matchTensors(stored, model, "gguf", model.family === "llama", path);
  return assemble(path, "gguf", model, tensors, readGgufText(header.metadata, path), [path]);
}

/** The numbers of rope_freqs.weight, a part of the config that GGUF keeps among the tensors; null where there is none. */
async function readRopeDivisors(path: string, { tensors }: GgufHeader): Promise<number[] | null> {
  const tensor = tensors.find(({ name }) => name === "rope_freqs.weight");
  if (tensor === undefined) return null;
  // The widest head that the core takes has 4096 coordinates, so 2048 divisors.
  if (tensor.dtype !== "F32" || tensor.bytes > 4 * 2048) {
    throw new ModelFormatError(
      `${path}: rope_freqs.weight is ${tensor.dtype} in ${tensor.bytes} bytes, expected F32 for half a head`,
    );
  }
  try {
    const file = await open(path, "r");
    try {
      const bytes = new Uint8Array(tensor.bytes);
      await file.read(bytes, 0, bytes.length, tensor.offset);
      return Array.from(decodeFloats(bytes, "F32"));
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}

function assemble(
  path: string,
  format: WeightFormat,
  { family, config, rope, notes }: ModelConfig,
  tensors: NativeTensor[],
  text: TextFiles,
  files: string[],
): ModelFiles {
  const parameters = tensors.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  return { path, format, family, config, rope, tensors, parameters, ...text, files, notes };
}
