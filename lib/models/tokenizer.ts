/**
 * Text to token ids and back, over @huggingface/tokenizers, from a model folder's tokenizer.json or from the vocabulary
 * inside a GGUF file.
 */
import { TextDecoder } from "node:util";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { ModelFormatError, ValoraError } from "../errors.js";
import type { GgufValue } from "./gguf.js";
import { describeLibraryError } from "./library-error.js";
import { TokenBytes, toByteLetters } from "./token-bytes.js";
import { readGgufTokenizer } from "./tokenizer-gguf.js";
import { adaptToLibrary, isObject, type JsonObject, parseTokenizerJson, type TokenizerJson } from "./tokenizer-json.js";

/** Where a tokenizer comes from. */
export type TokenizerDefinition =
  | {
      kind: "json";
      /** tokenizer.json */
      json: unknown;
      /** tokenizer_config.json, or {}; further end tokens may stand in it as `eos_token_id` (a number or a list). */
      config: unknown;
    }
  | { kind: "gguf"; metadata: Map<string, GgufValue>; path: string };

export interface SpecialIds {
  bosId: number | null;
  eosIds: number[];
  addBos: boolean;
}

/** Decodes tokens as they come, and holds back the bytes of a character that is not whole yet. */
export interface StreamDecoder {
  /** The text that these tokens complete; may be empty. */
  push(ids: readonly number[]): string;
  /** What is left: U+FFFD for a character that never became whole. */
  end(): string;
}

export class Tokenizer {
  /** Beginning of sequence; `encode` never adds it. */
  readonly bosId: number | null;
  /** Tokens that end a text, the main one first. */
  readonly eosIds: number[];
  /** Whether the model wants BOS in front of a text. */
  readonly addBos: boolean;
  /** Ids are below it; a model's embedding may have more rows. */
  readonly vocabularySize: number;
  private readonly library: LibraryTokenizer;
  private readonly bytes: TokenBytes;

  /** Use `createTokenizer`. */
  constructor(json: TokenizerJson, special: SpecialIds) {
    const definition = adaptToLibrary(json);
    this.library = new LibraryTokenizer(definition.json, {});
    if (this.library.model !== null) rememberWords(this.library.model, definition.byteLevel);
    this.bytes = new TokenBytes(json);
    this.bosId = special.bosId;
    this.eosIds = special.eosIds;
    this.addBos = special.addBos;
    this.vocabularySize = this.bytes.size;
  }

  /** Ids of a text as it stands: nothing is added, special tokens written in the text are recognised. */
  encode(text: string): number[] {
    if (text === "") return [];
    try {
      return this.library.encode(text, { add_special_tokens: false }).ids;
    } catch (error) {
      throw asFormatError(error);
    }
  }

  /** The text of tokens, special ones included; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[]): string {
    return newUtf8Decoder().decode(this.decodeBytes(ids));
  }

  /** The bytes of tokens that begin a text. A character can be cut by the last of them. */
  decodeBytes(ids: readonly number[]): Uint8Array {
    return this.bytes.join(ids, true);
  }

  createStreamDecoder(): StreamDecoder {
    const utf8 = newUtf8Decoder();
    let atStart = true;
    return {
      push: (ids) => {
        const bytes = this.bytes.join(ids, atStart);
        if (ids.length > 0) atStart = false;
        return utf8.decode(bytes, { stream: true });
      },
      end: () => utf8.decode(),
    };
  }

  /** The id of a token as the vocabulary spells it; null where it has none such. */
  tokenId(token: string): number | null {
    return this.library.token_to_id(token) ?? null;
  }
}

/** Words kept, and their longest: text repeats its words, and a few tens of thousands cover most of it. */
const REMEMBERED_WORDS = 1 << 16;
const REMEMBERED_LETTERS = 64;

/** Puts a memory of words in front of the library's model: its own spends more on keeping its order than it saves. */
function rememberWords(model: { encode(words: string[]): string[] }, byteLevel: boolean): void {
  const encode = model.encode.bind(model);
  const known = new Map<string, string[]>();
  model.encode = (words) => {
    const tokens: string[] = [];
    for (const word of words) {
      let found = known.get(word);
      if (found === undefined) {
        found = encode([byteLevel ? toByteLetters(word) : word]);
        if (word.length <= REMEMBERED_LETTERS) {
          if (known.size >= REMEMBERED_WORDS) known.clear();
          known.set(word, found);
        }
      }
      for (const token of found) tokens.push(token);
    }
    return tokens;
  };
}

/**
 * @throws ModelFormatError where the definition contradicts itself
 * @throws UnsupportedError where it is of a kind that valora does not read
 */
export function createTokenizer(definition: TokenizerDefinition): Tokenizer {
  try {
    if (definition.kind === "gguf") {
      const { json, ...special } = readGgufTokenizer(definition.metadata, definition.path);
      return new Tokenizer(json, special);
    }
    const json = parseTokenizerJson(definition.json);
    return new Tokenizer(json, readSpecialIds(json, isObject(definition.config) ? definition.config : {}));
  } catch (error) {
    throw asFormatError(error);
  }
}

/** A byte-order mark is a character like others. */
function newUtf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** What the library throws on a definition that passed our checks and still makes no sense. */
function asFormatError(error: unknown): unknown {
  if (error instanceof ValoraError) return error;
  const reason = describeLibraryError(error, "its steps do not fit together");
  return new ModelFormatError(`the tokenizer cannot be used: ${reason}`, { cause: error });
}

function readSpecialIds(json: TokenizerJson, config: JsonObject): SpecialIds {
  const added = new Map(json.added_tokens.map(({ content, id }) => [content, id]));
  const idOf = (name: string): number | null => {
    const value = config[name];
    const text = isObject(value) ? value.content : value;
    if (typeof text !== "string") return null;
    return added.get(text) ?? (Object.hasOwn(json.model.vocab, text) ? (json.model.vocab[text] as number) : null);
  };
  const template = templateStart(json.post_processor);
  const templateId = template === null ? null : (added.get(template) ?? null);
  const bosId = idOf("bos_token") ?? templateId;
  const ends = [idOf("eos_token"), config.eos_token_id].flat();
  const wanted = config.add_bos_token;
  return {
    bosId,
    eosIds: [...new Set(ends.filter((id): id is number => typeof id === "number" && Number.isInteger(id) && id >= 0))],
    addBos: bosId !== null && (typeof wanted === "boolean" ? wanted : templateId === bosId),
  };
}

/** The special token that the post-processor puts in front of a text. */
function templateStart(processor: JsonObject | null): string | null {
  if (processor === null) return null;
  if (processor.type === "Sequence" && Array.isArray(processor.processors)) {
    return (
      processor.processors
        .filter(isObject)
        .map(templateStart)
        .find((token) => token !== null) ?? null
    );
  }
  const single = processor.type === "TemplateProcessing" ? processor.single : undefined;
  const first: unknown = Array.isArray(single) ? single[0] : undefined;
  const special = isObject(first) ? first.SpecialToken : undefined;
  return isObject(special) && typeof special.id === "string" ? special.id : null;
}
