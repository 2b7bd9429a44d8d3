/**
 * Says what is at a path: a model, an adapter, a training run, an evaluation, curated data, or a data file. Weights are
 * not loaded, and data files pass by line by line, so memory does not grow with what is inspected.
 */
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { PreferenceDataOptions } from "../data/preference-data.js";
import { describeFileError, FileError, ModelFormatError, UsageError } from "../errors.js";
import { readJsonLines } from "../files/json-lines.js";
import { type Manifest, readManifest } from "../files/manifest.js";
import { type DataInspection, inspectDataFile, Tally } from "./inspect-data.js";
import { LINEAR_KINDS } from "./linear-kinds.js";
import { readModelFiles } from "./model-files.js";
import { readAdapter } from "./peft.js";
import { resolveModel } from "./registry.js";

/** Protects memory and the screen: more groups than this are counted together. */
const MAX_GROUPS = 200;

export interface ModelInspection {
  kind: "model";
  path: string;
  format: "gguf" | "safetensors";
  family: string;
  parameters: number;
  /** Of all tensors, as stored. */
  bytes: number;
  /** Tensors by stored type. */
  dtypes: Record<string, number>;
  layers: number;
  channels: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  feed_forward: number;
  vocabulary: number;
  max_positions: number;
  tied_head: boolean;
  tokenizer: boolean;
  chat_template: boolean;
  bos_token: string | null;
  eos_token: string | null;
  eos_ids: number[];
  adds_bos: boolean;
  files: string[];
}

export interface AdapterInspection {
  kind: "adapter";
  path: string;
  rank: number;
  alpha: number;
  rslora: boolean;
  /** Matrices that have a low-rank pair. */
  targets: string[];
  modules: number;
  parameters: number;
  base_model: string | null;
  /** What PEFT would do and valora leaves out. */
  warnings?: string[];
  /** The run that made it, where `valora train` did. */
  training?: TrainingFacts;
}

export interface TrainingFacts {
  /** Whether the run came to its end; one that did not goes on with `valora train --resume`. */
  complete: boolean;
  steps: number;
  /** The last line of metrics.jsonl. */
  last_step?: Record<string, unknown>;
  checkpoints?: string[];
  manifest?: ManifestFacts;
}

export interface TrainingInspection extends TrainingFacts {
  kind: "training";
  path: string;
}

export interface EvaluationInspection {
  kind: "evaluation";
  path: string;
  items: number;
  /** Mean and count of y by suite, task, metric, adapter and value; null where a y is no number. */
  groups: Record<string, unknown>[];
  groups_left_out?: number;
  files: string[];
  manifest?: ManifestFacts;
}

export interface CuratedInspection {
  kind: "curated";
  path: string;
  /** Lines of each `<value>.jsonl`. */
  pairs: Record<string, number>;
  manifest?: ManifestFacts;
}

export interface ManifestFacts {
  command: string;
  seed?: number;
  options: Record<string, unknown>;
  versions: Record<string, string>;
  sha256: Record<string, string>;
}

export type Inspection =
  | ModelInspection
  | AdapterInspection
  | TrainingInspection
  | EvaluationInspection
  | CuratedInspection
  | DataInspection;

/**
 * @param pathOrName a file, a folder, or the name of a model in the cache
 * @param options how a data file is read, where it holds preference data
 * @returns a plain object that JSON and YAML can write
 * @throws FileError where it cannot be read, UsageError where it is nothing that valora knows, and the errors of the
 *   readers where it is a damaged one
 */
export async function inspectPath(pathOrName: string, options: PreferenceDataOptions = {}): Promise<Inspection> {
  const there = await stat(pathOrName).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new FileError(`${pathOrName} cannot be read: ${describeFileError(error)}`, { cause: error });
  });
  if (there === null) return inspectModel(await resolveModel(pathOrName));
  return there.isDirectory() ? inspectFolder(pathOrName) : inspectFile(pathOrName, options);
}

async function inspectFile(path: string, options: PreferenceDataOptions): Promise<Inspection> {
  const head = await readHead(path);
  if (head === "GGUF" || path.endsWith(".gguf")) return inspectModel(path);
  if (path.endsWith(".safetensors")) {
    throw new ModelFormatError(`${path} holds tensors without their config; give the folder that it lies in`);
  }
  return inspectDataFile(path, options);
}

/** The first four bytes as Latin-1. */
async function readHead(path: string): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
      return buffer.toString("latin1", 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}

async function inspectFolder(path: string): Promise<Inspection> {
  const names = new Set(
    await readdir(path).catch((error: unknown) => {
      throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
    }),
  );
  if (names.has("adapter_config.json")) {
    const adapter = await inspectAdapter(path);
    return names.has("metrics.jsonl") ? { ...adapter, training: await inspectTraining(path, names) } : adapter;
  }
  if (names.has("config.json")) return inspectModel(path);
  if (names.has("items.jsonl")) return inspectEvaluation(path, names);
  if (names.has("metrics.jsonl") || names.has("checkpoints")) {
    return { kind: "training", path, ...(await inspectTraining(path, names)) };
  }
  if (names.has("counts.csv")) return inspectCurated(path, names);
  throw new UsageError(
    `${path} is neither a model (config.json), an adapter (adapter_config.json), a training run (metrics.jsonl), ` +
      "an evaluation (items.jsonl) nor curated data (counts.csv); give such a folder, or a file",
  );
}

async function inspectModel(path: string): Promise<ModelInspection> {
  const files = await readModelFiles(path);
  const { config, tensors } = files;
  const dtypes = new Tally();
  for (const { dtype } of tensors) dtypes.add(dtype);
  return {
    kind: "model",
    path: files.path,
    format: files.format,
    family: files.family,
    parameters: files.parameters,
    bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    dtypes: dtypes.toObject(),
    layers: config.layers,
    channels: config.channels,
    heads: config.heads,
    kv_heads: config.kvHeads,
    head_dim: config.headDim,
    feed_forward: config.feedForward,
    vocabulary: config.vocabulary,
    max_positions: config.maxPositions,
    tied_head: !tensors.some(({ role }) => role === "head"),
    tokenizer: files.tokenizer !== null,
    chat_template: files.chatTemplate !== null,
    bos_token: files.bosToken,
    eos_token: files.eosToken,
    eos_ids: files.eosIds,
    adds_bos: files.addBos,
    files: files.files,
  };
}

/** An adapter is small (a few MB), and its tensors are read: only so is it sure that it can be applied. */
async function inspectAdapter(path: string): Promise<AdapterInspection> {
  const { config, modules, ignored } = await readAdapter(path);
  return {
    kind: "adapter",
    path,
    rank: config.rank,
    alpha: config.alpha,
    rslora: config.rslora,
    targets: LINEAR_KINDS.filter((kind) => modules.some((module) => module.kind === kind)),
    modules: modules.length,
    parameters: modules.reduce((sum, { a, b }) => sum + a.length + b.length, 0),
    base_model: config.baseModel,
    ...(ignored.length === 0 ? {} : { warnings: ignored }),
  };
}

async function inspectTraining(path: string, names: ReadonlySet<string>): Promise<TrainingFacts> {
  let steps = 0;
  let last: Record<string, unknown> | undefined;
  if (names.has("metrics.jsonl")) {
    for await (const { value } of readJsonLines(join(path, "metrics.jsonl"), { onError: "skip" })) {
      steps++;
      if (value !== null && typeof value === "object") last = value as Record<string, unknown>;
    }
  }
  const saved = names.has("checkpoints") ? await readdir(join(path, "checkpoints")).catch(() => []) : [];
  const checkpoints = saved
    .filter((name) => /^step-\d+$/.test(name))
    .sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)));
  const manifest = await manifestFacts(path, names);
  return {
    complete: manifest !== undefined,
    steps,
    ...(last === undefined ? {} : { last_step: last }),
    ...(checkpoints.length === 0 ? {} : { checkpoints }),
    ...(manifest === undefined ? {} : { manifest }),
  };
}

async function inspectEvaluation(path: string, names: ReadonlySet<string>): Promise<EvaluationInspection> {
  const groups = new Map<string, { facts: Record<string, unknown>; n: number; sum: number }>();
  let items = 0;
  let leftOut = 0;
  for await (const { value } of readJsonLines(join(path, "items.jsonl"))) {
    items++;
    const item = (value ?? {}) as Record<string, unknown>;
    const facts = Object.fromEntries(
      ["suite", "task", "metric", "adapter", "value"]
        .filter((name) => item[name] !== undefined)
        .map((name) => [name, item[name]]),
    );
    const key = JSON.stringify(facts);
    let group = groups.get(key);
    if (group === undefined) {
      if (groups.size >= MAX_GROUPS) {
        leftOut++;
        continue;
      }
      group = { facts, n: 0, sum: 0 };
      groups.set(key, group);
    }
    group.n++;
    group.sum += Number(item.y);
  }
  const manifest = await manifestFacts(path, names);
  return {
    kind: "evaluation",
    path,
    items,
    groups: [...groups.values()].map(({ facts, n, sum }) => ({
      ...facts,
      n,
      mean: Number.isFinite(sum) ? sum / n : null,
    })),
    ...(leftOut === 0 ? {} : { groups_left_out: leftOut }),
    files: [...names].filter((name) => !name.startsWith(".")).sort(),
    ...(manifest === undefined ? {} : { manifest }),
  };
}

async function inspectCurated(path: string, names: ReadonlySet<string>): Promise<CuratedInspection> {
  const pairs: Record<string, number> = {};
  for (const name of [...names].filter((name) => name.endsWith(".jsonl")).sort()) {
    let lines = 0;
    for await (const _ of readJsonLines(join(path, name), { onError: "skip" })) lines++;
    pairs[name.slice(0, -".jsonl".length)] = lines;
  }
  const manifest = await manifestFacts(path, names);
  return { kind: "curated", path, pairs, ...(manifest === undefined ? {} : { manifest }) };
}

async function manifestFacts(path: string, names: ReadonlySet<string>): Promise<ManifestFacts | undefined> {
  const manifest: Manifest | null = names.has("manifest.json") ? await readManifest(join(path, "manifest.json")) : null;
  if (manifest === null) return undefined;
  const { command, seed, options, versions, sha256 } = manifest;
  return { command, ...(seed === undefined ? {} : { seed }), options, versions, sha256 };
}
