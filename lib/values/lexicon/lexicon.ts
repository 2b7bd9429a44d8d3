/**
 * The lexicon: patterns of many values, found in a response in one pass, and what they add up to.
 *
 * A pattern that is found speaks for its value unless it is negated, is quoted, or overlaps an `ignore` pattern. Each
 * pattern counts once, and of overlapping ones the heaviest. A value's score is
 *
 *     (1 − Π (1 − w)) · Π (1 − a)      w over the patterns for it, a over those against it
 *
 * which grows with every further pattern for the value, falls with every one against it, and stays in [0, 1).
 */
import { Automaton } from "./automaton.js";
import { isNegated, NEGATORS } from "./negation.js";
import { type Pattern, parsePattern } from "./pattern.js";
import type { LexiconSource } from "./source.js";
import { Tokens, Vocabulary } from "./tokens.js";

/** One strong pattern is over the threshold; in a short text two medium ones, or four weak ones (not three). */
export const WEIGHTS = { strong: 0.7, medium: 0.35, weak: 0.16 } as const;
/** One pattern against brings three strong ones under the threshold. */
export const AGAINST_WEIGHT = 0.6;
export const LEXICON_THRESHOLD = 0.5;
/** Words up to which medium and weak patterns count in full: about what a response of HH-RLHF or PKU-SafeRLHF has at most. */
const SHORT_TEXT_WORDS = 150;

type Tier = "strong" | "medium" | "weak" | "against" | "ignore";
const TIERS: readonly Tier[] = ["strong", "medium", "weak", "against", "ignore"];

/** A value's patterns, and the name of their file for errors. */
export interface NamedLexicon {
  value: string;
  source: LexiconSource;
  where: string;
}

/** What was found of a value: for people who ask why, and for those who improve a lexicon. */
export interface Evidence {
  value: string;
  tier: "strong" | "medium" | "weak" | "against";
  pattern: string;
  /** The words that it matched. */
  text: string;
}

interface Entry extends Pattern {
  value: number;
  tier: Tier;
  weight: number;
}

/** Words [begin, end) of the text. */
interface Hit {
  pattern: number;
  begin: number;
  end: number;
}

export class Lexicon {
  readonly values: readonly string[];
  private readonly entries: Entry[] = [];
  private readonly automaton: Automaton;
  private readonly tokens: Tokens;
  private readonly negators: Int32Array;

  /** @throws DataFormatError naming file, value and pattern */
  constructor(lexicons: readonly NamedLexicon[], sharedFamilies: LexiconSource["families"] = {}) {
    this.values = lexicons.map(({ value }) => value);
    lexicons.forEach(({ source, where }, value) => {
      const families = new Map(Object.entries({ ...sharedFamilies, ...source.families }));
      for (const tier of TIERS) {
        for (const text of source[tier]) {
          const pattern = parsePattern(text, families, where);
          this.entries.push({ ...pattern, value, tier, weight: weightOf(tier) });
        }
      }
    });
    const vocabulary = new Vocabulary();
    const roles = new Map([...NEGATORS].map(([word, role]) => [vocabulary.add(word), role]));
    this.automaton = new Automaton(this.entries, vocabulary);
    this.negators = Int32Array.from(vocabulary.words, (_, id) => roles.get(id) ?? 0);
    this.tokens = new Tokens(vocabulary);
  }

  /** Scores of the values for which anything speaks. */
  score(response: string): Record<string, number> {
    const scores: Record<string, number> = {};
    const found = this.find(response);
    const dilution = Math.min(1, SHORT_TEXT_WORDS / this.tokens.count);
    found.forEach((hits, value) => {
      let silence = 1;
      let doubt = 1;
      for (const { pattern } of hits) {
        const { tier, weight } = this.entries[pattern]!;
        if (tier === "against") doubt *= 1 - weight;
        else if (tier !== "strong") silence *= 1 - weight * dilution;
        else silence *= 1 - weight;
      }
      if (silence < 1) scores[this.values[value]!] = round((1 - silence) * doubt);
    });
    return scores;
  }

  /** What `score` adds up. */
  explain(response: string): Evidence[] {
    const found = this.find(response);
    const { text, begins, ends } = this.tokens;
    return [...found].flatMap(([value, hits]) =>
      hits.map(({ pattern, begin, end }) => ({
        value: this.values[value]!,
        tier: this.entries[pattern]!.tier as Evidence["tier"],
        pattern: this.entries[pattern]!.text,
        text: text.slice(begins[begin], ends[end - 1]),
      })),
    );
  }

  /** By value, the hits that count. */
  private find(response: string): Map<number, Hit[]> {
    const { tokens, entries } = this;
    tokens.read(response);
    const found = new Map<number, Hit[]>();
    this.automaton.match(tokens, (pattern, begin, end) => {
      const { value } = entries[pattern]!;
      const hits = found.get(value);
      if (hits === undefined) found.set(value, [{ pattern, begin, end }]);
      else hits.push({ pattern, begin, end });
    });
    for (const [value, hits] of found) found.set(value, this.choose(hits));
    return found;
  }

  /** Without the ignored, negated and repeated ones; the heaviest and then the first of those that overlap. */
  private choose(hits: readonly Hit[]): Hit[] {
    const ignored = new Set<number>();
    for (const { pattern, begin, end } of hits)
      if (this.entries[pattern]!.tier === "ignore") for (let word = begin; word < end; word++) ignored.add(word);
    const isIgnored = ({ begin, end }: Hit): boolean => {
      for (let word = begin; word < end; word++) if (ignored.has(word)) return true;
      return false;
    };
    const weightOfHit = ({ pattern }: Hit): number => this.entries[pattern]!.weight;
    const candidates = hits
      .filter(
        (hit) =>
          this.entries[hit.pattern]!.tier !== "ignore" &&
          !isIgnored(hit) &&
          !isNegated(this.tokens, hit.begin, this.negators),
      )
      .sort((a, b) => weightOfHit(b) - weightOfHit(a) || a.begin - b.begin || a.end - b.end);
    const chosen: Hit[] = [];
    for (const hit of candidates) {
      if (!chosen.some((other) => other.pattern === hit.pattern || overlap(hit, other))) chosen.push(hit);
    }
    return chosen;
  }
}

function weightOf(tier: Tier): number {
  if (tier === "ignore") return 0;
  return tier === "against" ? AGAINST_WEIGHT : WEIGHTS[tier];
}

function overlap(a: Hit, b: Hit): boolean {
  return a.begin < b.end && b.begin < a.end;
}

/** Four places: the weights are no more exact, and lines stay short. */
function round(score: number): number {
  return Math.round(score * 1e4) / 1e4;
}
