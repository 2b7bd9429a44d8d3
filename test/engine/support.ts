/** What the engine's tests share: golden files, backends, tolerances, temporary folders. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { OpenModelOptions } from "#lib/engine/open.js";
import { LINEAR_KINDS, type NativeLoraModule, native } from "#lib/native.js";

export { GOLDEN, ROOT } from "../golden.js";
export { withFolder } from "../temporary-folder.js";

export const SMOLLM2 = "smollm2-135m-instruct";

export type Backend = Pick<OpenModelOptions, "device" | "isa"> & { name: string };

/** Set by scripts/verify-gpu.mjs: the one device that tests of all backends are to run on. */
const ONLY = process.env.VALORA_TEST_DEVICE as OpenModelOptions["device"];

/** Every backend this machine can run, the reference first; of CUDA only where VALORA_TEST_DEVICE asks for it. */
export const BACKENDS: Backend[] =
  ONLY === undefined
    ? [
        { name: "reference", device: "reference" },
        ...[...native.info().isas].reverse().map((isa): Backend => ({ name: isa, device: "cpu", isa })),
      ]
    : [{ name: ONLY, device: ONLY }];
/** The fastest. */
export const BEST = BACKENDS.at(-1)!;

export function readLines<T>(path: string): T[] {
  // Lines end at \n only: the data holds raw U+2028 and U+0085.
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

export interface Tensor {
  shape: number[];
  data: Float32Array | number[];
}

/** A plain reader of safetensors, apart from the one that is under test. */
export function readTensors(path: string): Map<string, Tensor> {
  const bytes = readFileSync(path);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString("utf8")) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const body = bytes.subarray(8 + headerLength + entry.data_offsets[0], 8 + headerLength + entry.data_offsets[1]);
    const copy = body.buffer.slice(body.byteOffset, body.byteOffset + body.byteLength);
    assert.ok(entry.dtype === "F32" || entry.dtype === "I64", `${name} is ${entry.dtype}`);
    tensors.set(name, {
      shape: entry.shape,
      data: entry.dtype === "F32" ? new Float32Array(copy) : Array.from(new BigInt64Array(copy), Number),
    });
  }
  return tensors;
}

/** PEFT's tensors under `prefix`, as modules; scale 0 stands for "not said". */
export function modulesOf(tensors: Map<string, Tensor>, prefix: string): NativeLoraModule[] {
  const modules = new Map<string, NativeLoraModule>();
  for (const [name, { shape, data }] of tensors) {
    const match = /layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight$/.exec(name);
    if (!name.startsWith(prefix) || match === null) continue;
    const kind = LINEAR_KINDS.find((known) => known === match[2])!;
    const key = `${match[1]} ${kind}`;
    const empty = new Float32Array();
    const module = modules.get(key) ?? { layer: Number(match[1]), kind, rank: 0, scale: 0, a: empty, b: empty };
    modules.set(key, module);
    if (match[3] === "A") module.rank = shape[0]!;
    module[match[3] === "A" ? "a" : "b"] = data as Float32Array;
  }
  return [...modules.values()].sort(
    (a, b) => a.layer - b.layer || LINEAR_KINDS.indexOf(a.kind) - LINEAR_KINDS.indexOf(b.kind),
  );
}

/** Fails unless |actual − expected| ≤ tolerance; written so that NaN fails. */
export function assertNear(actual: number, expected: number, tolerance: number, what: string): void {
  if (!(Math.abs(actual - expected) <= tolerance)) {
    assert.fail(
      `${what}: ${actual} instead of ${expected}, off by ${Math.abs(actual - expected)}, allowed ${tolerance}`,
    );
  }
}

/** ‖a − b‖ over any number of arrays, in double. */
export function distance(a: ArrayLike<number>[], b: ArrayLike<number>[]): number {
  assert.equal(a.length, b.length);
  let sum = 0;
  a.forEach((values, index) => {
    assert.equal(values.length, b[index]!.length);
    for (let at = 0; at < values.length; at++) sum += (values[at]! - b[index]![at]!) ** 2;
  });
  return Math.sqrt(sum);
}

export function norm(values: ArrayLike<number>[]): number {
  return Math.sqrt(
    values.reduce((sum, one) => sum + Array.from(one).reduce((part, value) => part + value * value, 0), 0),
  );
}

/** log softmax of one row, in double. */
export function logSoftmax(logits: ArrayLike<number>): Float64Array {
  const row = Float64Array.from(logits);
  const largest = row.reduce((a, b) => Math.max(a, b));
  const sum = row.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return row.map((logit) => logit - largest - Math.log(sum));
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
