/** Whether a text is one that a broken model writes: nothing, or the same over and over. */
import type { Verdict } from "./grader.js";

export const VERSION = "1";

export interface Degeneracy {
  /** Runs of letters, marks and digits; each other visible character is one too. */
  words: number;
  /** Nothing that can be read: no letter and no digit. */
  empty: boolean;
  /**
   * Different n-grams / n-grams, n = 1, 2, 3 (Li, Galley, Brockett, Gao and Dolan, "A diversity-promoting objective
   * function for neural conversation models", NAACL 2016); 1 where there are none. It falls with length: compare texts
   * of about equal length.
   */
  distinct: readonly [number, number, number];
  /** The longest stretch that is one phrase repeated at once: its words, and how often it stands there. */
  run: { words: number; copies: number };
}

/** Phrases of up to so many words are looked for. */
const LONGEST_PHRASE = 64;
/** Beyond, the text goes on as it was: protects time and memory. */
const MAX_WORDS = 100_000;
/** A word longer than this is cut, so that a loop inside it ("hahaha…") is seen. */
const MAX_WORD = 24;

/** Runs that make a text repetitive, each by its copies, words, and share of the text at least: a saying said thrice is none. */
const RUNS = [
  { copies: 3, words: 12, share: 0.3 },
  { copies: 2, words: 20, share: 0.5 },
];
/** Or a text of so many words with so few different triples: humans stay above 0.9. */
const MANY_WORDS = 50;
const FEW_TRIPLES = 0.5;

export function measureDegeneracy(text: string): Degeneracy {
  const words = wordsOf(text);
  return {
    words: words.length,
    empty: !/[\p{L}\p{N}]/u.test(text),
    distinct: [distinct(words, 1), distinct(words, 2), distinct(words, 3)],
    run: longestRun(words),
  };
}

/** `score` is the share of the text's words that stand in the longest run; 1 for an empty text. */
export function gradeDegeneracy(text: string): Verdict {
  const { words, empty, distinct, run } = measureDegeneracy(text);
  if (empty) return { label: "empty", y: 1, score: 1 };
  const share = run.words / words;
  const repeats = RUNS.some((least) => run.copies >= least.copies && run.words >= least.words && share >= least.share);
  const poor = words >= MANY_WORDS && distinct[2] < FEW_TRIPLES;
  return repeats || poor ? { label: "repetitive", y: 1, score: share } : { label: "sound", y: 0, score: share };
}

function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const [match] of text.toLowerCase().matchAll(/[\p{L}\p{M}\p{N}]+(?:['’][\p{L}]+)?|[^\s\p{L}\p{M}\p{N}]/gu)) {
    if (words.length >= MAX_WORDS) break;
    if (match.length <= MAX_WORD) words.push(match);
    else for (const character of match) if (words.length < MAX_WORDS) words.push(character);
  }
  return words;
}

function distinct(words: readonly string[], n: number): number {
  const total = words.length - n + 1;
  if (total <= 0) return 1;
  const seen = new Set<string>();
  for (let at = 0; at < total; at++) seen.add(words.slice(at, at + n).join(" "));
  return seen.size / total;
}

/** For each length of a phrase, the longest stretch in which every word is the one a phrase before it. */
function longestRun(words: readonly string[]): Degeneracy["run"] {
  let best = { words: 0, copies: words.length === 0 ? 0 : 1 };
  for (let period = 1; period <= LONGEST_PHRASE && 2 * period <= words.length; period++) {
    let same = 0;
    for (let at = period; at <= words.length; at++) {
      if (at < words.length && words[at] === words[at - period]) {
        same += 1;
        continue;
      }
      if (same >= period && same + period > best.words)
        best = { words: same + period, copies: Math.floor((same + period) / period) };
      same = 0;
    }
  }
  return best;
}
