/**
 * Tokens back to bytes. A token is a piece of a byte string, not of a text: a character's bytes may be spread over
 * several tokens, so what is decoded is bytes first and UTF-8 last. Done here and not by the library, whose decoder
 * searches all added tokens for every token and cannot go on where it stopped.
 */
import { ModelFormatError, UnsupportedError } from "../errors.js";
import { showValue } from "./library-error.js";
import { isObject, type JsonObject, type TokenizerJson } from "./tokenizer-json.js";

interface DecoderRules {
  /** Characters stand for bytes (GPT-2's table). */
  byteLevel: boolean;
  /** Tokens such as "<0xE2>" stand for a byte. */
  byteFallback: boolean;
  /** What stands for a space, or null. */
  spaceMark: string | null;
  /** A space at the very start is not part of the text. */
  stripStart: boolean;
}

const ENCODER = new TextEncoder();
const NOTHING = new Uint8Array(0);

/** GPT-2's table: printable Latin-1 characters stand for themselves, the other bytes for U+0100 and up, in order. */
function makeByteTable(): Map<string, number> {
  const table = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return table;
}

const BYTE_OF = makeByteTable();
const LETTERS: string[] = [];
for (const [letter, byte] of BYTE_OF) LETTERS[byte] = letter;

/** A text's UTF-8 bytes in GPT-2's letters for bytes. */
export function toByteLetters(text: string): string {
  let letters = "";
  for (const byte of ENCODER.encode(text)) letters += LETTERS[byte];
  return letters;
}

export class TokenBytes {
  /** Ids are below it. */
  readonly size: number;
  private readonly texts: (string | undefined)[] = [];
  private readonly added = new Set<number>();
  private readonly cache: (Uint8Array | undefined)[] = [];
  private readonly rules: DecoderRules;

  constructor(json: TokenizerJson) {
    for (const token of Object.keys(json.model.vocab)) this.texts[json.model.vocab[token] as number] = token;
    for (const { id, content } of json.added_tokens) {
      this.texts[id] = content;
      this.added.add(id);
    }
    this.size = this.texts.length;
    this.rules = parseDecoder(json.decoder);
  }

  /** The bytes that a token stands for; none for an id that has no token. */
  bytesOf(id: number): Uint8Array {
    let bytes = this.cache[id];
    if (bytes === undefined) {
      const text = this.texts[id];
      if (text === undefined) return NOTHING;
      bytes = this.added.has(id) ? ENCODER.encode(text) : decodePiece(text, this.rules);
      this.cache[id] = bytes;
    }
    return bytes;
  }

  /** @param atStart whether the tokens begin a text: some tokenizers put a space in front that is none of the text */
  join(ids: readonly number[], atStart: boolean): Uint8Array {
    const parts = ids.map((id) => this.bytesOf(id));
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let end = 0;
    for (const part of parts) {
      bytes.set(part, end);
      end += part.length;
    }
    return atStart && this.rules.stripStart && bytes[0] === 0x20 ? bytes.subarray(1) : bytes;
  }
}

function decodePiece(text: string, rules: DecoderRules): Uint8Array {
  if (rules.byteFallback) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text)?.[1];
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
  }
  if (rules.byteLevel) {
    const bytes: number[] = [];
    for (const character of text) {
      const byte = BYTE_OF.get(character);
      if (byte === undefined) return ENCODER.encode(text);
      bytes.push(byte);
    }
    return Uint8Array.from(bytes);
  }
  return ENCODER.encode(rules.spaceMark === null ? text : text.replaceAll(rules.spaceMark, " "));
}

function parseDecoder(decoder: JsonObject | null): DecoderRules {
  const rules: DecoderRules = { byteLevel: false, byteFallback: false, spaceMark: null, stripStart: false };
  if (decoder === null)
    throw new UnsupportedError("the tokenizer has no decoder, so tokens cannot be turned into text");
  const steps = decoder.type === "Sequence" ? decoder.decoders : [decoder];
  if (!Array.isArray(steps) || !steps.every(isObject)) {
    throw new ModelFormatError("the tokenizer cannot be used: its decoder is not a list of steps");
  }
  for (const step of steps) applyStep(rules, step);
  return rules;
}

function applyStep(rules: DecoderRules, step: JsonObject): void {
  const { type, pattern, content } = step;
  switch (type) {
    case "ByteLevel":
      rules.byteLevel = true;
      return;
    case "ByteFallback":
      rules.byteFallback = true;
      return;
    case "Fuse":
      return;
    case "Metaspace":
      rules.spaceMark = typeof step.replacement === "string" ? step.replacement : "\u2581";
      rules.stripStart = step.prepend_scheme !== "never" && step.add_prefix_space !== false;
      return;
    case "Replace":
      if (isObject(pattern) && typeof pattern.String === "string" && pattern.String !== "" && content === " ") {
        rules.spaceMark = pattern.String;
        return;
      }
      break;
    case "Strip":
      if (content === " " && (step.start === 0 || step.start === 1) && step.stop === 0) {
        rules.stripStart = step.start === 1;
        return;
      }
      break;
  }
  throw new UnsupportedError(`the tokenizer's decoder has a step ${showValue(type)} that valora does not do`);
}
