/** A tiny real model for the addon's tests, opened below lib/models: they are about the addon alone. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  LINEAR_KINDS,
  type NativeAdamwOptions,
  type NativeConfig,
  type NativeForest,
  type NativeLoss,
  type NativeOpenOptions,
  type NativePairs,
  type NativeTensor,
  native,
  type TensorRole,
} from "#lib/native.js";

/** From build/test/test/addon to the golden values, which are not compiled. */
const FOLDER = fileURLToPath(new URL("../../../../test/golden/llama-tied/", import.meta.url));

export const CONFIG: NativeConfig = (() => {
  const json = JSON.parse(readFileSync(`${FOLDER}config.json`, "utf8"));
  const headDim: number = json.head_dim;
  return {
    layers: json.num_hidden_layers,
    channels: json.hidden_size,
    heads: json.num_attention_heads,
    kvHeads: json.num_key_value_heads,
    headDim,
    feedForward: json.intermediate_size,
    vocabulary: json.vocab_size,
    maxPositions: json.max_position_embeddings,
    normEpsilon: json.rms_norm_eps,
    normPlacement: "pre",
    qkNorm: "none",
    inverseFrequencies: Float64Array.from(
      { length: headDim / 2 },
      (_, i) => json.rope_parameters.rope_theta ** ((-2 * i) / headDim),
    ),
  };
})();

function roleOf(name: string): TensorRole {
  if (name === "model.embed_tokens.weight") return "embedding";
  if (name === "model.norm.weight") return "final_norm";
  if (name.endsWith("input_layernorm.weight")) return "attention_norm";
  if (name.endsWith("post_attention_layernorm.weight")) return "feed_forward_norm";
  const kind = LINEAR_KINDS.find((known) => name.endsWith(`${known}.weight`));
  if (kind === undefined) throw new Error(`no role for ${name}`);
  return kind;
}

export const TENSORS: NativeTensor[] = (() => {
  const file = `${FOLDER}model.safetensors`;
  const bytes = readFileSync(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<
    string,
    { shape: number[]; data_offsets: [number, number] }
  >;
  delete header.__metadata__;
  return Object.entries(header).map(
    ([
      name,
      {
        shape,
        data_offsets: [begin, end],
      },
    ]) => ({
      role: roleOf(name),
      layer: Number(/layers\.(\d+)/.exec(name)?.[1] ?? -1),
      file,
      offset: 8 + headerBytes + begin,
      bytes: end - begin,
      dtype: "F32" as const,
      rows: shape.length === 1 ? 1 : shape[0]!,
      cols: shape.at(-1)!,
      interleavedHeads: 0,
    }),
  );
})();

/** The reference backend: it is on every machine, and slow enough to be interrupted. */
export const OPTIONS: NativeOpenOptions = {
  backend: "reference",
  threads: 2,
  memoryBytes: 2 ** 31,
  compute: "float32",
};

export const openTiny = () => native.openModel(CONFIG, TENSORS, OPTIONS);

/** `trees` sequences of `length` tokens, every token but the first of each a target. */
export function forestOf(trees: number, length: number): NativeForest {
  const rows = trees * length;
  const begins = Array.from({ length: trees }, (_, tree) => tree * length);
  const token = (row: number) => (row * 7) % CONFIG.vocabulary;
  return {
    tokens: Int32Array.from({ length: rows }, (_, row) => token(row)),
    spans: Int32Array.from(begins.flatMap((begin) => [-1, begin, length])),
    adapters: new Int32Array(trees),
    targets: Int32Array.from(
      begins.flatMap((begin) => Array.from({ length: length - 1 }, (_, i) => [begin + i, token(begin + i + 1)]).flat()),
    ),
  };
}

/** Some milliseconds of work. */
export const SHORT = forestOf(1, 8);
/** Seconds of work on the reference backend: whatever is done to it happens while it runs. */
export const LONG = forestOf(40, 400);

/** One pair in two trees of `length` tokens each, under `adapter`. */
export function pairOf(adapter: number, length: number): NativePairs {
  const forest = { ...forestOf(2, length), adapters: Int32Array.of(adapter, adapter) };
  const targets = forest.targets.length / 2;
  return {
    forest,
    responses: Int32Array.from({ length: targets }, (_, i) => (i < targets / 2 ? 0 : 1)),
    reference: Float64Array.of(-20, -20),
    pairWeight: 1,
  };
}

export const LORA = { kinds: [...LINEAR_KINDS], rank: 4, scale: 4, seed: 1 };
export const LOSS: NativeLoss = { kind: "sigmoid", beta: 0.1, labelSmoothing: 0, rpoAlpha: 0 };
export const ADAMW: NativeAdamwOptions = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
  clip: 1,
};
