/** Regular inflections of English words, as ~word in a pattern means them. Irregular ones are written out in families. */

const VOWELS = "aeiou";

/**
 * The word itself, and its forms in -s, -ed, -ing: "share" → share, shares, shared, sharing; "stop" → stop, stops,
 * stopped, stopping; "deny" → deny, denies, denied, denying. A noun gains forms that nobody writes, which do no harm.
 */
export function inflect(word: string): string[] {
  const last = word.at(-1) ?? "";
  const before = word.at(-2) ?? "";
  if (last === "y" && !VOWELS.includes(before)) {
    const stem = word.slice(0, -1);
    return [word, `${stem}ies`, `${stem}ied`, `${word}ing`];
  }
  if (word.endsWith("ie")) return [word, `${word}s`, `${word}d`, `${word.slice(0, -2)}ying`];
  if (last === "e") {
    const stem = word.endsWith("ee") ? word : word.slice(0, -1);
    return [word, `${word}s`, `${word}d`, `${stem}ing`];
  }
  const third = /(s|x|z|ch|sh)$/.test(word) ? `${word}es` : `${word}s`;
  const stem = doublesLast(word) ? word + last : word;
  return [word, third, `${stem}ed`, `${stem}ing`];
}

/** One syllable ending in one vowel and one consonant: stop, hug. Longer words are doubled where their stress says so; listed. */
function doublesLast(word: string): boolean {
  return /^[^aeiou]*[aeiou][bdgklmnprtv]$/.test(word) || DOUBLING.has(word);
}

const DOUBLING = new Set(["admit", "commit", "permit", "prefer", "refer", "regret", "omit", "kidnap"]);
