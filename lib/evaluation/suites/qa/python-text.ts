/** Python's str methods where JavaScript's differ: lm-evaluation-harness makes its prompts with them. */

/** What str.isspace() says yes to: with the separators U+001C to U+001F and U+0085, without the byte order mark. */
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const ENDS = new RegExp(`^${SPACE}+|${SPACE}+$`, "g");

/** str.strip() */
export function strip(text: string): string {
  return text.replace(ENDS, "");
}

/** Letters that stand for two and have a title case of their own, behind each its title case. */
const DIGRAPHS = new Map(["Ǆǆǅ", "Ǉǉǈ", "Ǌǌǋ", "Ǳǳǲ"].flatMap((three) => [...three].map((one) => [one, three[2]!])));

/** str.capitalize(): the first letter in title case ("ß" becomes "Ss"), all others lower case. */
export function capitalize(text: string): string {
  const [first = ""] = text;
  // Georgian has capitals, and no title case.
  const upper = /\p{Script=Georgian}/u.test(first) ? first : first.toUpperCase();
  const [begin = "", ...rest] = upper;
  const title = DIGRAPHS.get(first) ?? begin + rest.join("").toLowerCase();
  return title + text.toLowerCase().slice(first.toLowerCase().length);
}
