/**
 * tokenizer.json, the file of Hugging Face's `tokenizers` (byte-pair models): checked, and put into the words that
 * @huggingface/tokenizers 0.2 understands as Python's does. Measured differences of that library, which is given an
 * equivalent here: `Digits` knows ASCII digits only; the pattern of `ByteLevel` uses JavaScript's `\s` (with U+FEFF,
 * without U+0085); `Metaspace` never splits; `Split` knows the behaviours Isolated and Removed only, and with `invert` drops
 * what it should keep.
 */
import { ModelFormatError, UnsupportedError } from "../errors.js";
import { showValue } from "./library-error.js";

export type JsonObject = Record<string, unknown>;

export interface AddedTokenJson {
  id: number;
  content: string;
  special: boolean;
  normalized: boolean;
  lstrip: boolean;
  rstrip: boolean;
  single_word: boolean;
}

export interface BpeJson {
  type: "BPE";
  dropout: null;
  unk_token: string | null;
  continuing_subword_prefix: null;
  end_of_word_suffix: null;
  fuse_unk: boolean;
  byte_fallback: boolean;
  ignore_merges: boolean;
  vocab: Record<string, number>;
  merges: [string, string][];
}

export interface TokenizerJson {
  version: "1.0";
  truncation: null;
  padding: null;
  added_tokens: AddedTokenJson[];
  normalizer: JsonObject | null;
  pre_tokenizer: JsonObject | null;
  post_processor: JsonObject | null;
  decoder: JsonObject | null;
  model: BpeJson;
}

/** Protects memory, as tables are as long as the largest id; the largest vocabularies known have 2^18 tokens. */
const MAX_TOKEN_ID = 2 ** 24;
/** Protects the stack: steps hold steps. */
const MAX_DEPTH = 16;

/** The pattern of GPT-2, which `ByteLevel` splits by unless told not to. */
export const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fail(problem: string): never {
  throw new ModelFormatError(`the tokenizer cannot be used: ${problem}`);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** @throws ModelFormatError where it contradicts itself, UnsupportedError where it is no byte-pair tokenizer */
export function parseTokenizerJson(value: unknown): TokenizerJson {
  if (!isObject(value) || !isObject(value.model)) fail('tokenizer.json has no "model"');
  const model = parseModel(value.model);
  const added = value.added_tokens ?? [];
  if (!Array.isArray(added)) fail('"added_tokens" is not a list');
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added.map(parseAddedToken),
    normalizer: parseStep(value.normalizer, "normalizer"),
    pre_tokenizer: parseStep(value.pre_tokenizer, "pre_tokenizer"),
    post_processor: parseStep(value.post_processor, "post_processor"),
    decoder: parseStep(value.decoder, "decoder"),
    model,
  };
}

function parseStep(value: unknown, name: string): JsonObject | null {
  if (value === undefined || value === null) return null;
  if (!isObject(value) || typeof value.type !== "string") fail(`"${name}" has no type`);
  return value;
}

function parseAddedToken(value: unknown): AddedTokenJson {
  if (!isObject(value) || typeof value.content !== "string" || value.content === "") {
    fail('an entry of "added_tokens" has no content');
  }
  const { content } = value;
  return {
    id: parseId(value.id, content as string),
    content: content as string,
    special: value.special === true,
    normalized: value.normalized === true,
    lstrip: value.lstrip === true,
    rstrip: value.rstrip === true,
    single_word: value.single_word === true,
  };
}

function parseId(value: unknown, token: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > MAX_TOKEN_ID) {
    fail(`token ${quote(token)} has the id ${showValue(value)}, not a whole number up to ${MAX_TOKEN_ID}`);
  }
  return value;
}

function parseModel(model: JsonObject): BpeJson {
  const { vocab, merges } = model;
  if (model.type !== "BPE") {
    throw new UnsupportedError(
      `the type of the tokenizer is ${showValue(model.type)}, which is not read; valora reads byte-pair ones (BPE)`,
    );
  }
  for (const option of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[option]) throw new UnsupportedError(`the tokenizer uses ${option}, which valora does not read`);
  }
  if (!isObject(vocab)) fail('"model.vocab" is not an object');
  for (const token of Object.keys(vocab)) parseId(vocab[token], token);
  if (!Array.isArray(merges)) fail('"model.merges" is not a list');
  const unknown = model.unk_token ?? null;
  if (unknown !== null && (typeof unknown !== "string" || !Object.hasOwn(vocab, unknown))) {
    fail(`the unknown token ${showValue(unknown)} is not in the vocabulary`);
  }
  return {
    type: "BPE",
    dropout: null,
    unk_token: unknown as string | null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: model.fuse_unk === true,
    byte_fallback: model.byte_fallback === true,
    ignore_merges: model.ignore_merges === true,
    vocab: vocab as Record<string, number>,
    merges: parseMerges(merges, new Set(Object.keys(vocab))),
  };
}

/**
 * Merges as pairs, from pairs or from "left right"; both and what they make must be tokens.
 *
 * @param tokens a Set, in which a text that was just made is found in half the time that an object takes
 */
export function parseMerges(merges: readonly unknown[], tokens: ReadonlySet<string>): [string, string][] {
  return merges.map((merge, index) => {
    let pair: unknown = merge;
    if (typeof merge === "string") {
      const space = merge.indexOf(" ", 1);
      pair = space < 0 ? [merge] : [merge.slice(0, space), merge.slice(space + 1)];
    }
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string") {
      fail(`merge ${index} is not a pair of tokens`);
    }
    const [left, right] = pair as [string, string];
    for (const token of [left, right, left + right]) {
      if (!tokens.has(token)) fail(`merge ${index} needs ${quote(token)}, which is not in the vocabulary`);
    }
    return [left, right];
  });
}

export interface LibraryDefinition {
  /** What the library is constructed with. */
  json: object;
  /**
   * Whether words come out of its pre-tokenizer as text and go into its model in GPT-2's letters for bytes: that step,
   * where it is the last, is left to the caller, who need not do it again for a word seen before.
   */
  byteLevel: boolean;
}

/** The same tokenizer in steps that the library carries out rightly. */
export function adaptToLibrary(json: TokenizerJson): LibraryDefinition {
  const steps = flatten(adaptPreTokenizer(json.pre_tokenizer, 0));
  const last = steps.at(-1);
  const byteLevel = last?.type === "ByteLevel" && last.use_regex === false && last.add_prefix_space !== true;
  if (byteLevel) steps.pop();
  const pre_tokenizer = steps.length === 0 ? null : sequence(...steps);
  return { json: { ...json, post_processor: null, pre_tokenizer }, byteLevel };
}

function flatten(step: JsonObject | null): JsonObject[] {
  if (step === null) return [];
  return step.type === "Sequence" ? (step.pretokenizers as JsonObject[]).flatMap(flatten) : [step];
}

function sequence(...pretokenizers: JsonObject[]): JsonObject {
  return { type: "Sequence", pretokenizers };
}

/** The library's "keep what matches, drop the rest". */
function keepMatches(regex: string): JsonObject {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Removed", invert: true };
}

function isolate(regex: string): JsonObject {
  // Where every character is part of a match the two are the same, and this one is faster.
  if (regex === GPT2_PATTERN) return keepMatches(regex);
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}

function adaptPreTokenizer(step: JsonObject | null, depth: number): JsonObject | null {
  if (step === null) return null;
  if (depth > MAX_DEPTH) fail("its steps are nested too deeply");
  switch (step.type) {
    case "Sequence": {
      const inner = step.pretokenizers;
      if (!Array.isArray(inner) || !inner.every(isObject)) fail("a sequence of pre-tokenizers is not a list of steps");
      return sequence(...inner.map((each) => adaptPreTokenizer(each, depth + 1) as JsonObject));
    }
    case "Digits":
      // Rust's char::is_numeric is the category N.
      return isolate(step.individual_digits === true ? "\\p{N}" : "\\p{N}+");
    case "ByteLevel": {
      if (step.use_regex === false) return step;
      // A prefix space comes before the split, and never more than one.
      if (step.add_prefix_space === true) return step;
      return sequence(isolate(GPT2_PATTERN), { ...step, use_regex: false });
    }
    case "Metaspace": {
      const mark = typeof step.replacement === "string" ? step.replacement : "\u2581";
      if (step.split === false) return step;
      return sequence(step, adaptSplit({ pattern: { String: mark }, behavior: "MergedWithNext" }));
    }
    case "Split":
      return adaptSplit(step);
    default:
      return step;
  }
}

function adaptSplit(step: JsonObject): JsonObject {
  const { pattern, behavior } = step;
  const source = isObject(pattern) ? (pattern.Regex ?? escapeString(pattern.String)) : undefined;
  if (typeof source !== "string" || source === "") fail("a Split step has no pattern");
  const match = `(?:${source})`;
  const other = `(?:(?!${match})[\\s\\S])`;
  const inverted = step.invert === true;
  switch (behavior) {
    case "Isolated": // whichever side is the separator, all pieces stay
      return isolate(source);
    case "Removed":
      return keepMatches(inverted ? source : `${other}+`);
    case "MergedWithPrevious":
      if (!inverted) return keepMatches(`${other}*${match}|${other}+`);
      break;
    case "MergedWithNext":
      if (!inverted) return keepMatches(`${match}${other}*|${other}+`);
      break;
    case "Contiguous":
      return isolate(`${match}+`);
  }
  throw new UnsupportedError(
    `the tokenizer splits by ${showValue(behavior)}${inverted ? " inverted" : ""}, which valora does not do`,
  );
}

function escapeString(text: unknown): unknown {
  return typeof text === "string" ? text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&") : text;
}
