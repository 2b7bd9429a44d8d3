/**
 * A pair's texts as curation compares them: a normal form for "the same text", words for lengths and shingles. A prompt
 * of messages counts by what they say, so that the same question as raw text and as a message is the same prompt; where
 * a pair has no text, its tokens stand for words.
 */
import { createHash } from "node:crypto";
import type { PreferencePair } from "../data/pairs.js";

export interface ComparedText {
  /** Unicode NFKC, lower case, every run of white space one space. */
  normal: string;
  /** A 32-bit hash of each word, in order. */
  words: Uint32Array;
}

export interface ComparedPair {
  prompt: ComparedText;
  chosen: ComparedText;
  rejected: ComparedText;
}

export function comparePair(pair: PreferencePair): ComparedPair {
  return {
    prompt: compare(promptText(pair.prompt), pair.prompt_tokens),
    chosen: compare(pair.chosen, pair.chosen_tokens),
    rejected: compare(pair.rejected, pair.rejected_tokens),
  };
}

function promptText(prompt: PreferencePair["prompt"]): string | undefined {
  return Array.isArray(prompt) ? prompt.map(({ content }) => content).join("\n") : prompt;
}

function compare(text: string | undefined, tokens: readonly number[] | undefined): ComparedText {
  return text === undefined ? compareTokens(tokens ?? []) : compareText(text);
}

/** Letters and digits with their marks; scripts without spaces between words are taken character by character. */
const WORD =
  /[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}]|(?:(?![\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}])[\p{L}\p{M}\p{N}])+/gu;
/** The same for text that is ASCII alone, several times as fast. */
const ASCII_WORD = /[a-z0-9]+/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is what is asked for
const ASCII = /^[\u0000-\u007f]*$/;

export function compareText(text: string): ComparedText {
  const ascii = ASCII.test(text);
  const folded = (ascii ? text : text.normalize("NFKC")).toLowerCase();
  const found = folded.match(ascii ? ASCII_WORD : WORD) ?? [];
  const words = new Uint32Array(found.length);
  for (let index = 0; index < found.length; index++) words[index] = hashWord(found[index]!);
  return { normal: folded.replace(/\s+/g, " ").trim(), words };
}

function compareTokens(tokens: readonly number[]): ComparedText {
  return { normal: `\u0000${tokens.join(" ")}`, words: Uint32Array.from(tokens, (token) => mix(token)) };
}

/** FNV-1a over UTF-16 units (Fowler, Noll, Vo; draft-eastlake-fnv), then mixed. */
function hashWord(word: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < word.length; index++) hash = Math.imul(hash ^ word.charCodeAt(index), 0x01000193);
  return mix(hash);
}

/** The finaliser of MurmurHash3 (Austin Appleby, public domain): every bit of the input moves every bit of the result. */
export function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** 64 bits of SHA-256 as two 32-bit numbers. */
export type Key = readonly [number, number];

/** The key of `parts` in this order; parts are kept apart by their lengths. */
export function textKey(...parts: readonly string[]): Key {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  const digest = hash.digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}
