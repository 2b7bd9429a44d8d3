/** Valid inputs that the mutation tests start from: golden models and small hand-made files. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunIdentity } from "#lib/engine/checkpoint.js";
import { trainSettings } from "#lib/engine/train-options.js";
import { GOLDEN } from "../golden.js";
import { byteVocabulary } from "./gguf-writer.js";

export const FAMILIES = ["llama-tied", "llama3-rope", "mistral-nemo", "olmo2", "qwen2", "qwen3"] as const;
export const GGUF = join(GOLDEN, "llama-tied/model.gguf");
export const GGUF_QUANTS = join(GOLDEN, "gguf/quants.gguf");
export const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] as const;

/** The first bytes of a GGUF file: the golden ones' headers are shorter than this. */
export function ggufPrefix(path: string): { header: Buffer; size: number } {
  const bytes = readFileSync(path);
  return { header: bytes.subarray(0, 4096), size: bytes.length };
}

export function splitSafetensors(content: Buffer): { header: Record<string, Entry>; headerBytes: number } {
  const headerBytes = 8 + Number(content.readBigUInt64LE(0));
  return { header: JSON.parse(content.toString("utf8", 8, headerBytes)), headerBytes };
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** A small byte-level tokenizer in tokenizers' own format. */
function tokenizerJson(): unknown {
  const { vocabulary, merges } = byteVocabulary();
  const special = ["<|pad|>", "<|im_start|>", "<|im_end|>"];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: "\\p{N}" }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...special, ...vocabulary].map((token, id) => [token, id])),
      merges,
    },
  };
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

function textFiles(): Record<string, Buffer> {
  return {
    "tokenizer.json": json(tokenizerJson()),
    "tokenizer_config.json": json({
      add_bos_token: false,
      bos_token: "<|im_start|>",
      eos_token: { content: "<|im_end|>", lstrip: false, rstrip: false, normalized: false, special: true },
      chat_template: TEMPLATES[0],
      tokenizer_class: "GPT2Tokenizer",
    }),
    "generation_config.json": json({ bos_token_id: 1, eos_token_id: [2] }),
  };
}

export function modelFolder(family: (typeof FAMILIES)[number] = "llama-tied"): Record<string, Buffer> {
  return {
    ...textFiles(),
    "config.json": readFileSync(join(GOLDEN, family, "config.json")),
    "model.safetensors": readFileSync(join(GOLDEN, family, "model.safetensors")),
  };
}

/** The same model in two files with an index. */
export function shardedFolder(): Record<string, Buffer> {
  const { "model.safetensors": whole, ...others } = modelFolder();
  const { header, headerBytes } = splitSafetensors(whole as Buffer);
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  const map: Record<string, string> = {};
  const files: Record<string, Buffer> = { ...others };
  SHARDS.forEach((file, shard) => {
    const entries: Record<string, Entry> = {};
    const parts: Buffer[] = [];
    let offset = 0;
    for (const name of names.filter((_, index) => index % 2 === shard)) {
      const { dtype, shape, data_offsets } = header[name] as Entry;
      const data = (whole as Buffer).subarray(headerBytes + data_offsets[0], headerBytes + data_offsets[1]);
      entries[name] = { dtype, shape, data_offsets: [offset, offset + data.length] };
      offset += data.length;
      parts.push(data);
      map[name] = file;
    }
    files[file] = encodeSafetensors(entries, parts);
  });
  files["model.safetensors.index.json"] = json({ metadata: { total_size: 1 }, weight_map: map });
  return files;
}

function encodeSafetensors(entries: Record<string, Entry>, parts: readonly Buffer[]): Buffer {
  const header = json(entries);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...parts]);
}

export function adapterFolder(): Record<string, Buffer> {
  return Object.fromEntries(
    ["adapter_config.json", "adapter_model.safetensors"].map((name) => [
      name,
      readFileSync(join(GOLDEN, "llama-tied", name)),
    ]),
  );
}

export function checkpointFiles(): Record<string, Buffer> {
  const moments = Buffer.alloc(64 * 4);
  return {
    ...adapterFolder(),
    "optimizer.safetensors": encodeSafetensors(
      {
        m: { dtype: "F32", shape: [32], data_offsets: [0, 128] },
        v: { dtype: "F32", shape: [32], data_offsets: [128, 256] },
      },
      [moments],
    ),
  };
}

export const IDENTITY: RunIdentity = {
  settings: trainSettings({ steps: 4 }),
  model: "0".repeat(64),
  startAdapter: "1".repeat(64),
  referenceAdapter: "2".repeat(64),
  data: "3".repeat(64),
  backend: "cpu",
};

const lines = (...values: unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join("");
const MESSAGES = [{ role: "user", content: "What is your name?\u2028Really?" }];

export const PAIRS = lines(
  { id: "a", source: "test", prompt: MESSAGES, chosen: "yes", rejected: "no", value: "kind", flipped: false },
  { id: "b", prompt: "The sky is", chosen: " blue", rejected: " green", values: { chosen: ["true"], rejected: [] } },
  { id: "c", prompt_tokens: [1, 2, 3], chosen_tokens: [4], rejected_tokens: [5, 6] },
);
export const SCORE_REQUESTS = lines(
  { id: "a", context: MESSAGES, completions: ["yes", "no"] },
  { id: "b", context_tokens: [1, 2], completions_tokens: [[3], [4, 5]] },
);
export const PROMPTS = lines(
  { id: "a", prompt: MESSAGES },
  { id: "b", prompt_tokens: [1, 2] },
  { id: "c", prompt: "x" },
);
export const TEXTS = lines({ id: "a", text: "x\u0085y" }, { id: "b", messages: MESSAGES });

export const TEMPLATES = [
  "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are helpful<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}{%- if m.role not in ['user', 'assistant'] -%}{{ raise_exception('only user and assistant') }}{%- endif -%}{%- set ns.n = ns.n + 1 -%}{{ bos_token if loop.index0 == 0 else '' }}[{{ m.role | upper }}] {{ m.content | trim }}{{ eos_token }}{%- endfor -%}{{ ns.n }}",
  "{% macro turn(m) %}<{{ m['role'] }}>{{ m['content'][0:100] | default('') }}{% endmacro %}{% for i in range(messages | length) %}{{ turn(messages[i]) }}{{ messages | tojson }}{% endfor %}",
] as const;

const hash = "ab".repeat(32);
export const MANIFEST = {
  command: "train",
  options: { rank: 4, targets: ["q_proj"], output: "x" },
  seed: 0,
  versions: { valora: "0.1.0", node: "v20" },
  device: { kind: "cpu", threads: 2 },
  sha256: { model: hash, data: hash },
  run: { settings: { steps: 4 } },
};

export const CONFIG_OPTIONS = {
  model: "smollm2-135m-instruct",
  pairs: "pairs.jsonl",
  output: "out",
  learningRate: 1e-4,
  shuffle: false,
  targets: ["q_proj", "v_proj"],
  epochs: 2,
  quiet: true,
};
export const CONFIG_FILES = [
  "# comment\nmodel: smollm2-135m-instruct\npairs: pairs.jsonl\nlearning-rate: 5e-4\nno-shuffle: true\ntargets: [q_proj, v_proj]\n",
  "defaults: &base\n  rank: 4\nmodel: &m x\noutput: *m\nrslora: yes\nsteps: 0x10\nbeta: .1\n",
  "? model\n: >-\n  folded\n  text\noutput: |\n  literal\nloss: !!str sipo\nseed: '7'\n",
] as const;

const METRICS = lines({ step: 1, epoch: 0.5, loss: 0.69 }, { step: 2, epoch: 1, loss: 0.5 });
const ITEMS = lines(
  { model: "m", adapter: "base", value: "a", suite: "preferences", task: "a", metric: "margin", item: "1", y: 0.5 },
  { model: "m", adapter: "x", value: "a", suite: "preferences", task: "a", metric: "margin", item: "1", y: 1 },
);
const COUNTS = "value,chosen,rejected,total,pairs,flipped_share\na,1,1,2,2,0.5\n";
/** File name → content of folders that `inspect` knows. */
export const INSPECTED: readonly Record<string, string>[] = [
  { "metrics.jsonl": METRICS, "manifest.json": JSON.stringify(MANIFEST) },
  { "items.jsonl": ITEMS, "summary.json": "[]", "manifest.json": JSON.stringify(MANIFEST) },
  { "counts.csv": COUNTS, "a.jsonl": PAIRS },
];
