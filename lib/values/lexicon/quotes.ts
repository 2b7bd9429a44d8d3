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

/** In order, not overlapping. Takes time in proportion to the text, whatever stands in it. */
export function findQuoted(text: string): Range[] {
  const ranges: Range[] = [];
  const quotes = new Quotes(text);
  MARKS.lastIndex = 0;
  for (let mark = MARKS.exec(text); mark !== null; mark = MARKS.exec(text)) {
    const end = quotes.end(mark.index);
    if (end > mark.index) {
      ranges.push([mark.index, end]);
      MARKS.lastIndex = end;
    }
  }
  const [first] = ranges;
  if (first !== undefined && ranges.length === 1 && first[1] - first[0] > WHOLE * text.trim().length) return [];
  return ranges;
}

/** Finds the end of what a mark opens. Marks are asked about from left to right, so that nothing is searched twice. */
class Quotes {
  private readonly lines: Finder;
  private readonly paragraphs: Finder;
  private readonly code: Finder;
  private readonly fences: Finder;
  /** By the characters that close. */
  private readonly closers = new Map<string, Finder>();

  constructor(private readonly text: string) {
    const next = (what: string) => new Finder(text.length, (from) => text.indexOf(what, from));
    this.lines = next("\n");
    this.paragraphs = next("\n\n");
    this.code = next("`");
    this.fences = next("```");
    for (const marks of new Set(Object.values(CLOSING)))
      this.closers.set(marks, new Finder(text.length, (from) => nextClosing(text, marks, from)));
  }

  /** Where what opens at `at` ends, or `at` where nothing opens. */
  end(at: number): number {
    const { text } = this;
    const mark = text[at]!;
    if (mark === "`") return this.codeEnd(at);
    if (mark === ">") return beginsLine(text, at) ? this.lines.from(at) : at;
    const closing = CLOSING[mark];
    if (closing === undefined || !opens(text, at)) return at;
    const single = mark === "'" || mark === "‘";
    const limit = Math.min(
      this.paragraphs.from(at),
      single ? Math.min(this.lines.from(at), at + MAX_SINGLE) : text.length,
    );
    const end = this.closers.get(closing)!.from(at + 1);
    return end < limit ? end + 1 : at;
  }

  private codeEnd(at: number): number {
    const { text } = this;
    if (text.startsWith("```", at)) return Math.min(this.fences.from(at + 3) + 3, text.length);
    const end = this.code.from(at + 1);
    return end < text.length && end < this.lines.from(at) ? end + 1 : at;
  }
}

/** The next place of something, for questions that do not go back: a search begins where the one before ended. */
class Finder {
  private found = -1;

  /** @param search the first place from `from` on, or -1 */
  constructor(
    private readonly length: number,
    private readonly search: (from: number) => number,
  ) {}

  /** The first place from `from` on; the text's length where there is none. */
  from(from: number): number {
    if (this.found < from) {
      const found = this.search(from);
      this.found = found < 0 ? this.length : found;
    }
    return this.found;
  }
}

function nextClosing(text: string, marks: string, from: number): number {
  for (let at = from; at < text.length; at++) if (marks.includes(text[at]!) && closes(text, at)) return at;
  return -1;
}

/** Whether nothing but spaces stands before it in its line. */
function beginsLine(text: string, at: number): boolean {
  let before = at - 1;
  while (before >= 0 && (text[before] === " " || text[before] === "\t")) before--;
  return before < 0 || text[before] === "\n";
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
