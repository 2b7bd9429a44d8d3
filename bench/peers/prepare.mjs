/**
 * Makes what all contenders read, once: requests and pairs from the golden values that this repository holds (real
 * HH-RLHF pairs, WikiText, MMLU), adapters, and the default model's weights in the peers' forms.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const GOLDEN = fileURLToPath(new URL("../../test/golden/smollm2/", import.meta.url));

/** Of the task with several adapters. */
const ADAPTERS = 16;
const ADAPTER_REQUESTS = 24;
/** Prompts that are continued one by one; and at once. */
const PROMPTS = { alone: 4, together: 16 };

const readLines = (path) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
const writeLines = (path, records) =>
  writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(""));

/** llama_peer's form: the first target's index, then the tokens. */
const writeTokens = (path, sequences) =>
  writeFileSync(path, sequences.map(({ begin, tokens }) => `${begin} ${tokens.join(" ")}\n`).join(""));

/**
 * @param pairs preference pairs in tokens, JSON Lines; the golden ones where it is left out
 * @param limit items of every input at most
 * @returns name → path; where a name has a twin that ends in .tokens, that is llama_peer's
 */
export function writeInputs(folder, { pairs = join(GOLDEN, "dpo", "pairs.jsonl"), limit }) {
  mkdirSync(folder, { recursive: true });
  const inputs = {
    pairs: pairsOf(pairs),
    texts: textsOf(),
    choices: choicesOf(),
    fewshot: fewshotOf(),
    "adapter-requests": choicesOf().slice(0, ADAPTER_REQUESTS),
    "prompts-1": promptsOf().slice(0, PROMPTS.alone),
    "prompts-16": promptsOf().slice(0, PROMPTS.together),
    first: textsOf().slice(0, 1).map(shorten),
  };
  return Object.fromEntries(
    Object.entries(inputs).map(([name, all]) => {
      const path = join(folder, `${name}.jsonl`);
      const records = all.slice(0, limit);
      writeLines(path, records);
      const sequences = records.flatMap(sequencesOf);
      if (sequences.length > 0) writeTokens(`${path}.tokens`, sequences);
      return [name, path];
    }),
  );
}

function pairsOf(path) {
  const pairs = readLines(path);
  const short = pairs.find(({ prompt_tokens }) => prompt_tokens === undefined);
  if (short !== undefined) throw new Error(`${path}: pair "${short.id}" has no prompt_tokens: give pairs in tokens`);
  return pairs;
}

/** Stretches of WikiText, every token but the first a target. */
function textsOf() {
  return readLines(join(GOLDEN, "score.jsonl"))
    .filter(({ id }) => /^wiki|^context1000$/.test(id))
    .map(({ id, context_tokens: [first, ...rest], completions_tokens: [completion] }) => ({
      id,
      context_tokens: [first],
      completions_tokens: [[...rest, ...completion]],
    }));
}

const shorten = ({ id, context_tokens, completions_tokens: [tokens] }) => ({
  id,
  context_tokens,
  completions_tokens: [tokens.slice(0, 8)],
});

const mmlu = () =>
  Object.entries(JSON.parse(readFileSync(join(GOLDEN, "lmeval.json"), "utf8")).tasks)
    .filter(([name]) => name.startsWith("mmlu_"))
    .flatMap(([name, { items }]) => items.map((item) => ({ id: `${name}:${item.doc_id}`, ...item })));

/** As lm-evaluation-harness words them: five questions with answers in front. */
function fewshotOf() {
  return mmlu().map(({ id, context, choices }) => ({ id, context, completions: choices }));
}

/** The last question alone, with the texts of its answers in place of their letters. */
function choicesOf() {
  return mmlu().flatMap(({ id, context }) => {
    const last = context.slice(context.lastIndexOf("\n\n") + 2);
    const match = /^(.+)\nA\. (.+)\nB\. (.+)\nC\. (.+)\nD\. (.+)\nAnswer:$/s.exec(last);
    if (match === null) return [];
    const [, question, ...answers] = match;
    return [{ id, context: `Question: ${question}\nAnswer:`, completions: answers.map((answer) => ` ${answer}`) }];
  });
}

/** Of at most a hundred tokens. */
function promptsOf() {
  const questions = readLines(join(GOLDEN, "generate.jsonl")).map(({ prompt_tokens }) => prompt_tokens);
  const chats = readLines(join(GOLDEN, "chat.jsonl"))
    .filter(({ add_generation_prompt, ids }) => add_generation_prompt && ids.length <= 100)
    .map(({ ids }) => ids);
  return [...questions, ...chats].map((prompt_tokens, index) => ({ id: `prompt ${index}`, prompt_tokens }));
}

function sequencesOf({ context_tokens, completions_tokens, prompt_tokens }) {
  if (prompt_tokens !== undefined) return [{ begin: prompt_tokens.length, tokens: prompt_tokens }];
  return (completions_tokens ?? []).map((tokens) => ({
    begin: context_tokens.length,
    tokens: [...context_tokens, ...tokens],
  }));
}

/**
 * The adapter that training starts from, and those that are scored: the same with other random numbers, b included,
 * since an adapter whose b is 0 says nothing.
 */
export async function writeAdapters(folder, valora, model, { rank, alpha }) {
  const start = join(folder, "start");
  const others = Array.from({ length: ADAPTERS }, (_, index) => join(folder, `adapter-${index}`));
  if (!existsSync(join(others.at(-1), "adapter_config.json"))) {
    const opened = await valora.openModel(model, { device: "cpu", threads: 1 });
    for (const [index, path] of [start, ...others].entries()) {
      const adapter = await opened.createAdapter({ rank, alpha, seed: index });
      await adapter.save(path);
      await adapter.dispose();
    }
    await opened.dispose();
    for (const path of others) {
      const { config, modules } = await valora.readAdapter(path);
      for (const { a, b } of modules) b.set(b.map((_, at) => 0.1 * a[(7 * at) % a.length]));
      await valora.writeAdapter(path, modules, config);
    }
  }
  return { start, others };
}

/** Files of the same numbers for all: { Q4_1: { gguf }, F32: { gguf, folder }, … }, or a reason for what is missing. */
export function writeWeights(folder, python, gguf) {
  const done = join(folder, "done");
  const weights = { Q4_1: { gguf, folder: gguf } };
  if (!existsSync(done)) {
    if (python === undefined) return { weights, reason: "there is no Python to write the weights with" };
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const args = [join(here, "python", "weights.py"), gguf, join(GOLDEN, "tokenizer.json"), folder];
    console.error(`$ ${[python, ...args].join(" ")}`);
    const { status } = spawnSync(python, args, {
      stdio: ["ignore", 2, 2],
      env: { ...process.env, CUDA_VISIBLE_DEVICES: "", HF_HUB_OFFLINE: "1" },
    });
    if (status !== 0) return { weights, reason: "the weights could not be written; the output is above" };
    writeFileSync(done, "");
  }
  for (const name of ["F32", "BF16"])
    weights[name] = { gguf: join(folder, `${name}.gguf`), folder: join(folder, name) };
  return { weights };
}
