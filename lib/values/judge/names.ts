/** Takes a model's list of values apart, and finds the names in the taxonomy. */
import type { Value } from "../taxonomy.js";

export interface FoundNames {
  /** Names of values of the taxonomy. */
  found: Set<string>;
  /** What was named and is none of them, as it was written but for case. */
  unknown: string[];
}

/** Longer items are sentences, not names. */
const MAX_WORDS = 4;
/** Between items of a list, however it is written. */
const SEPARATOR = /[,;\n•|]|\s+(?:and|&)\s+/u;
/** In front of an item: bullets, numbers, brackets, emphasis. */
const BEFORE =
  /^[\s>*_"'`“”‘’([{#.–—-]*(?:\d{1,2}[.):]\s*)?[\s*_"'`“”‘’([{–—-]*(?:and\s+|the\s+value\s+of\s+|values?:\s*)?/iu;
/** Behind it: punctuation, or an explanation. */
const AFTER = /(?:\s*[:(–—]|\s-\s).*$|[\s*_"'`“”‘’)\]}.!]+$/u;

export class NameFinder {
  /** What each name and synonym stands for; goes into cache keys. */
  readonly names: Readonly<Record<string, string>>;
  private readonly owners: ReadonlyMap<string, string>;

  /** Of two values with the same synonym the first has it. */
  constructor(values: readonly Value[]) {
    const owners = new Map<string, string>();
    for (const { name } of values) owners.set(normal(name), name);
    for (const { name, synonyms = [] } of values)
      for (const synonym of synonyms) if (!owners.has(normal(synonym))) owners.set(normal(synonym), name);
    this.owners = owners;
    this.names = Object.fromEntries(owners);
  }

  find(answer: string): FoundNames {
    const found = new Set<string>();
    const unknown: string[] = [];
    for (const item of answer.split(SEPARATOR)) {
      const name = normal(item.replace(BEFORE, "").replace(AFTER, "").replace(AFTER, ""));
      if (name === "") continue;
      const value = this.owners.get(name);
      if (value !== undefined) found.add(value);
      else unknown.push(name.split(" ").length > MAX_WORDS ? "(a sentence)" : name);
    }
    return { found, unknown };
  }
}

/** A hyphen is a space; case and the kind of white space say nothing. */
function normal(name: string): string {
  return name
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\s\u2010\u2011-]+/g, " ")
    .trim();
}
