/**
 * How cost grows: seconds and planned memory of scoring and of DPO steps over sequence length, pairs a step, threads,
 * adapters and size of the model, as Markdown tables. Larger models are random ones in the shapes of real ones, made in a
 * temporary folder (the largest takes 2.5 GB there).
 *
 *     node bench/growth.mjs [length|pairs|threads|adapters|size]...        after `npm run build`; all where none is named
 */
import { getRandomValues } from "node:crypto";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openModel, trainDpo } from "../dist/index.js";

const DEFAULT_MODEL = "smollm2-135m-instruct";
/** What an HH-RLHF pair has on average. */
const PAIR = { prompt: 154, chosen: 41, rejected: 51 };
const MIB = 2 ** 20;

/** Shapes of SmolLM2-135M and -360M and of Llama-3.2-1B. */
const SHAPES = [
  { name: "135M", channels: 576, layers: 30, heads: 9, kvHeads: 3, feedForward: 1536, vocabulary: 49152 },
  { name: "360M", channels: 960, layers: 32, heads: 15, kvHeads: 5, feedForward: 2560, vocabulary: 49152 },
  { name: "1B", channels: 2048, layers: 16, heads: 32, kvHeads: 8, feedForward: 8192, vocabulary: 128256 },
];

const tokens = (count, start) =>
  Array.from({ length: count }, (_, index) => 100 + ((start * 7919 + index * 104729) % 40000));

function makePairs(count, scale = 1) {
  return Array.from({ length: count }, (_, index) => ({
    id: `pair ${index}`,
    prompt_tokens: tokens(Math.round(PAIR.prompt * scale), 3 * index),
    chosen_tokens: tokens(Math.round(PAIR.chosen * scale), 3 * index + 1),
    rejected_tokens: tokens(Math.round(PAIR.rejected * scale), 3 * index + 2),
  }));
}

/** What `body` makes of a model or adapter, which is disposed of afterwards. */
async function use(opening, body) {
  const resource = await opening;
  try {
    return await body(resource);
  } finally {
    await resource.dispose();
  }
}

/** Seconds of a DPO step after a first one, the smaller of two. */
function stepSeconds(model, pairs) {
  return use(model.createAdapter({ rank: 4 }), async (adapter) => {
    const seconds = [];
    for await (const step of trainDpo(model, adapter, pairs, { batchPairs: pairs.length, steps: 3, maxLength: 8192 })) {
      seconds.push(step.seconds);
    }
    return Math.min(...seconds.slice(1));
  });
}

async function scoreSeconds(model, requests, adapters) {
  const once = async () => {
    const started = performance.now();
    for await (const _ of model.score(requests, adapters === undefined ? {} : { adapters }));
    return (performance.now() - started) / 1000;
  };
  await once();
  return Math.min(await once(), await once());
}

function trainPlan(model, rows, longestPath, trees, targetRows) {
  const shape = { job: "train", rows, targetRows, trees, longestPath, recompute: false, sequences: 0, cacheRows: 0 };
  return model.native.plan(shape);
}

function table(title, head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  console.log(`\n${title}\n\n${line(head)}\n${line(head.map(() => "---"))}\n${rows.map(line).join("\n")}`);
}

const rate = (value) => value.toPrecision(3);

const withDefaultModel = (body) => () => use(openModel(DEFAULT_MODEL), body);

const TABLES = {
  length: withDefaultModel(async (model) => {
    const rows = [];
    for (const length of [64, 128, 256, 512, 1024, 2048]) {
      const count = Math.max(1, 2048 / length);
      const requests = Array.from({ length: count }, (_, index) => ({
        id: `${index}`,
        context_tokens: tokens(1, index),
        completions_tokens: [tokens(length - 1, index)],
      }));
      const seconds = await scoreSeconds(model, requests);
      const plan = trainPlan(model, length, length, 1, length);
      rows.push([length, rate((count * length) / seconds), (plan.activations / MIB).toFixed(0)]);
    }
    table(
      "Scoring, every token a target; memory of training on one such sequence",
      ["tokens", "tokens/s", "MiB of activations"],
      rows,
    );
  }),
  pairs: withDefaultModel(async (model) => {
    const rows = [];
    for (const count of [1, 2, 4, 8, 16]) {
      const seconds = await stepSeconds(model, makePairs(count));
      rows.push([count, rate(seconds), rate(count / seconds)]);
    }
    table("DPO steps of average HH-RLHF pairs", ["pairs a step", "seconds", "pairs/s"], rows);
  }),
  async threads() {
    const rows = [];
    for (const threads of [1, 2]) {
      const seconds = await use(openModel(DEFAULT_MODEL, { threads }), (model) => stepSeconds(model, makePairs(8)));
      rows.push([threads, rate(8 / seconds)]);
    }
    table("DPO, eight pairs a step", ["threads", "pairs/s"], rows);
  },
  adapters: withDefaultModel(async (model) => {
    const requests = Array.from({ length: 8 }, (_, index) => ({
      id: `${index}`,
      context_tokens: tokens(96, index),
      completions_tokens: [0, 1, 2, 3].map((answer) => tokens(16, 10 * index + answer)),
    }));
    const rows = [];
    const base = await scoreSeconds(model, requests);
    for (const count of [1, 4, 16]) {
      const adapters = {};
      for (let i = 0; i < count; i++) adapters[`a${i}`] = await model.createAdapter({ rank: 4, seed: i });
      const seconds = await scoreSeconds(model, requests, adapters);
      for (const adapter of Object.values(adapters)) await adapter.dispose();
      rows.push([count, rate(seconds), (seconds / (count * base)).toFixed(2)]);
    }
    table(
      `Scoring with adapters in one pass; the base model alone takes ${rate(base)} s`,
      ["adapters", "seconds", "of as many passes of the base model"],
      rows,
    );
  }),
  async size() {
    const rows = [];
    for (const shape of SHAPES) {
      const folder = await mkdtemp(join(tmpdir(), "valora-growth-"));
      try {
        const parameters = await writeRandomModel(folder, shape);
        const pairs = makePairs(shape.name === "1B" ? 1 : 4);
        const length = PAIR.prompt + PAIR.chosen + PAIR.rejected;
        const [seconds, plan] = await use(openModel(folder), async (model) => [
          (await stepSeconds(model, pairs)) / pairs.length,
          trainPlan(model, length, PAIR.prompt + PAIR.rejected, 1, PAIR.chosen + PAIR.rejected),
        ]);
        rows.push([
          shape.name,
          (parameters / 1e6).toFixed(0),
          rate(1 / seconds),
          rate((seconds / parameters) * 1e9),
          (plan.weights / MIB).toFixed(0),
          (plan.activations / MIB).toFixed(0),
        ]);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
    table(
      "DPO by size of the model, weights in BF16",
      [
        "shape",
        "million parameters",
        "pairs/s",
        "seconds a pair and thousand million parameters",
        "MiB of weights",
        "MiB of activations a pair",
      ],
      rows,
    );
  },
};

/** A Llama of random BF16 numbers of about 2^-6, in safetensors; returns how many. */
async function writeRandomModel(folder, { channels, layers, heads, kvHeads, feedForward, vocabulary }) {
  const headDim = channels / heads;
  const config = {
    model_type: "llama",
    architectures: ["LlamaForCausalLM"],
    hidden_size: channels,
    intermediate_size: feedForward,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    vocab_size: vocabulary,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
    hidden_act: "silu",
    tie_word_embeddings: true,
    torch_dtype: "bfloat16",
    eos_token_id: 2,
  };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  const shapes = { "model.embed_tokens.weight": [vocabulary, channels], "model.norm.weight": [channels] };
  for (let layer = 0; layer < layers; layer++) {
    const name = `model.layers.${layer}`;
    shapes[`${name}.input_layernorm.weight`] = [channels];
    shapes[`${name}.post_attention_layernorm.weight`] = [channels];
    shapes[`${name}.self_attn.q_proj.weight`] = [channels, channels];
    shapes[`${name}.self_attn.k_proj.weight`] = [kvHeads * headDim, channels];
    shapes[`${name}.self_attn.v_proj.weight`] = [kvHeads * headDim, channels];
    shapes[`${name}.self_attn.o_proj.weight`] = [channels, channels];
    shapes[`${name}.mlp.gate_proj.weight`] = [feedForward, channels];
    shapes[`${name}.mlp.up_proj.weight`] = [feedForward, channels];
    shapes[`${name}.mlp.down_proj.weight`] = [channels, feedForward];
  }
  const header = {};
  let offset = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 2 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  let text = JSON.stringify(header);
  text += " ".repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = await open(join(folder, "model.safetensors"), "w");
  try {
    await file.write(Buffer.concat([length, Buffer.from(text)]));
    const block = new Uint16Array(32768);
    getRandomValues(block);
    // Either sign, exponents 2^-8 to 2^-5, any fraction.
    block.forEach((bits, index) => {
      block[index] = (bits & 0x807f) | ((119 + ((bits >> 8) & 3)) << 7);
    });
    const chunk = Buffer.concat(Array(64).fill(Buffer.from(block.buffer)));
    for (let left = offset; left > 0; left -= chunk.length) await file.write(chunk, 0, Math.min(left, chunk.length));
  } finally {
    await file.close();
  }
  return offset / 2;
}

const wanted = process.argv.slice(2);
for (const name of wanted)
  if (!(name in TABLES)) throw new Error(`there is no table ${name}: ${Object.keys(TABLES).join(", ")}`);
for (const name of wanted.length === 0 ? Object.keys(TABLES) : wanted) await TABLES[name]();
