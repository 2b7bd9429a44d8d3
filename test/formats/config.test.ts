/** Configs: the shape they give, the defaults they leave out, and what is refused by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "#lib/models/config.js";
import { parseGgufConfig } from "#lib/models/config-gguf.js";
import type { GgufValue } from "#lib/models/gguf.js";
import { inverseFrequencies } from "#lib/models/rope.js";
import { failsWith } from "./format-support.js";

const LLAMA = {
  model_type: "llama",
  hidden_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 112,
  vocab_size: 256,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
};

const parse = (fields: Record<string, unknown>) => parseConfig({ ...LLAMA, ...fields }, "config.json");

const GGUF: Record<string, GgufValue> = {
  "general.architecture": "llama",
  "llama.context_length": 512,
  "llama.embedding_length": 64,
  "llama.block_count": 3,
  "llama.feed_forward_length": 112,
  "llama.attention.head_count": 4,
  "llama.attention.head_count_kv": 2,
  "llama.attention.layer_norm_rms_epsilon": 1e-5,
  "llama.vocab_size": 256,
};

function parseGguf(
  changes: Record<string, GgufValue | undefined>,
  divisors: number[] | null = null,
  names: string[] = [],
) {
  const entries = Object.entries({ ...GGUF, ...changes }).filter(
    (entry): entry is [string, GgufValue] => entry[1] !== undefined,
  );
  const tensors = names.map((name) => ({ name, shape: [4], dtype: "F32" as const, offset: 0, bytes: 16 }));
  return parseGgufConfig({ version: 3, metadata: new Map(entries), tensors }, divisors, "model.gguf");
}

test("a config gives sizes, and what it leaves out has the defaults of transformers", () => {
  const { family, config, biases, tiedEmbeddings, rope } = parse({
    num_key_value_heads: undefined,
    max_position_embeddings: undefined,
  });
  assert.equal(family, "llama");
  assert.deepEqual(
    { ...config, inverseFrequencies: null },
    {
      layers: 3,
      channels: 64,
      heads: 4,
      kvHeads: 4,
      headDim: 16,
      feedForward: 112,
      vocabulary: 256,
      maxPositions: 2048,
      normEpsilon: 1e-5,
      normPlacement: "pre",
      qkNorm: "none",
      inverseFrequencies: null,
    },
  );
  assert.deepEqual(rope, { theta: 10000, scaling: null });
  assert.deepEqual(biases, []);
  assert.equal(tiedEmbeddings, null);
  assert.equal(
    parse({ model_type: "mistral", num_attention_heads: 16, num_key_value_heads: undefined }).config.kvHeads,
    8,
  );
  assert.equal(parse({ model_type: "qwen3" }).config.headDim, 128);
  assert.equal(parse({ model_type: "qwen3", head_dim: null }).config.headDim, 16);
  assert.equal(parse({ model_type: "mistral", head_dim: 24 }).config.headDim, 24);
});

test("families differ in where norms stand, what is normalised, and biases", () => {
  const facts = (model_type: string, more = {}) => {
    const { config, biases } = parse({ model_type, head_dim: 16, ...more });
    return [config.normPlacement, config.qkNorm, biases.join(" ")];
  };
  assert.deepEqual(facts("llama"), ["pre", "none", ""]);
  assert.deepEqual(facts("llama", { attention_bias: true }), ["pre", "none", "q_bias k_bias v_bias o_bias"]);
  assert.deepEqual(facts("mistral"), ["pre", "none", ""]);
  assert.deepEqual(facts("olmo2"), ["post", "whole", ""]);
  assert.deepEqual(facts("qwen2"), ["pre", "none", "q_bias k_bias v_bias"]);
  assert.deepEqual(facts("qwen3"), ["pre", "head", ""]);
});

test("rope settings of both generations of transformers mean the same", () => {
  const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
  const newer = parse({ rope_parameters: { ...scaling, rope_type: "llama3", rope_theta: 500000 } });
  const older = parse({ rope_theta: 500000, rope_scaling: { ...scaling, rope_type: "llama3" } });
  const oldest = parse({ rope_theta: 500000, rope_scaling: { ...scaling, type: "llama3" } });
  assert.deepEqual(older, newer);
  assert.deepEqual(oldest, newer);
  const linear = parse({ rope_theta: 10000, rope_scaling: { type: "linear", factor: 4 } });
  const plain = parse({});
  assert.deepEqual(
    linear.config.inverseFrequencies,
    plain.config.inverseFrequencies.map((frequency) => frequency / 4),
  );
});

test("the frequencies of Llama 3 keep short waves, stretch long ones and blend between", () => {
  const rope = {
    theta: 500000,
    scaling: { type: "llama3", factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 64 },
  } as const;
  const scaled = inverseFrequencies(16, rope);
  const plain = inverseFrequencies(16, { theta: 500000, scaling: null });
  assert.equal(plain[1], 500000 ** (-1 / 8));
  assert.equal(scaled[0], plain[0]);
  for (let i = 2; i < 8; ++i) assert.equal(scaled[i], plain[i]! / 8);
  // The divisor that make_gguf_model.py, in numpy's float32, computed for this config (rope_freqs.weight of llama3-rope).
  assert.ok(Math.abs(plain[1]! / scaled[1]! / 2.4422595500946045 - 1) <= 1e-7);
});

test("a sliding window limits texts to itself, and one that no layer uses or no text fills does nothing", () => {
  const limit = (fields: Record<string, unknown>) =>
    parse({ max_position_embeddings: 8192, head_dim: 16, ...fields }).config.maxPositions;
  assert.equal(limit({ model_type: "mistral", sliding_window: 4096 }), 4096);
  assert.equal(limit({ model_type: "mistral" }), 4096);
  assert.equal(limit({ model_type: "mistral", sliding_window: null }), 8192);
  assert.equal(limit({ model_type: "mistral", sliding_window: 10000 }), 8192);
  assert.equal(limit({ model_type: "qwen2", sliding_window: 100 }), 8192);
  assert.equal(
    limit({ model_type: "qwen2", sliding_window: 100, use_sliding_window: true, max_window_layers: 3 }),
    8192,
  );
  assert.equal(
    limit({ model_type: "qwen2", sliding_window: 100, use_sliding_window: true, max_window_layers: 2 }),
    100,
  );
  const types = ["full_attention", "sliding_attention", "full_attention"];
  assert.equal(limit({ model_type: "qwen3", sliding_window: 100, use_sliding_window: true, layer_types: types }), 100);
  const { notes } = parse({ model_type: "mistral", max_position_embeddings: 8192 });
  assert.match(notes.join(), /limited to 4096 tokens/);
  assert.throws(
    () => parse({ model_type: "mistral", sliding_window: -1 }),
    failsWith("ERR_MODEL_FORMAT", /sliding_window is -1/),
  );
});

test("what would change the arithmetic and is not computed is refused by name", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ model_type: "gpt2" }, /"gpt2"; valora runs llama, mistral, olmo2, qwen2, qwen3/],
    [{ model_type: undefined }, /not named/],
    [{ model_type: "mixtral" }, /"mixtral"/],
    [{ hidden_act: "gelu" }, /"gelu"/],
    [{ mlp_bias: true }, /mlp_bias/],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, /"yarn"/],
    [{ rope_scaling: { type: "dynamic", factor: 4 } }, /"dynamic"/],
    [{ rope_parameters: { rope_theta: 1e4, partial_rotary_factor: 0.5 } }, /part of the head/],
    [{ quantization_config: { quant_method: "gptq" } }, /"gptq"/],
  ];
  for (const [fields, says] of cases) assert.throws(() => parse(fields), failsWith("ERR_UNSUPPORTED", says));
});

test("sizes that make no sense are named", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ hidden_size: undefined }, /hidden_size is missing/],
    [{ hidden_size: "64" }, /hidden_size is "64"/],
    [{ num_attention_heads: 0 }, /attention heads is 0/],
    [{ num_attention_heads: 5, num_key_value_heads: 5 }, /head width is 12.8/],
    [{ num_key_value_heads: 3 }, /4 attention heads are no multiple of 3/],
    [{ head_dim: 15 }, /15, which is odd/],
    [{ num_hidden_layers: 1e9 }, /layers is 1000000000/],
    [{ rms_norm_eps: -1 }, /epsilon/],
    [{ rope_theta: 0 }, /rope_theta is 0/],
    [{ rope_scaling: { type: "linear" } }, /factor is missing/],
    [{ rope_scaling: { type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 } }, /high_freq_factor/],
  ];
  for (const [fields, says] of cases) assert.throws(() => parse(fields), failsWith("ERR_MODEL_FORMAT", says));
  for (const json of [null, [], "x", 1])
    assert.throws(() => parseConfig(json, "config.json"), failsWith("ERR_MODEL_FORMAT", /JSON object/));
});

test("GGUF metadata give the same shape as a config, with rope_freqs as divisors", () => {
  assert.deepEqual(parseGguf({}).config, parse({}).config);
  assert.equal(parseGguf({ "llama.attention.key_length": 24, "llama.attention.value_length": 24 }).config.headDim, 24);
  const divisors = [1, 1, 2, 4, 8, 8, 8, 8];
  const plain = parseGguf({}).config.inverseFrequencies;
  assert.deepEqual(
    parseGguf({}, divisors).config.inverseFrequencies,
    plain.map((frequency, i) => frequency / divisors[i]!),
  );
  const linear = { "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4 };
  assert.deepEqual(
    parseGguf(linear).config.inverseFrequencies,
    plain.map((frequency) => frequency / 4),
  );
  assert.deepEqual(parseGguf({ ...linear, "llama.rope.scaling.type": "none" }).config.inverseFrequencies, plain);
  assert.equal(parseGguf({ "llama.attention.sliding_window": 100 }).config.maxPositions, 100);
  assert.deepEqual(parseGguf({}, null, ["blk.0.attn_q.bias", "blk.0.attn_k.bias"]).biases, ["q_bias", "k_bias"]);
});

test("GGUF metadata that are missing, absurd or unsupported are refused by name", () => {
  const cases: [Record<string, GgufValue | undefined>, string, RegExp][] = [
    [{ "general.architecture": undefined }, "ERR_MODEL_FORMAT", /holds no language model/],
    [{ "general.architecture": "gemma3" }, "ERR_UNSUPPORTED", /"gemma3"; valora runs/],
    [{ "llama.block_count": undefined }, "ERR_MODEL_FORMAT", /llama\.block_count is missing/],
    [{ "llama.attention.head_count_kv": Int32Array.of(2, 2, 2) }, "ERR_MODEL_FORMAT", /head_count_kv is an array/],
    [{ "llama.expert_count": 8 }, "ERR_UNSUPPORTED", /expert_count = 8/],
    [{ "llama.rope.scaling.type": "yarn" }, "ERR_UNSUPPORTED", /"yarn"/],
    [{ "llama.rope.dimension_count": 8 }, "ERR_UNSUPPORTED", /rope on 8 of the 16/],
    [{ "llama.attention.value_length": 8 }, "ERR_UNSUPPORTED", /another width/],
    [{ "split.count": 2 }, "ERR_UNSUPPORTED", /one of 2 parts/],
    [{ "llama.rope.freq_base": Number.NaN }, "ERR_MODEL_FORMAT", /freq_base/],
    [{ "llama.embedding_length": 2n ** 62n }, "ERR_MODEL_FORMAT", /embedding_length/],
  ];
  for (const [changes, code, says] of cases) assert.throws(() => parseGguf(changes), failsWith(code, says));
  for (const divisors of [[1], [0, 1, 1, 1, 1, 1, 1, 1], Array(8).fill(Number.NaN)]) {
    assert.throws(() => parseGguf({}, divisors), failsWith("ERR_MODEL_FORMAT", /rope_freqs/));
  }
});
