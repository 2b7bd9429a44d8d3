/**
 * The language of lexicon patterns, from text to a tree:
 *
 *     word             that word, in any case; a hyphen is as good as a space
 *     ~word            the word and its regular inflections (inflect.ts)
 *     @family          any word of a family
 *     (a b|c)  [a|b]   one of these; one of these or nothing
 *     *    ..          any word; up to three words
 *     ^                start of a sentence, a line or a list item
 *     ?  !             that mark at the end of a sentence
 */
import { DataFormatError } from "../../errors.js";
import { inflect } from "./inflect.js";

export type PatternNode =
  | { kind: "words"; words: readonly string[] }
  | { kind: "any" }
  | { kind: "gap" }
  | { kind: "choice"; options: readonly PatternNode[][] };

export interface Pattern {
  text: string;
  /** Whether it begins with ^. */
  atStart: boolean;
  nodes: readonly PatternNode[];
}

/** The words that `..` stands for at most. */
export const GAP_WORDS = 3;

const SYMBOLS = /\s+|\.\.|[()[\]|*^?!]|[@~]?[\p{L}\p{M}\p{N}'’-]+|\p{Extended_Pictographic}/uy;

/**
 * @param where names the pattern's place in an error
 * @throws DataFormatError
 */
export function parsePattern(text: string, families: ReadonlyMap<string, readonly string[]>, where: string): Pattern {
  const fail = (problem: string): never => {
    throw new DataFormatError(`${where}: the pattern "${text}" ${problem}`);
  };
  const symbols = split(text, fail);
  const atStart = symbols[0] === "^";
  let at = atStart ? 1 : 0;

  const sequence = (): PatternNode[] => {
    const nodes: PatternNode[] = [];
    for (let symbol = symbols[at]; symbol !== undefined && !")]|".includes(symbol); symbol = symbols[at]) {
      at += 1;
      if (symbol === "(" || symbol === "[") nodes.push(choice(symbol));
      else if (symbol === "*") nodes.push({ kind: "any" });
      else if (symbol === "..") nodes.push({ kind: "gap" });
      else if (symbol === "^") fail("has ^ elsewhere than at its start");
      else if (symbol.startsWith("~")) nodes.push({ kind: "words", words: inflect(symbol.slice(1)) });
      else if (symbol.startsWith("@")) nodes.push(familyOf(symbol.slice(1)));
      else nodes.push({ kind: "words", words: [symbol] });
    }
    return nodes;
  };
  const choice = (open: string): PatternNode => {
    const options = [sequence()];
    for (; symbols[at] === "|"; options.push(sequence())) at += 1;
    if (symbols[at] !== (open === "(" ? ")" : "]")) fail(`has a ${open} that is not closed`);
    at += 1;
    if (options.some((option) => option.length === 0)) fail("has an empty alternative");
    if (open === "[") options.push([]);
    return { kind: "choice", options };
  };
  const familyOf = (name: string): PatternNode => {
    const words = families.get(name) ?? fail(`names the family @${name}, which does not exist`);
    // A family may hold phrases: hyphenated words are such.
    return {
      kind: "choice",
      options: words.map((word) => split(word, fail).map((w) => ({ kind: "words", words: [w] }))),
    };
  };

  const nodes = sequence();
  if (at < symbols.length) fail(`has a stray ${symbols[at]}`);
  if (canBeEmpty(nodes)) fail("can match nothing at all");
  for (const edge of [...edges(nodes, 0), ...edges(nodes, -1)])
    if (edge.kind !== "words") fail("begins or ends with a word that can be any");
  return { text, atStart, nodes };
}

/** Symbols and words, lower case, hyphenated words apart. */
function split(text: string, fail: (problem: string) => never): string[] {
  const symbols: string[] = [];
  for (let at = 0; at < text.length; at = SYMBOLS.lastIndex) {
    SYMBOLS.lastIndex = at;
    const symbol = SYMBOLS.exec(text)?.[0];
    if (symbol === undefined) return fail(`has "${text.slice(at, at + 1)}", which means nothing in a pattern`);
    if (symbol.trim() === "") continue;
    const plain = symbol.normalize("NFC").toLowerCase().replaceAll("’", "'");
    if (/^[@~]/.test(plain)) symbols.push(plain);
    else symbols.push(...plain.split("-").filter((word) => word !== ""));
  }
  return symbols;
}

function canBeEmpty(nodes: readonly PatternNode[]): boolean {
  return nodes.every((node) => node.kind === "gap" || (node.kind === "choice" && node.options.some(canBeEmpty)));
}

/** What can stand first (`from` 0) or last (-1). */
function edges(nodes: readonly PatternNode[], from: 0 | -1): PatternNode[] {
  const found: PatternNode[] = [];
  for (const node of from === 0 ? nodes : nodes.toReversed()) {
    if (node.kind === "choice") found.push(...node.options.flatMap((option) => edges(option, from)));
    else found.push(node);
    if (!canBeEmpty([node])) break;
  }
  return found;
}
