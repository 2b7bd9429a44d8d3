/** Model files: the six tiny models, the same ones as GGUF, shards, the text side, and files that do not fit together. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ModelFiles, readModelFiles } from "#lib/models/model-files.js";
import { cachedModelPath } from "#lib/models/registry.js";
import { createTokenizer } from "#lib/models/tokenizer.js";
import type { NativeTensor } from "#lib/native.js";
import { failsWith, GOLDEN, TINY_MODELS, withFolder, writeZeros } from "./format-support.js";

const LLAMA = join(GOLDEN, "llama-tied");

test("every tiny model is read with the place of each of its tensors", async () => {
  const extras: Record<string, string[]> = {
    "llama3-rope": ["head"],
    "mistral-nemo": ["head"],
    olmo2: ["head", "q_norm", "k_norm"],
    qwen2: ["q_bias", "k_bias", "v_bias"],
    qwen3: ["q_norm", "k_norm"],
  };
  const usual = [
    "attention_norm",
    "down_proj",
    "embedding",
    "feed_forward_norm",
    "final_norm",
    "gate_proj",
    "k_proj",
    "o_proj",
    "q_proj",
    "up_proj",
    "v_proj",
  ];
  for (const name of TINY_MODELS) {
    const model = await readModelFiles(join(GOLDEN, name));
    assert.equal(model.format, "safetensors");
    assert.equal(model.family, name.split("-")[0]!.replace("llama3", "llama"));
    assert.deepEqual(
      [...new Set(model.tensors.map(({ role }) => role))].sort(),
      [...usual, ...(extras[name] ?? [])].sort(),
      name,
    );
    assert.equal(model.tokenizer, null);
    assert.deepEqual([model.bosId, ...model.eosIds], [1, 2]);
    const bytes = readFileSync(join(GOLDEN, name, "model.safetensors")).length;
    assert.ok(
      model.tensors.every(({ offset, bytes: size, rows, cols }) => size === 4 * rows * cols && offset + size <= bytes),
    );
    assert.equal(
      model.parameters,
      model.tensors.reduce((sum, { rows, cols }) => sum + rows * cols, 0),
    );
  }
  const nemo = await readModelFiles(join(GOLDEN, "mistral-nemo"));
  assert.deepEqual([nemo.config.channels, nemo.config.heads, nemo.config.headDim], [64, 4, 24]);
});

/** Bytes of a tensor with the rows where transformers has them: rows 2i and 2i+1 of a head are i and i + D/2. */
function orderedBytes(tensor: NativeTensor): Buffer {
  const stored = readFileSync(tensor.file).subarray(tensor.offset, tensor.offset + tensor.bytes);
  if (tensor.interleavedHeads === 0) return stored;
  const width = tensor.rows / tensor.interleavedHeads;
  const rowBytes = tensor.bytes / tensor.rows;
  const row = (at: number): Buffer => stored.subarray(at * rowBytes, (at + 1) * rowBytes);
  return Buffer.concat(
    Array.from({ length: tensor.rows }, (_, at) => {
      const [head, inside] = [Math.floor(at / width), at % width];
      return row(head * width + 2 * (inside % (width / 2)) + Math.floor(inside / (width / 2)));
    }),
  );
}

test("a GGUF file holds the same model as safetensors once its q and k rows are put back", async () => {
  for (const name of ["llama-tied", "llama3-rope"]) {
    const folder = await readModelFiles(join(GOLDEN, name));
    const file = await readModelFiles(join(GOLDEN, name, "model.gguf"));
    assert.equal(file.format, "gguf");
    const { inverseFrequencies, normEpsilon, ...sizes } = file.config;
    const { inverseFrequencies: expected, normEpsilon: epsilon, ...folderSizes } = folder.config;
    assert.deepEqual(sizes, folderSizes);
    // GGUF keeps epsilon and the divisors of the frequencies in float32.
    assert.equal(normEpsilon, Math.fround(epsilon));
    for (const [i, value] of inverseFrequencies.entries())
      assert.ok(Math.abs(value / expected[i]! - 1) <= 1e-7, `${name} ${i}`);
    assert.equal(file.tensors.length, folder.tensors.length);
    for (const tensor of file.tensors) {
      const same = folder.tensors.find(({ role, layer }) => role === tensor.role && layer === tensor.layer)!;
      assert.deepEqual([tensor.rows, tensor.cols], [same.rows, same.cols]);
      assert.equal(tensor.interleavedHeads, tensor.role === "q_proj" ? 4 : tensor.role === "k_proj" ? 2 : 0);
      assert.ok(orderedBytes(tensor).equals(orderedBytes(same)), `${name}: ${tensor.role} ${tensor.layer}`);
    }
  }
});

test("a folder with one .gguf file is that file, with several it asks which", async () => {
  await withFolder(async (folder) => {
    await assert.rejects(readModelFiles(folder), failsWith("ERR_MODEL_FORMAT", /holds no model.*found no weights/));
    copyFileSync(join(LLAMA, "model.gguf"), join(folder, "b.gguf"));
    assert.equal((await readModelFiles(folder)).path, join(folder, "b.gguf"));
    copyFileSync(join(LLAMA, "model.gguf"), join(folder, "a.gguf"));
    await assert.rejects(readModelFiles(folder), failsWith("ERR_MODEL_FORMAT", /2 \.gguf files.*a\.gguf/));
    await assert.rejects(readModelFiles(join(folder, "none")), failsWith("ERR_FILE", /does not exist/));
  });
});

test("a GGUF file that is cut off, or holds tensors without a model, is an error", async () => {
  await withFolder(async (folder) => {
    const bytes = readFileSync(join(LLAMA, "model.gguf"));
    const path = join(folder, "cut.gguf");
    for (const length of [0, 3, 4, 23, 24, 100, 1000, bytes.length - 1]) {
      writeFileSync(path, bytes.subarray(0, length));
      await assert.rejects(
        readModelFiles(path),
        failsWith("ERR_MODEL_FORMAT", /cut off|not a readable GGUF/),
        `${length} bytes`,
      );
    }
  });
  await assert.rejects(
    readModelFiles(join(GOLDEN, "gguf", "quants.gguf")),
    failsWith("ERR_MODEL_FORMAT", /embedding_length is missing/),
  );
  await assert.rejects(
    readModelFiles(join(LLAMA, "model.safetensors")),
    failsWith("ERR_MODEL_FORMAT", /name its folder/),
  );
});

/** Shapes of every tensor of a tiny model, by its name. */
function shapesOf(name: string): Record<string, number[]> {
  const bytes = readFileSync(join(GOLDEN, name, "model.safetensors"));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE(0)))) as Record<
    string,
    { shape: number[] }
  >;
  delete header.__metadata__;
  return Object.fromEntries(Object.entries(header).map(([tensor, { shape }]) => [tensor, shape]));
}

/** A folder with the config of a tiny model, and weights of these shapes. */
async function readChanged(
  folder: string,
  change: (shapes: Record<string, number[]>) => unknown,
  config: Record<string, unknown> = {},
): Promise<ModelFiles> {
  const shapes = shapesOf("llama-tied");
  change(shapes);
  writeZeros(join(folder, "model.safetensors"), shapes);
  const original = JSON.parse(readFileSync(join(LLAMA, "config.json"), "utf8")) as object;
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...original, ...config }));
  return readModelFiles(folder);
}

test("tensors that are missing, unknown or of another shape are named", async () => {
  const q = "model.layers.1.self_attn.q_proj.weight";
  await withFolder(async (folder) => {
    const refuses = (change: (shapes: Record<string, number[]>) => unknown, says: RegExp, config = {}) =>
      assert.rejects(readChanged(folder, change, config), failsWith("ERR_MODEL_FORMAT", says));
    await refuses(
      (shapes) => Reflect.deleteProperty(shapes, q),
      /"model\.layers\.1\.self_attn\.q_proj\.weight" is missing/,
    );
    await refuses(
      (shapes) => Object.assign(shapes, { [q]: [64, 63] }),
      /q_proj\.weight" has the shape \[64, 63\], its config asks for \[64, 64\]/,
    );
    await refuses((shapes) => Object.assign(shapes, { [q]: [64, 64, 1] }), /shape \[64, 64, 1\]/);
    await refuses(
      (shapes) => Object.assign(shapes, { "score.weight": [1, 64] }),
      /"score\.weight" is not part of the llama model/,
    );
    await refuses(() => {}, /"model\.layers\.2\..* and 8 more are not part/, { num_hidden_layers: 2 });
    await refuses(() => {}, /"model\.layers\.3\..* and 8 more are missing/, { num_hidden_layers: 4 });
    await refuses(() => {}, /"lm_head\.weight" is missing/, { tie_word_embeddings: false });
    await refuses(() => {}, /q_proj\.bias" and 11 more are missing/, { attention_bias: true });
    await refuses(() => {}, /shape \[256, 64\], its config asks for \[300, 64\]/, { vocab_size: 300 });
  });
});

test("a tied model has no head, even where its file has a copy of one, and rotary tables are passed over", async () => {
  await withFolder(async (folder) => {
    const add = (shapes: Record<string, number[]>): void => {
      shapes["lm_head.weight"] = [256, 64];
      shapes["model.layers.0.self_attn.rotary_emb.inv_freq"] = [8];
    };
    const roles = async (config: object) =>
      (await readChanged(folder, add, { ...config })).tensors.map(({ role }) => role);
    assert.ok(!(await roles({ tie_word_embeddings: true })).includes("head"));
    assert.ok((await roles({ tie_word_embeddings: false })).includes("head"));
    assert.ok((await roles({ tie_word_embeddings: undefined })).includes("head"));
  });
});

test("shards are read through their index", async () => {
  await withFolder(async (folder) => {
    const names = Object.entries(shapesOf("llama-tied"));
    const shards = [names.slice(0, 10), names.slice(10)];
    const map: Record<string, string> = {};
    shards.forEach((part, i) => {
      writeZeros(join(folder, `model-${i}.safetensors`), Object.fromEntries(part));
      for (const [name] of part) map[name] = `model-${i}.safetensors`;
    });
    writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
    await assert.rejects(readModelFiles(folder), failsWith("ERR_MODEL_FORMAT", /without config\.json/));
    copyFileSync(join(LLAMA, "config.json"), join(folder, "config.json"));
    const model = await readModelFiles(folder);
    assert.equal(model.tensors.length, names.length);
    assert.equal(new Set(model.tensors.map(({ file }) => file)).size, 2);
    for (const file of model.files) assert.ok(existsSync(file), file);
    assert.equal(model.files.length, 4);
  });
});

test("weights as pickles, and damaged JSON beside the weights, are said to be so", async () => {
  await withFolder(async (folder) => {
    writeFileSync(join(folder, "config.json"), "{}");
    writeFileSync(join(folder, "pytorch_model-00001-of-00002.bin"), "");
    await assert.rejects(readModelFiles(folder), failsWith("ERR_UNSUPPORTED", /pickles/));
    copyFileSync(join(LLAMA, "model.safetensors"), join(folder, "model.safetensors"));
    for (const [text, says] of [
      ["{", /not valid JSON/],
      ["[]", /JSON object/],
      ["{}", /not named/],
    ] as const) {
      writeFileSync(join(folder, "config.json"), text);
      await assert.rejects(
        readModelFiles(folder),
        failsWith(text === "{}" ? "ERR_UNSUPPORTED" : "ERR_MODEL_FORMAT", says),
      );
    }
    copyFileSync(join(LLAMA, "config.json"), join(folder, "config.json"));
    mkdirSync(join(folder, "tokenizer.json"));
    await assert.rejects(readModelFiles(folder), failsWith("ERR_FILE", /tokenizer\.json .* folder/));
  });
});

/** The text side of a tiny model with these files beside it. */
async function readText(files: Record<string, unknown>): Promise<ModelFiles> {
  return withFolder(async (folder) => {
    for (const name of ["config.json", "model.safetensors"]) copyFileSync(join(LLAMA, name), join(folder, name));
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
    }
    return readModelFiles(folder);
  });
}

const TOKENIZER = {
  version: "1.0",
  truncation: null,
  padding: null,
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  post_processor: null as unknown,
  added_tokens: ["<s>", "</s>", "<|turn|>"].map((content, id) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })),
  model: { type: "BPE", vocab: { "<s>": 0, "</s>": 1, "<|turn|>": 2, a: 3, b: 4 }, merges: [] },
};

const START = {
  type: "Sequence",
  processors: [
    { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true },
    {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
    },
  ],
};

test("special tokens come from the tokenizer's config, generation config and post-processor, and the tokenizer agrees", async () => {
  const cases: [Record<string, unknown>, [string | null, number | null, string | null, number[], boolean]][] = [
    [{ "tokenizer.json": TOKENIZER }, ["</s>", 1, "<|turn|>", [2], false]], // ids of config.json
    [
      { "tokenizer_config.json": { bos_token: "<s>", eos_token: { content: "</s>" } } },
      ["<s>", 0, "</s>", [1, 2], false],
    ],
    [
      {
        "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
        "generation_config.json": { eos_token_id: [2, 1, 999] },
      },
      ["<s>", 0, "</s>", [1, 2], false],
    ],
    [
      {
        "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>", add_bos_token: true },
        "generation_config.json": { eos_token_id: 1 },
      },
      ["<s>", 0, "</s>", [1], true],
    ],
    [
      { "tokenizer_config.json": { bos_token: null, eos_token: "<|turn|>", add_bos_token: true } },
      [null, null, "<|turn|>", [2], false],
    ],
    [
      {
        "tokenizer.json": { ...TOKENIZER, post_processor: START },
        "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
      },
      ["<s>", 0, "</s>", [1, 2], true],
    ],
    [
      {
        "tokenizer.json": { ...TOKENIZER, post_processor: START },
        "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>", add_bos_token: false },
      },
      ["<s>", 0, "</s>", [1, 2], false],
    ],
  ];
  for (const [files, expected] of cases) {
    const model = await readText({ "tokenizer.json": TOKENIZER, ...files });
    assert.deepEqual(
      [model.bosToken, model.bosId, model.eosToken, model.eosIds, model.addBos],
      expected,
      JSON.stringify(files),
    );
    const tokenizer = createTokenizer(model.tokenizer!);
    assert.deepEqual(
      [tokenizer.bosId, tokenizer.eosIds, tokenizer.addBos],
      [expected[1], expected[3], expected[4]],
      JSON.stringify(files),
    );
  }
});

test("the chat template is the file of its own, else that of the tokenizer's config, of several the default one", async () => {
  const named = [
    { name: "tool_use", template: "tools" },
    { name: "default", template: "usual" },
  ];
  const template = async (files: Record<string, unknown>) => (await readText(files)).chatTemplate;
  assert.equal(await template({}), null);
  assert.equal(await template({ "tokenizer_config.json": { chat_template: "one" } }), "one");
  assert.equal(await template({ "tokenizer_config.json": { chat_template: named } }), "usual");
  assert.equal(await template({ "tokenizer_config.json": { chat_template: named.slice(0, 1) } }), "tools");
  assert.equal(
    await template({ "tokenizer_config.json": { chat_template: "one" }, "chat_template.jinja": "file" }),
    "file",
  );
  assert.equal(await template({ "tokenizer_config.json": { chat_template: 5 } }), null);
});

test("the default model is read from its GGUF alone", {
  skip: !existsSync(cachedModelPath("smollm2-135m-instruct")) && "not in the cache",
}, async () => {
  const model = await readModelFiles(cachedModelPath("smollm2-135m-instruct"));
  const { inverseFrequencies, ...sizes } = model.config;
  assert.deepEqual(sizes, {
    layers: 30,
    channels: 576,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    feedForward: 1536,
    vocabulary: 49152,
    maxPositions: 8192,
    normEpsilon: Math.fround(1e-5),
    normPlacement: "pre",
    qkNorm: "none",
  });
  assert.equal(inverseFrequencies[1], 100000 ** (-1 / 32));
  assert.equal(model.tensors.length, 272);
  assert.equal(model.parameters, 134_515_008);
  const dtypes = model.tensors.map(
    ({ role, dtype }) => `${role.endsWith("norm") ? "norm" : role === "embedding" ? role : "matrix"} ${dtype}`,
  );
  assert.deepEqual([...new Set(dtypes)].sort(), ["embedding Q8_0", "matrix Q4_1", "norm F32"]);
  assert.deepEqual(
    [model.bosToken, model.bosId, model.eosToken, model.eosIds, model.addBos],
    ["<|im_start|>", 1, "<|im_end|>", [2], false],
  );
  assert.match(model.chatTemplate!, /im_start/);
  const tokenizer = createTokenizer(model.tokenizer!);
  assert.deepEqual([tokenizer.bosId, tokenizer.eosIds, tokenizer.addBos], [1, [2], false]);
});
