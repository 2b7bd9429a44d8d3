/**
 * Perplexity of running text over a sliding window: every token is predicted once, after the passages before it. Nats,
 * tokens, words and bytes add up over passages, and
 *
 *     word_perplexity  = e^(nats / words)      words stand between white space: compares models of any tokenizer
 *     byte_perplexity  = e^(nats / bytes),  bits_per_byte = nats / (bytes · ln 2)
 *     token_perplexity = e^(nats / tokens)     depends on the tokenizer
 *
 * Windows are cut in the text, not in tokens, so that every model predicts the same passages after the same context. The
 * text is taken as it is: lm-evaluation-harness's `wikitext` undoes the tokenisation of WikiText first, so its figures are
 * of another text.
 */
import { basename } from "node:path";
import { findDataFiles } from "../../data/data-source.js";
import { readRecords } from "../../data/records.js";
import { checkUtf8, readBytes } from "../../files/byte-stream.js";
import type { LikelihoodQuestion, LoadOptions, Ratio, Suite, Task } from "../task.js";
import { field, takeFirst } from "./qa/records.js";

/** Characters of a passage, at least; some 500 tokens of English. */
const PASSAGE = 2000;
/** Characters of the passages before it that it is predicted after, at most: passage and context are some 2,000 tokens. */
const CONTEXT = 6000;

export const PERPLEXITY_RATIOS: Readonly<Record<string, Ratio>> = {
  word_perplexity: { over: "nats", by: "words", scale: "exp" },
  byte_perplexity: { over: "nats", by: "bytes", scale: "exp" },
  bits_per_byte: { over: "nats", by: "bytes", scale: "bits" },
  token_perplexity: { over: "nats", by: "tokens", scale: "exp" },
};

const wikitext: Task = {
  suite: "perplexity",
  name: "wikitext2",
  about: "WikiText-2 raw, test split; --limit counts passages of 2,000 characters",
  source: "wikitext2",
  version: "1",
  ratios: PERPLEXITY_RATIOS,
  async *load(data, options) {
    const found = await data.find("wikitext2", {
      names: ["wiki.test.raw", "*/wiki.test.raw", "wikitext-2-raw-v1/test-00000-of-00001.parquet"],
      hub: { repo: "Salesforce/wikitext", path: "wikitext-2-raw-v1/test-00000-of-00001.parquet" },
    });
    yield* passageQuestions("wikitext2", found.path, options);
  },
};

export const suite: Suite = {
  name: "perplexity",
  about: "how well running text is predicted, by words, bytes and tokens",
  tasks: [wikitext],
  async open(path) {
    return (await findDataFiles(path)).map((file) =>
      textTask("perplexity", basename(file).replace(/\.\w+$/, ""), file),
    );
  },
};

/** @param path UTF-8 text, or a table with a column "text" */
export function textTask(suite: string, name: string, path: string): Task {
  return {
    suite,
    name,
    about: path,
    source: "own",
    version: "1",
    ratios: PERPLEXITY_RATIOS,
    load: (_, options) => passageQuestions(name, path, options),
  };
}

async function* passageQuestions(
  name: string,
  path: string,
  { limit, signal }: LoadOptions,
): AsyncGenerator<LikelihoodQuestion> {
  let before: string[] = [];
  let index = 0;
  for await (const passage of takeFirst(passagesOf(textOf(path, signal)), limit)) {
    yield passageQuestion(`${name}:${index++}`, before.join(""), passage);
    before.push(passage);
    while (before.length > 1 && before.join("").length > CONTEXT) before = before.slice(1);
    if (before.join("").length > CONTEXT) before = [];
  }
}

function passageQuestion(id: string, context: string, passage: string): LikelihoodQuestion {
  const words = passage.split(/\s+/).filter((word) => word !== "").length;
  const bytes = Buffer.byteLength(passage, "utf8");
  return {
    kind: "likelihood",
    id,
    cluster: id,
    requests: [{ context, completions: [passage] }],
    read: ([results]) => ({ nats: -results![0]!.logprob, tokens: results![0]!.tokens, words, bytes }),
  };
}

async function* textOf(path: string, signal: AbortSignal | undefined): AsyncGenerator<string> {
  if (/\.(parquet|jsonl|json|csv|tsv)(\.gz)?$/i.test(path)) {
    for await (const { value, where } of readRecords(path, { signal })) yield field(value, "text", "string", where);
    return;
  }
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  for await (const chunk of checkUtf8(readBytes(path), path)) yield decoder.decode(chunk, { stream: true });
}

/**
 * Consecutive pieces that give the text when they are put together. One ends before a line that has text, where it is
 * long enough; in lines without an end, before a space; in text without spaces, between two characters. There tokens of
 * hardly any tokenizer go across the cut.
 */
export async function* passagesOf(text: AsyncIterable<string>, length = PASSAGE): AsyncGenerator<string> {
  let pending = "";
  for await (const chunk of text) {
    pending += chunk;
    for (;;) {
      // Enough is at hand to know that no better place comes.
      if (pending.length < 4 * length + 2) break;
      const end = endOfPassage(pending, length);
      yield pending.slice(0, end);
      pending = pending.slice(end);
    }
  }
  while (pending.length > 2 * length) {
    const end = endOfPassage(pending, length);
    yield pending.slice(0, end);
    pending = pending.slice(end);
  }
  if (pending.trim() !== "") yield pending;
}

function endOfPassage(text: string, length: number): number {
  const find = (pattern: RegExp, from: number, offset: number): number | null => {
    pattern.lastIndex = from;
    const at = pattern.exec(text)?.index;
    return at === undefined || at + offset > 4 * length ? null : at + offset;
  };
  const lineEnd = find(/\n(?=[^\S\n]*\S)/g, length, 1);
  if (lineEnd !== null && lineEnd <= 2 * length) return lineEnd;
  const space = find(/(?<=\S)\s(?=\S)/g, length, 0);
  if (space !== null) return space;
  if (lineEnd !== null) return lineEnd;
  const end = Math.min(2 * length, text.length);
  // Not within a surrogate pair.
  return /[\ud800-\udbff]/.test(text[end - 1] as string) ? end + 1 : end;
}
