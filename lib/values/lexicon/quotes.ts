/**
 * The parts of a text that are not its speaker's: between quotation marks, in code, or in a Markdown block quote.
 * Docs/values.md states the rules; where a mark is not closed in its paragraph it opens nothing.
 */

/** What may open something. An apostrophe inside a word, the commonest, does not. */
const MARKS = /["“„«‘`>]|(?<![\p{L}\p{N}])'/gu;
const WORD = /[\p{L}\p{N}]/u;
/** The text may be the speaker's own in spite of marks around it: some data sets quote whole responses. */
const WHOLE = 0.9;
/** Characters between straight single quotes at most: longer ones are apostrophes of two words. */
const MAX_SINGLE = 120;

const CLOSING: Record<string, string> = { '"': '"', "“": "”", "„": "“”", "«": "»", "‘": "’", "'": "'" };

/** A range of UTF-16 units, [begin, end). */
export type Range = readonly [begin: number, end: number];

/** In order, not overlapping. */
export function findQuoted(text: string): Range[] {
  const ranges: Range[] = [];
  MARKS.lastIndex = 0;
  for (let mark = MARKS.exec(text); mark !== null; mark = MARKS.exec(text)) {
    const end = quoteEnd(text, mark.index);
    if (end > mark.index) {
      ranges.push([mark.index, end]);
      MARKS.lastIndex = end;
    }
  }
  const [first] = ranges;
  if (first !== undefined && ranges.length === 1 && first[1] - first[0] > WHOLE * text.trim().length) return [];
  return ranges;
}

/** Where what opens at `at` ends, or `at` where nothing opens. */
function quoteEnd(text: string, at: number): number {
  const mark = text[at]!;
  if (mark === "`") return codeEnd(text, at);
  if (mark === ">") return /(^|\n)[ \t]*$/.test(text.slice(Math.max(0, at - 80), at)) ? lineEnd(text, at) : at;
  const closing = CLOSING[mark];
  if (closing === undefined || !opens(text, at)) return at;
  const single = mark === "'" || mark === "‘";
  const limit = Math.min(paragraphEnd(text, at), single ? Math.min(lineEnd(text, at), at + MAX_SINGLE) : text.length);
  for (let end = at + 1; end < limit; end++) {
    if (closing.includes(text[end]!) && closes(text, end)) return end + 1;
  }
  return at;
}

function codeEnd(text: string, at: number): number {
  if (text.startsWith("```", at)) {
    const end = text.indexOf("```", at + 3);
    return end < 0 ? text.length : end + 3;
  }
  const end = text.indexOf("`", at + 1);
  return end < 0 || end > lineEnd(text, at) ? at : end + 1;
}

function opens(text: string, at: number): boolean {
  const before = text[at - 1];
  const after = text[at + 1];
  if (text[at] === "«") return true; // French sets a space inside
  return (before === undefined || !WORD.test(before)) && after !== undefined && /\S/.test(after);
}

function closes(text: string, at: number): boolean {
  const after = text[at + 1];
  if (text[at] === "»") return true;
  return /\S/.test(text[at - 1]!) && (after === undefined || !WORD.test(after));
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

function paragraphEnd(text: string, at: number): number {
  const end = text.indexOf("\n\n", at);
  return end < 0 ? text.length : end;
}
