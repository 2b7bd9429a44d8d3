/**
 * The shape of a model from its config.json, as transformers reads one: fields that are absent have the defaults of
 * the family's configuration class there. Whatever would change the arithmetic and is not supported is refused by name.
 */
import { ModelFormatError, UnsupportedError } from "../errors.js";
import type { NativeConfig } from "../native.js";
import { inverseFrequencies, parseRope, type Rope } from "./rope.js";

export const FAMILIES = ["llama", "mistral", "olmo2", "qwen2", "qwen3"] as const;

export type ModelFamily = (typeof FAMILIES)[number];

/** Projections of attention that carry a bias. */
export type BiasKind = "q_bias" | "k_bias" | "v_bias" | "o_bias";

export interface ModelConfig {
  family: ModelFamily;
  config: NativeConfig;
  /** What `config.inverseFrequencies` came from. */
  rope: Rope;
  biases: BiasKind[];
  /** Whether the embedding serves as head; null where only the presence of a head tells. */
  tiedEmbeddings: boolean | null;
  /** What a user should know, a sentence each. */
  notes: string[];
}

/** What the families differ in. */
export const FAMILY_TRAITS: Record<ModelFamily, Pick<NativeConfig, "normPlacement" | "qkNorm">> = {
  llama: { normPlacement: "pre", qkNorm: "none" },
  mistral: { normPlacement: "pre", qkNorm: "none" },
  olmo2: { normPlacement: "post", qkNorm: "whole" },
  qwen2: { normPlacement: "pre", qkNorm: "none" },
  qwen3: { normPlacement: "pre", qkNorm: "head" },
};

interface FamilyDefaults {
  kvHeads: number | null;
  headDim: number | null;
  normEpsilon: number;
  maxPositions: number;
}

/** Of the configuration classes of transformers 5; null = derived from the other sizes. */
const DEFAULTS: Record<ModelFamily, FamilyDefaults> = {
  llama: { kvHeads: null, headDim: null, normEpsilon: 1e-6, maxPositions: 2048 },
  mistral: { kvHeads: 8, headDim: null, normEpsilon: 1e-6, maxPositions: 131072 },
  olmo2: { kvHeads: null, headDim: null, normEpsilon: 1e-5, maxPositions: 2048 },
  qwen2: { kvHeads: 32, headDim: null, normEpsilon: 1e-6, maxPositions: 32768 },
  qwen3: { kvHeads: 32, headDim: 128, normEpsilon: 1e-6, maxPositions: 32768 },
};

/** @throws UnsupportedError listing the families */
export function requireFamily(name: unknown, where: string): ModelFamily {
  const family = FAMILIES.find((known) => known === name);
  if (family !== undefined) return family;
  const shown = typeof name === "string" ? JSON.stringify(name.slice(0, 80)) : "not named";
  throw new UnsupportedError(`${where}: the architecture is ${shown}; valora runs ${FAMILIES.join(", ")}`);
}

/**
 * @param json the content of config.json
 * @param where its path, for messages
 * @throws ModelFormatError naming a field that is missing or makes no sense
 * @throws UnsupportedError naming what valora does not compute
 */
export function parseConfig(json: unknown, where: string): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ModelFormatError(`${where} does not hold a JSON object`);
  }
  const fields = json as Record<string, unknown>;
  const family = requireFamily(fields.model_type, where);
  rejectUnsupported(fields, where);
  const defaults = DEFAULTS[family];
  const number = (name: string, fallback?: number): number => {
    const value = fields[name] ?? fallback;
    if (typeof value === "number") return value;
    throw new ModelFormatError(
      `${where}: ${name} is ${value === undefined ? "missing" : `${JSON.stringify(value)}, not a number`}`,
    );
  };
  const channels = number("hidden_size");
  const heads = number("num_attention_heads");
  const layers = number("num_hidden_layers");
  // As in transformers, null stands for the derived value and an absent field for the class's.
  const derived = (name: string, fallback: number | null, value: number): number =>
    fields[name] === undefined ? (fallback ?? value) : number(name, value);
  const trained = number("max_position_embeddings", defaults.maxPositions);
  const window = slidingWindow(fields, family, layers, where);
  const rope = parseRope(fields, trained, where);
  const headDim = derived("head_dim", defaults.headDim, channels / heads);
  const config = checkSizes(
    {
      layers,
      channels,
      heads,
      kvHeads: derived("num_key_value_heads", defaults.kvHeads, heads),
      headDim,
      feedForward: number("intermediate_size"),
      vocabulary: number("vocab_size"),
      maxPositions: Math.min(trained, window ?? trained),
      normEpsilon: number("rms_norm_eps", defaults.normEpsilon),
      ...FAMILY_TRAITS[family],
    },
    where,
  );
  return {
    family,
    config: { ...config, inverseFrequencies: inverseFrequencies(headDim, rope) },
    rope,
    biases: biasesOf(fields, family),
    tiedEmbeddings: typeof fields.tie_word_embeddings === "boolean" ? fields.tie_word_embeddings : null,
    notes: windowNotes(window, trained),
  };
}

function rejectUnsupported(fields: Record<string, unknown>, where: string): void {
  const quantization = fields.quantization_config as { quant_method?: unknown } | null | undefined;
  if (quantization !== undefined && quantization !== null) {
    const method = JSON.stringify(quantization.quant_method ?? "unknown");
    throw new UnsupportedError(
      `${where}: weights quantised by ${method} are not read; use F32, F16 or BF16, or a GGUF file`,
    );
  }
  const activation = fields.hidden_act ?? "silu";
  if (activation !== "silu" && activation !== "swish") {
    throw new UnsupportedError(
      `${where}: the activation ${JSON.stringify(activation)} is not supported; valora computes silu`,
    );
  }
  if (fields.mlp_bias === true) {
    throw new UnsupportedError(`${where}: biases in the feed-forward layers (mlp_bias) are not supported`);
  }
}

/** qwen2 always has biases on q, k and v; the others on all four where `attention_bias` says so, mistral never. */
function biasesOf(fields: Record<string, unknown>, family: ModelFamily): BiasKind[] {
  if (family === "qwen2") return ["q_bias", "k_bias", "v_bias"];
  return family !== "mistral" && fields.attention_bias === true ? ["q_bias", "k_bias", "v_bias", "o_bias"] : [];
}

/** Keys that a row of some layer sees, itself included; null where every layer sees all. */
function slidingWindow(
  fields: Record<string, unknown>,
  family: ModelFamily,
  layers: number,
  where: string,
): number | null {
  if (family === "llama" || family === "olmo2") return null;
  // transformers' MistralConfig slides by 4096 unless told otherwise; its Qwen classes only where asked to.
  const window = fields.sliding_window === undefined ? 4096 : fields.sliding_window;
  if (window === null) return null;
  if (family !== "mistral") {
    const { layer_types: types, max_window_layers: first = 28 } = fields;
    if (fields.use_sliding_window !== true) return null;
    const slides = Array.isArray(types) ? types.some((type) => type !== "full_attention") : Number(first) < layers;
    if (!slides) return null;
  }
  if (!Number.isSafeInteger(window) || (window as number) < 1) {
    throw new ModelFormatError(`${where}: sliding_window is ${JSON.stringify(window)}, not a whole number above 0`);
  }
  return window as number;
}

/**
 * Within the window a sliding model is the same as a full one, so texts are limited to it instead of being computed
 * wrongly; the engine's message for a longer text names the limit.
 */
export function windowNotes(window: number | null, trained: number): string[] {
  if (window === null || window >= trained) return [];
  return [`texts are limited to ${window} tokens, the model's sliding window, of the ${trained} it was made for`];
}

type Sizes = Omit<NativeConfig, "inverseFrequencies">;

/** Far above any model, and what the core accepts (native/model/weights.cc). */
const LARGEST: Record<Exclude<keyof Sizes, "normEpsilon" | "normPlacement" | "qkNorm">, number> = {
  layers: 4096,
  channels: 2 ** 20,
  heads: 4096,
  kvHeads: 4096,
  headDim: 4096,
  feedForward: 2 ** 20,
  vocabulary: 2 ** 24,
  maxPositions: 2 ** 30,
};

/** @throws ModelFormatError naming the size that is out of its range */
export function checkSizes(sizes: Sizes, where: string): Sizes {
  for (const [name, largest] of Object.entries(LARGEST) as [keyof typeof LARGEST, number][]) {
    const size = sizes[name];
    if (!Number.isInteger(size) || size < 1 || size > largest) {
      throw new ModelFormatError(
        `${where}: ${SIZE_NAMES[name]} is ${size}, expected a whole number from 1 to ${largest}`,
      );
    }
  }
  const { heads, kvHeads, headDim, normEpsilon } = sizes;
  if (heads % kvHeads !== 0) {
    throw new ModelFormatError(`${where}: ${heads} attention heads are no multiple of ${kvHeads} key/value heads`);
  }
  if (headDim % 2 !== 0) throw new ModelFormatError(`${where}: the head width is ${headDim}, which is odd`);
  if (!(normEpsilon >= 0 && normEpsilon < 1))
    throw new ModelFormatError(`${where}: the norm's epsilon is ${normEpsilon}`);
  return sizes;
}

const SIZE_NAMES: Record<keyof typeof LARGEST, string> = {
  layers: "the number of layers",
  channels: "the number of channels",
  heads: "the number of attention heads",
  kvHeads: "the number of key/value heads",
  headDim: "the head width",
  feedForward: "the feed-forward width",
  vocabulary: "the vocabulary",
  maxPositions: "the number of positions",
};
