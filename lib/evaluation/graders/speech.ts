/**
 * The sentences of a text that are its speaker's own: without code, without what stands in quotation marks or in a
 * Markdown block quote, with one kind of apostrophe and without marks of emphasis. Rules about who says what read these.
 */
import { findQuoted, type Range } from "../../values/lexicon/quotes.js";

/** A part at most, in UTF-16 units: looking for the end of a quotation takes time that grows with its square. */
const PART = 4096;
/** A part with more of these is no prose, and nothing in it is taken for quoted; for the same reason. */
const MAX_MARKS = 200;
const MARK = /["\u201c\u201e\u00ab\u2018`>]|(?<!\p{L})'/gu;
/** Where the whole text of a sentence does not matter any more. */
const MAX_SENTENCE = 2000;

/** Stands where something was quoted, so that the words around it are not joined. */
const GAP = " \u2026 ";

/** Behind a mark, but not behind the number of a list's item. */
const SENTENCE_END = /(?<=[.!?])(?<!^ ?\d{1,3}\.) /;

/** In order. Line ends and the marks . ! ? end a sentence; a list's number or bullet stays with its item. */
export function ownSentences(text: string): string[] {
  const sentences: string[] = [];
  for (const part of parts(withoutFences(text))) {
    let kept = "";
    let at = 0;
    for (const [begin, end] of quotedIn(part)) {
      kept += part.slice(at, begin) + GAP;
      at = end;
    }
    kept += part.slice(at);
    for (const line of plain(kept).split("\n"))
      for (const sentence of line.split(SENTENCE_END)) {
        const trimmed = sentence.trim();
        if (/[\p{L}\p{N}]/u.test(trimmed)) sentences.push(trimmed.slice(0, MAX_SENTENCE));
      }
  }
  return sentences;
}

function quotedIn(part: string): readonly Range[] {
  return (part.match(MARK)?.length ?? 0) > MAX_MARKS ? [] : findQuoted(part);
}

/** Fenced code, also that which is not closed, is taken out; what is between two blocks stays apart. */
function withoutFences(text: string): string {
  let kept = "";
  for (let at = 0; ; ) {
    const begin = text.indexOf("```", at);
    if (begin < 0) return kept + text.slice(at);
    kept += `${text.slice(at, begin)}\n`;
    const end = text.indexOf("```", begin + 3);
    if (end < 0) return kept;
    at = end + 3;
  }
}

/** The text itself where it is short; else cut between paragraphs, lines or words, in this order of preference. */
function* parts(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    if (text.length - at <= PART) {
      yield text.slice(at);
      return;
    }
    const window = text.slice(at, at + PART);
    const cut = ["\n\n", "\n", " "].map((mark) => window.lastIndexOf(mark)).find((place) => place > PART / 2);
    const length = cut === undefined ? PART : cut + 1;
    yield text.slice(at, at + length);
    at += length;
  }
}

function plain(text: string): string {
  return text
    .replace(/[\u2018\u2019\u02bc\u00b4\uff07]/g, "'")
    .replace(/[\u200b-\u200d\u2060\ufeff\u00ad*~#\0]/g, "")
    .replace(/\b_|_\b/g, "")
    .replace(/\r\n?|[\u2028\u2029\u0085]/g, "\n")
    .replace(/[^\S\n]+/g, " ");
}
