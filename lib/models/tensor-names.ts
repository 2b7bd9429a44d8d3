/** What tensors are called in safetensors (transformers' names) and in GGUF, and what shape each must have. */
import type { NativeConfig, TensorRole } from "../native.js";
import type { ModelFamily } from "./config.js";

/** What a tensor is for; `layer` is -1 outside the layers. */
export interface TensorPlace {
  role: TensorRole;
  layer: number;
}

type Names = Partial<Record<TensorRole, string>>;

const OUTSIDE = ["embedding", "head", "final_norm"] as const satisfies readonly TensorRole[];

const HUGGING_FACE: Names = {
  embedding: "model.embed_tokens.weight",
  head: "lm_head.weight",
  final_norm: "model.norm.weight",
  attention_norm: "input_layernorm.weight",
  feed_forward_norm: "post_attention_layernorm.weight",
  q_norm: "self_attn.q_norm.weight",
  k_norm: "self_attn.k_norm.weight",
  q_proj: "self_attn.q_proj.weight",
  k_proj: "self_attn.k_proj.weight",
  v_proj: "self_attn.v_proj.weight",
  o_proj: "self_attn.o_proj.weight",
  gate_proj: "mlp.gate_proj.weight",
  up_proj: "mlp.up_proj.weight",
  down_proj: "mlp.down_proj.weight",
  q_bias: "self_attn.q_proj.bias",
  k_bias: "self_attn.k_proj.bias",
  v_bias: "self_attn.v_proj.bias",
  o_bias: "self_attn.o_proj.bias",
};

const GGUF: Names = {
  embedding: "token_embd.weight",
  head: "output.weight",
  final_norm: "output_norm.weight",
  attention_norm: "attn_norm.weight",
  feed_forward_norm: "ffn_norm.weight",
  q_norm: "attn_q_norm.weight",
  k_norm: "attn_k_norm.weight",
  q_proj: "attn_q.weight",
  k_proj: "attn_k.weight",
  v_proj: "attn_v.weight",
  o_proj: "attn_output.weight",
  gate_proj: "ffn_gate.weight",
  up_proj: "ffn_up.weight",
  down_proj: "ffn_down.weight",
  q_bias: "attn_q.bias",
  k_bias: "attn_k.bias",
  v_bias: "attn_v.bias",
  o_bias: "attn_output.bias",
};

/** OLMo-2's norms stand behind attention and feed-forward, and are called so. */
const POST_NORMS = {
  safetensors: {
    attention_norm: "post_attention_layernorm.weight",
    feed_forward_norm: "post_feedforward_layernorm.weight",
  },
  gguf: { attention_norm: "post_attention_norm.weight", feed_forward_norm: "post_ffw_norm.weight" },
} as const;

export type WeightFormat = "safetensors" | "gguf";

function namesOf(format: WeightFormat, family: ModelFamily): Names {
  const names = format === "gguf" ? GGUF : HUGGING_FACE;
  return family === "olmo2" ? { ...names, ...POST_NORMS[format] } : names;
}

/** The name of a tensor in a file of `format`. */
export function tensorName(format: WeightFormat, family: ModelFamily, { role, layer }: TensorPlace): string {
  const name = namesOf(format, family)[role] as string;
  if (layer < 0) return name;
  return format === "gguf" ? `blk.${layer}.${name}` : `model.layers.${layer}.${name}`;
}

/** Name → place of every tensor that a model of this family and config may have. */
export function tensorPlaces(
  format: WeightFormat,
  family: ModelFamily,
  layers: number,
  roles: readonly TensorRole[],
): Map<string, TensorPlace> {
  const places = new Map<string, TensorPlace>();
  const add = (place: TensorPlace): void => void places.set(tensorName(format, family, place), place);
  for (const role of roles) {
    if ((OUTSIDE as readonly TensorRole[]).includes(role)) add({ role, layer: -1 });
    else for (let layer = 0; layer < layers; ++layer) add({ role, layer });
  }
  return places;
}

/** Rows (outputs) and columns (inputs) that a tensor must have; a vector has one row. */
export function expectedShape(config: NativeConfig, role: TensorRole): { rows: number; cols: number } {
  const { channels, feedForward, vocabulary } = config;
  const queries = config.heads * config.headDim;
  const keys = config.kvHeads * config.headDim;
  switch (role) {
    case "embedding":
    case "head":
      return { rows: vocabulary, cols: channels };
    case "final_norm":
    case "attention_norm":
    case "feed_forward_norm":
      return { rows: 1, cols: channels };
    case "q_norm":
      return { rows: 1, cols: config.qkNorm === "whole" ? queries : config.headDim };
    case "k_norm":
      return { rows: 1, cols: config.qkNorm === "whole" ? keys : config.headDim };
    case "q_proj":
      return { rows: queries, cols: channels };
    case "k_proj":
    case "v_proj":
      return { rows: keys, cols: channels };
    case "o_proj":
      return { rows: channels, cols: queries };
    case "gate_proj":
    case "up_proj":
      return { rows: feedForward, cols: channels };
    case "down_proj":
      return { rows: channels, cols: feedForward };
    case "q_bias":
      return { rows: 1, cols: queries };
    case "k_bias":
    case "v_bias":
      return { rows: 1, cols: keys };
    case "o_bias":
      return { rows: 1, cols: channels };
  }
}

/** Whether a tensor is stored as a vector, with one axis. */
export function isVector(role: TensorRole): boolean {
  return role.endsWith("_norm") || role.endsWith("_bias");
}
