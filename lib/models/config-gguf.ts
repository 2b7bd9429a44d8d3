/** The shape of a model from GGUF metadata, with llama.cpp's defaults for keys that are absent. */
import { ModelFormatError, UnsupportedError } from "../errors.js";
import { type BiasKind, checkSizes, FAMILY_TRAITS, type ModelConfig, requireFamily, windowNotes } from "./config.js";
import type { GgufHeader, GgufValue } from "./gguf.js";
import { inverseFrequencies, type Rope } from "./rope.js";

/** Keys behind the architecture's name that would change the arithmetic, with the value at which they do not. */
const NEUTRAL: Record<string, GgufValue> = {
  expert_count: 0,
  "attention.causal": true,
  "attention.scale": 0,
  "attention.clamp_kqv": 0,
  "attention.max_alibi_bias": 0,
  attn_logit_softcapping: 0,
  final_logit_softcapping: 0,
  embedding_scale: 1,
  residual_scale: 1,
  logit_scale: 1,
};

/**
 * @param divisors the numbers of rope_freqs.weight, where the file has that tensor
 * @param where the file's path, for messages
 * @throws ModelFormatError naming a key that is missing or makes no sense
 * @throws UnsupportedError naming what valora does not compute
 */
export function parseGgufConfig(header: GgufHeader, divisors: number[] | null, where: string): ModelConfig {
  const { metadata, tensors } = header;
  if (!metadata.has("general.architecture")) {
    throw new ModelFormatError(`${where} holds no language model: general.architecture is missing`);
  }
  const family = requireFamily(metadata.get("general.architecture"), where);
  const parts = metadata.get("split.count");
  if (typeof parts === "number" && parts > 1) {
    throw new UnsupportedError(`${where} is one of ${parts} parts; join them with llama-gguf-split --merge`);
  }
  const get = (key: string): GgufValue | undefined => metadata.get(`${family}.${key}`);
  const number = (key: string, fallback?: number): number => {
    const value = get(key) ?? fallback;
    if (typeof value === "number") return value;
    const found = value === undefined ? "missing" : typeof value === "object" ? "an array" : `${value}, not a number`;
    throw new ModelFormatError(`${where}: ${family}.${key} is ${found}`);
  };
  for (const [key, neutral] of Object.entries(NEUTRAL)) {
    const value = get(key) ?? neutral;
    if (value === neutral) continue;
    const shown = typeof value === "object" ? "as an array" : `= ${value}`;
    throw new UnsupportedError(`${where}: ${family}.${key} ${shown} is not supported`);
  }
  const channels = number("embedding_length");
  const heads = number("attention.head_count");
  const headDim = number("attention.key_length", channels / heads);
  const rotated = number("rope.dimension_count", headDim);
  if (number("attention.value_length", headDim) !== headDim) {
    throw new UnsupportedError(`${where}: values of another width than keys are not supported`);
  }
  if (rotated !== headDim) {
    throw new UnsupportedError(`${where}: rope on ${rotated} of the ${headDim} coordinates of a head is not supported`);
  }
  const trained = number("context_length");
  const window = number("attention.sliding_window", 0) || null;
  const embedding = tensors.find(({ name }) => name === "token_embd.weight");
  const config = checkSizes(
    {
      layers: number("block_count"),
      channels,
      heads,
      kvHeads: number("attention.head_count_kv", heads),
      headDim,
      feedForward: number("feed_forward_length"),
      // The embedding's rows, not `vocab_size`: llama.cpp goes by the tokens too, and files lack the key.
      vocabulary: embedding?.shape[1] ?? number("vocab_size"),
      maxPositions: Math.min(trained, window ?? trained),
      normEpsilon: number("attention.layer_norm_rms_epsilon"),
      ...FAMILY_TRAITS[family],
    },
    where,
  );
  const rope: Rope = { theta: number("rope.freq_base", 10000), scaling: null };
  if (!(rope.theta > 0 && Number.isFinite(rope.theta))) {
    throw new ModelFormatError(`${where}: ${family}.rope.freq_base is ${rope.theta}, not a number above 0`);
  }
  const factor = linearFactor(get("rope.scaling.type") ?? "linear", number, where);
  if (divisors !== null) {
    if (divisors.length !== headDim / 2 || !divisors.every((divisor) => divisor > 0 && Number.isFinite(divisor))) {
      throw new ModelFormatError(`${where}: rope_freqs.weight does not hold ${headDim / 2} numbers above 0`);
    }
    rope.scaling = { type: "divisors", divisors: divisors.map((divisor) => divisor * factor) };
  } else if (factor !== 1) {
    rope.scaling = { type: "linear", factor };
  }
  return {
    family,
    config: { ...config, inverseFrequencies: inverseFrequencies(headDim, rope) },
    rope,
    biases: biasesOf(tensors.map(({ name }) => name)),
    tiedEmbeddings: null,
    notes: windowNotes(window, trained),
  };
}

/** By how much all frequencies are divided; as in llama.cpp, a factor without a type is linear, and 0 is none. */
function linearFactor(type: GgufValue, number: (key: string, fallback: number) => number, where: string): number {
  if (type === "none") return 1;
  if (type !== "linear") throw new UnsupportedError(`${where}: rope scaling ${JSON.stringify(type)} is not supported`);
  const factor = number("rope.scaling.factor", number("rope.scale_linear", 1)) || 1;
  if (factor > 0 && Number.isFinite(factor)) return factor;
  throw new ModelFormatError(`${where}: the rope's scaling factor is ${factor}, not a number above 0`);
}

/** GGUF has no key for biases: the first layer shows which there are, and every other must agree. */
function biasesOf(names: string[]): BiasKind[] {
  const kinds: [BiasKind, string][] = [
    ["q_bias", "attn_q"],
    ["k_bias", "attn_k"],
    ["v_bias", "attn_v"],
    ["o_bias", "attn_output"],
  ];
  return kinds.filter(([, stem]) => names.includes(`blk.0.${stem}.bias`)).map(([kind]) => kind);
}
