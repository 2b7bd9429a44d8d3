/**
 * LoRA adapters in PEFT's layout: a folder with adapter_config.json and adapter_model.safetensors, whose tensors are called
 * `base_model.model.model.layers.N.self_attn.q_proj.lora_A.weight` ([R, I]) and `….lora_B.weight` ([O, R]).
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AdapterFormatError, describeFileError, FileError, ModelFormatError, UnsupportedError } from "../errors.js";
import { writeFileAtomic } from "../files/atomic.js";
import type { NativeLoraModule } from "../native.js";
import { LINEAR_KINDS, type LinearKind, sortModules } from "./linear-kinds.js";
import {
  isTargeted,
  makePeftConfig,
  moduleName,
  type PeftConfig,
  parseModuleName,
  parsePeftConfig,
  patternLookup,
  scaleOf,
} from "./peft-config.js";
import { readSafetensorsFile, readSafetensorsHeader, writeSafetensorsFile } from "./safetensors.js";

export type { PeftConfig } from "./peft-config.js";

export interface AdapterFiles {
  dir: string;
  config: PeftConfig;
  /** By layer, then in the order of use. */
  modules: NativeLoraModule[];
  /** What was passed over, a sentence each. */
  ignored: string[];
}

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

/** `lora_A.weight`, or `lora_A.default.weight` with the adapter's name, as state dicts of a live model have it. */
const TENSOR = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$/;

interface Half {
  tensor: string;
  shape: number[];
}

interface Pair {
  module: string;
  layer: number;
  kind: LinearKind;
  A?: Half;
  B?: Half;
}

/**
 * @throws FileError where a file is not there or cannot be read
 * @throws AdapterFormatError where one is damaged, where they do not fit together, where a number is not finite, and
 *   for kinds of adapters that valora does not apply
 */
export async function readAdapter(dir: string): Promise<AdapterFiles> {
  const ignored: string[] = [];
  const configPath = join(dir, CONFIG);
  const config = parsePeftConfig(await readConfig(configPath), configPath, ignored);
  const path = join(dir, WEIGHTS);
  const fail = (problem: string): never => {
    throw new AdapterFormatError(`${path}: ${problem}`);
  };
  const { pairs, values } = await readWeights(path, fail);
  const rankOf = patternLookup(config.rankPattern, config.rank);
  const alphaOf = patternLookup(config.alphaPattern, config.alpha);
  const modules: NativeLoraModule[] = [];
  for (const { module, layer, kind, A, B } of pairs) {
    if (A === undefined || B === undefined) return fail(`${module} has lora_${A === undefined ? "B" : "A"} only`);
    if (!isTargeted(config.targets, module)) {
      // As PEFT does: what target_modules does not name is not applied.
      ignored.push(`${module} is ignored: target_modules does not name it`);
      continue;
    }
    const rank = rankOf(module);
    checkShape(A, rank, 0, fail);
    checkShape(B, rank, 1, fail);
    const [a, b] = [values.get(A.tensor) as Float32Array, values.get(B.tensor) as Float32Array];
    for (const [half, numbers] of [
      [A, a],
      [B, b],
    ] as const) {
      const at = numbers.findIndex((number) => !Number.isFinite(number));
      if (at >= 0)
        fail(`tensor "${half.tensor}" holds ${numbers[at]} at ${at}; the adapter is damaged, or its training diverged`);
    }
    modules.push({ layer, kind, rank, scale: scaleOf(rank, alphaOf(module), config.rslora), a, b });
  }
  if (modules.length === 0) fail("it holds no low-rank pair of a layer's matrices");
  return { dir, config, modules: sortModules(modules), ignored };
}

async function readConfig(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}; is it the folder of a PEFT adapter?`, {
      cause: error,
    });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AdapterFormatError(`${path} is not valid JSON`, { cause: error });
  }
}

async function readWeights(
  path: string,
  fail: (problem: string) => never,
): Promise<{ pairs: Pair[]; values: Map<string, Float32Array> }> {
  try {
    const { tensors } = await readSafetensorsHeader(path);
    // Names and shapes first: a file of something else is refused before it is read.
    const pairs = new Map<string, Pair>();
    for (const { name, shape } of tensors) addTensor(pairs, { tensor: name, shape }, fail);
    return { pairs: [...pairs.values()], values: await readSafetensorsFile(path) };
  } catch (error) {
    if (error instanceof ModelFormatError || error instanceof UnsupportedError) {
      throw new AdapterFormatError(error.message, { cause: error });
    }
    throw error;
  }
}

function addTensor(pairs: Map<string, Pair>, half: Half, fail: (problem: string) => never): void {
  const shown = JSON.stringify(half.tensor.length > 120 ? `${half.tensor.slice(0, 120)}…` : half.tensor);
  const match = TENSOR.exec(half.tensor);
  const place = match === null ? null : parseModuleName(match[1] as string);
  if (match === null || place === null) {
    fail(`tensor ${shown} is no low-rank pair of ${LINEAR_KINDS.join(", ")}; valora applies adapters of these only`);
  }
  const module = match[1] as string;
  const side = match[2] as "A" | "B";
  const pair: Pair = pairs.get(module) ?? { module, ...place };
  if (pair[side] !== undefined) fail(`${module} has lora_${side} twice`);
  pair[side] = half;
  pairs.set(module, pair);
}

function checkShape({ tensor, shape }: Half, rank: number, axis: 0 | 1, fail: (problem: string) => never): void {
  if (shape.length !== 2 || shape[axis] !== rank || !((shape[1 - axis] as number) > 0)) {
    const wanted = axis === 0 ? `[${rank}, inputs]` : `[outputs, ${rank}]`;
    fail(`tensor "${tensor}" has the shape [${shape.join(", ")}], and adapter_config.json asks for ${wanted}`);
  }
}

export interface WriteAdapterOptions {
  rank: number;
  alpha: number;
  targets: LinearKind[];
  rslora: boolean;
  /** What `base_model_name_or_path` says. */
  baseModel: string | null;
}

/**
 * Writes the two files, the config last. Modules whose rank or scale is not what `rank` and `alpha` say go into PEFT's
 * patterns.
 *
 * @throws FileError
 */
export async function writeAdapter(
  dir: string,
  modules: readonly NativeLoraModule[],
  options: WriteAdapterOptions,
): Promise<void> {
  const { rank, alpha, rslora, targets, baseModel } = options;
  const config: PeftConfig = { rank, alpha, rslora, targets, baseModel, rankPattern: {}, alphaPattern: {} };
  for (const module of modules) {
    const name = moduleName(module.layer, module.kind);
    if (module.rank !== rank) config.rankPattern[name] = module.rank;
    const alphaHere = alphaOf(module, alpha, rslora);
    if (alphaHere !== alpha) config.alphaPattern[name] = alphaHere;
  }
  const tensors = modules.flatMap(({ layer, kind, rank: r, a, b }) => {
    const name = `base_model.model.${moduleName(layer, kind)}`;
    return [
      { name: `${name}.lora_A.weight`, shape: [r, a.length / r], data: a },
      { name: `${name}.lora_B.weight`, shape: [b.length / r, r], data: b },
    ];
  });
  await writeSafetensorsFile(join(dir, WEIGHTS), tensors, { format: "pt" });
  await writeFileAtomic(join(dir, CONFIG), `${JSON.stringify(makePeftConfig(config), null, 2)}\n`);
}

/** The shortest alpha that gives the module's scale, which is a float32, bit for bit; `usual` where that does. */
function alphaOf({ rank, scale }: NativeLoraModule, usual: number, rslora: boolean): number {
  const wanted = Math.fround(scale);
  const fits = (alpha: number): boolean => Math.fround(scaleOf(rank, alpha, rslora)) === wanted;
  if (fits(usual)) return usual;
  const exact = scale / scaleOf(rank, 1, rslora);
  for (let digits = 1; digits <= 17; digits++) {
    const alpha = Number(exact.toPrecision(digits));
    if (fits(alpha)) return alpha;
  }
  return exact;
}
