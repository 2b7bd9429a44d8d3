/**
 * A GGUF file's own vocabulary as a tokenizer.json. GGUF names how a text is split before merging (`tokenizer.ggml.pre`)
 * instead of giving the pattern; names and patterns are those of llama.cpp's src/llama-vocab.cpp, the patterns in the
 * wording of the publishers' own tokenizer.json where those are simpler.
 */
import { ModelFormatError, UnsupportedError } from "../errors.js";
import type { GgufValue } from "./gguf.js";
import { showValue } from "./library-error.js";
import {
  type AddedTokenJson,
  GPT2_PATTERN,
  type JsonObject,
  parseMerges,
  type TokenizerJson,
} from "./tokenizer-json.js";

export interface GgufTokenizer {
  json: TokenizerJson;
  bosId: number | null;
  eosIds: number[];
  addBos: boolean;
  unknownId: number | null;
  paddingId: number | null;
}

/** `tokenizer.ggml.token_type` (llama.h, llama_token_type). */
const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4 } as const;

const CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const WORDS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const LLAMA3_PATTERN = `${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;
const QWEN2_PATTERN = `${CONTRACTIONS}|${WORDS}|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`;
const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const TEKKEN_PATTERN =
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|` +
  `\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`;

interface PreTokenizer {
  /** One after the other, each splitting what the one before left. */
  patterns: string[];
  /** A text that is a token is that token, whatever the merges say. */
  ignoreMerges?: boolean;
  /** Where the file does not say. */
  addBos?: boolean;
  /** The publisher's tokenizer normalises to NFC. */
  nfc?: boolean;
}

const LLAMA3: PreTokenizer = { patterns: [LLAMA3_PATTERN], ignoreMerges: true, addBos: true };
const QWEN2: PreTokenizer = { patterns: [QWEN2_PATTERN], nfc: true };
const DIGITS_AND_WORDS: PreTokenizer = { patterns: ["\\p{N}", GPT2_PATTERN] };

const PRE_TOKENIZERS: Record<string, PreTokenizer> = {
  smollm: DIGITS_AND_WORDS,
  starcoder: DIGITS_AND_WORDS,
  refact: DIGITS_AND_WORDS,
  "llama-bpe": LLAMA3,
  "llama-v3": LLAMA3,
  llama3: LLAMA3,
  qwen2: QWEN2,
  "deepseek-r1-qwen": QWEN2,
  tekken: { patterns: [TEKKEN_PATTERN], ignoreMerges: true, addBos: true },
  dbrx: { patterns: [LLAMA3_PATTERN] },
  "smaug-bpe": { patterns: [LLAMA3_PATTERN] },
  olmo: { patterns: [GPT2_PATTERN], nfc: true },
  "gpt-2": { patterns: [GPT2_PATTERN] },
  mpt: { patterns: [GPT2_PATTERN] },
  "phi-2": { patterns: [GPT2_PATTERN] },
};

interface Vocabulary {
  tokens: string[];
  types: ArrayLike<number>;
  byText: Record<string, number>;
}

/**
 * @throws ModelFormatError where the vocabulary is missing or contradicts itself
 * @throws UnsupportedError for another model of tokenizer, or another way of splitting
 */
export function readGgufTokenizer(metadata: Map<string, GgufValue>, path: string): GgufTokenizer {
  const model = metadata.get("tokenizer.ggml.model");
  const vocabulary = readVocabulary(metadata, path);
  const number = (key: string) => readTokenId(metadata, key, vocabulary.tokens.length, path);
  const ids = {
    bosId: number("bos_token_id"),
    unknownId: number("unknown_token_id"),
    paddingId: number("padding_token_id"),
    eosIds: [...new Set([number("eos_token_id"), number("eot_token_id"), number("eom_token_id")])].filter(
      (id) => id !== null,
    ),
  };
  const flag = (key: string, otherwise: boolean) => {
    const value = metadata.get(`tokenizer.ggml.${key}`);
    return typeof value === "boolean" ? value : otherwise;
  };
  if (model === "gpt2") {
    const pre = findPreTokenizer(metadata.get("tokenizer.ggml.pre"), path);
    const addBos = flag("add_bos_token", pre.addBos ?? false) && ids.bosId !== null;
    return { ...ids, addBos, json: makeByteLevel(metadata, vocabulary, pre, addBos ? ids.bosId : null) };
  }
  if (model === "llama") {
    const addBos = flag("add_bos_token", true) && ids.bosId !== null;
    const json = makeSentencePiece(metadata, vocabulary, flag("add_space_prefix", true), ids.unknownId, path);
    json.post_processor = makePostProcessor(vocabulary, addBos ? ids.bosId : null);
    return { ...ids, addBos, json };
  }
  throw new UnsupportedError(
    `${path}: its tokenizer is of the kind ${showValue(model)}, which valora does not read; it reads gpt2 and llama`,
  );
}

function findPreTokenizer(name: GgufValue | undefined, path: string): PreTokenizer {
  const found = typeof name === "string" && Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined;
  if (found === undefined) {
    throw new UnsupportedError(
      `${path}: its tokenizer splits text by ${showValue(name)} (tokenizer.ggml.pre), which valora does not know; ` +
        `it knows ${Object.keys(PRE_TOKENIZERS).join(", ")}`,
    );
  }
  return found;
}

function readVocabulary(metadata: Map<string, GgufValue>, path: string): Vocabulary {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  if (!Array.isArray(tokens) || tokens.length === 0) {
    throw new ModelFormatError(`${path}: it has no list of tokens (tokenizer.ggml.tokens)`);
  }
  const types = metadata.get("tokenizer.ggml.token_type") ?? new Int32Array(tokens.length).fill(TOKEN_TYPE.normal);
  if (!(types instanceof Int32Array || types instanceof Uint32Array) || types.length !== tokens.length) {
    throw new ModelFormatError(`${path}: tokenizer.ggml.token_type does not match the ${tokens.length} tokens`);
  }
  // Without a prototype: "constructor" and "__proto__" are tokens like others.
  const byText = Object.create(null) as Record<string, number>;
  // Of two tokens with one text the first is written, as it is looked up.
  for (let id = tokens.length - 1; id >= 0; id--) byText[tokens[id] as string] = id;
  return { tokens, types, byText };
}

function readTokenId(metadata: Map<string, GgufValue>, name: string, count: number, path: string): number | null {
  const id = metadata.get(`tokenizer.ggml.${name}`);
  if (id === undefined) return null;
  if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= count) {
    throw new ModelFormatError(`${path}: tokenizer.ggml.${name} is ${showValue(id)}, and there are ${count} tokens`);
  }
  return id;
}

/** Tokens that are cut out of the text before anything else. */
function findAddedTokens({ tokens, types }: Vocabulary): AddedTokenJson[] {
  return tokens.flatMap((content, id) => {
    const type = types[id];
    const special = type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
    if (content === "" || (!special && type !== TOKEN_TYPE.userDefined)) return [];
    return [{ id, content, special, normalized: false, lstrip: false, rstrip: false, single_word: false }];
  });
}

/** BOS in front, for those who load the tokenizer.json elsewhere. */
function makePostProcessor({ tokens }: Vocabulary, bosId: number | null): JsonObject | null {
  if (bosId === null) return null;
  const bos = tokens[bosId] as string;
  const start = { SpecialToken: { id: bos, type_id: 0 } };
  const text = { Sequence: { id: "A", type_id: 0 } };
  return {
    type: "TemplateProcessing",
    single: [start, text],
    pair: [start, text, { SpecialToken: { id: bos, type_id: 1 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { [bos]: { id: bos, ids: [bosId], tokens: [bos] } },
  };
}

function makeByteLevel(
  metadata: Map<string, GgufValue>,
  vocabulary: Vocabulary,
  pre: PreTokenizer,
  bosId: number | null,
): TokenizerJson {
  const merges = metadata.get("tokenizer.ggml.merges");
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const splits = pre.patterns.map((Regex) => ({
    type: "Split",
    pattern: { Regex },
    behavior: "Isolated",
    invert: false,
  }));
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: findAddedTokens(vocabulary),
    normalizer: pre.nfc ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...splits, byteLevel] },
    post_processor: makePostProcessor(vocabulary, bosId),
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges ?? false,
      vocab: vocabulary.byText,
      merges: parseMerges(Array.isArray(merges) ? merges : [], new Set(vocabulary.tokens)),
    },
  };
}

const SPACE = "\u2581";

/** SentencePiece's byte-pair kind: merges come from the scores of what they make, the highest first. */
function makeSentencePiece(
  metadata: Map<string, GgufValue>,
  vocabulary: Vocabulary,
  prefixSpace: boolean,
  unknownId: number | null,
  path: string,
): TokenizerJson {
  const { tokens, byText } = vocabulary;
  const scores = metadata.get("tokenizer.ggml.scores");
  if (!(scores instanceof Float32Array) || scores.length !== tokens.length) {
    throw new ModelFormatError(`${path}: tokenizer.ggml.scores does not match the ${tokens.length} tokens`);
  }
  const replace = { type: "Replace", pattern: { String: " " }, content: SPACE };
  const decoders: JsonObject[] = [
    { type: "Replace", pattern: { String: SPACE }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  if (prefixSpace) decoders.push({ type: "Strip", content: " ", start: 1, stop: 0 });
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: findAddedTokens(vocabulary),
    normalizer: prefixSpace
      ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: SPACE }, replace] }
      : replace,
    pre_tokenizer: splitsAtSpaces(vocabulary)
      ? { type: "Split", pattern: { Regex: `${SPACE}*[^${SPACE}]+|${SPACE}+` }, behavior: "Isolated", invert: false }
      : null,
    post_processor: null,
    decoder: { type: "Sequence", decoders },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: unknownId === null ? null : (tokens[unknownId] as string),
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: byText,
      merges: mergesFromScores(vocabulary, scores),
    },
  };
}

/**
 * Whether no piece goes on past a space into the next word. Then words merge by themselves, and a text can be cut
 * at its spaces beforehand, so that the time a text takes grows with its words and not with its length.
 */
function splitsAtSpaces({ tokens, types }: Vocabulary): boolean {
  return !tokens.some((text, id) => types[id] === TOKEN_TYPE.normal && /[^\u2581]\u2581/.test(text));
}

/** As Hugging Face's converter does (transformers, convert_slow_tokenizer.py, generate_merges). */
function mergesFromScores({ tokens, types, byText }: Vocabulary, scores: Float32Array): [string, string][] {
  const merges: { left: string; right: string; score: number }[] = [];
  tokens.forEach((text, id) => {
    if (types[id] !== TOKEN_TYPE.normal) return;
    const characters = Array.from(text);
    for (let at = 1; at < characters.length; at++) {
      const left = characters.slice(0, at).join("");
      const right = characters.slice(at).join("");
      if (left in byText && right in byText) merges.push({ left, right, score: scores[id] as number });
    }
  });
  return merges.sort((a, b) => b.score - a.score).map(({ left, right }) => [left, right]);
}
