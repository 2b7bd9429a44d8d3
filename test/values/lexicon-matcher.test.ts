/** The parts of the lexicon's machinery, each against something simpler. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DataFormatError } from "#lib/errors.js";
import { Automaton } from "#lib/values/lexicon/automaton.js";
import { inflect } from "#lib/values/lexicon/inflect.js";
import { Lexicon, WEIGHTS } from "#lib/values/lexicon/lexicon.js";
import { parsePattern } from "#lib/values/lexicon/pattern.js";
import { findQuoted } from "#lib/values/lexicon/quotes.js";
import { lexiconSourceSchema } from "#lib/values/lexicon/source.js";
import { Tokens, Vocabulary } from "#lib/values/lexicon/tokens.js";

/** Numbers in [0, n), the same in every run (a 32-bit multiplicative generator). */
function dice(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

const WORDS = ["red", "blue", "i'm", "naïve", "go"];

/** A random pattern, and a regular expression that says the same about words with a space behind each. */
function randomPattern(roll: (n: number) => number, depth = 2): { text: string; regex: string } {
  const parts: { text: string; regex: string }[] = [];
  const word = (): void => {
    const chosen = WORDS[roll(WORDS.length)]!;
    parts.push({ text: chosen, regex: `${chosen} ` });
  };
  word();
  for (let left = roll(3); left > 0; left--) {
    const kind = roll(5);
    if (kind === 0) parts.push({ text: "*", regex: "[^ ?!]+ " });
    else if (kind === 1) parts.push({ text: "..", regex: "(?:[^ ?!]+ ){0,3}" });
    else if (kind < 4 && depth > 0) {
      const options = [randomPattern(roll, depth - 1), randomPattern(roll, depth - 1)];
      const optional = kind === 3;
      const inside = options.map(({ text }) => text).join("|");
      parts.push({
        text: optional ? `[${inside}]` : `(${inside})`,
        regex: `(?:${options.map(({ regex }) => regex).join("|")})${optional ? "?" : ""}`,
      });
    } else word();
  }
  word();
  return { text: parts.map(({ text }) => text).join(" "), regex: parts.map(({ regex }) => regex).join("") };
}

describe("the automaton", () => {
  test("finds what regular expressions find at every pair of word boundaries, on random patterns and texts", () => {
    const roll = dice(20261124);
    let found = 0;
    for (let round = 0; round < 150; round++) {
      const random = Array.from({ length: 1 + roll(6) }, () => randomPattern(roll));
      const patterns = random.map(({ text }, i) => {
        const atStart = i % 3 === 2;
        return parsePattern(atStart ? `^ ${text}` : text, new Map(), "test");
      });
      const vocabulary = new Vocabulary();
      const automaton = new Automaton(patterns, vocabulary);
      const tokens = new Tokens(vocabulary);
      for (let sample = 0; sample < 20; sample++) {
        const sentences = Array.from({ length: 1 + roll(3) }, () =>
          Array.from({ length: 1 + roll(9) }, () => (roll(6) === 0 ? "zzz" : WORDS[roll(WORDS.length)]!)),
        );
        tokens.read(sentences.map((words) => `${words.join(roll(2) === 0 ? " " : "-")}.`).join(" "));
        const actual = new Set<string>();
        automaton.match(tokens, (pattern, begin, end) => actual.add(`${pattern} ${begin} ${end}`));
        const expected = new Set<string>();
        let offset = 0;
        for (const words of sentences) {
          for (let begin = 0; begin < words.length; begin++) {
            for (let end = begin + 1; end <= words.length; end++) {
              const piece = words
                .slice(begin, end)
                .map((word) => `${word} `)
                .join("");
              random.forEach(({ regex }, i) => {
                if (i % 3 === 2 && begin > 0) return;
                if (new RegExp(`^(?:${regex})$`, "u").test(piece))
                  expected.add(`${i} ${offset + begin} ${offset + end}`);
              });
            }
          }
          offset += words.length;
        }
        assert.deepEqual([...actual].sort(), [...expected].sort(), JSON.stringify({ random, sentences }));
        found += expected.size;
      }
    }
    assert.ok(found > 1000, `the random texts held only ${found} matches`);
  });
});

describe("a pattern", () => {
  test("is refused where it says nothing or cannot be read, with its place", () => {
    const families = new Map([["kind", ["kind", "kindly"]]]);
    for (const [text, part] of [
      ["[maybe]", "can match nothing"],
      ["..", "can match nothing"],
      ["* word", "begins or ends with"],
      ["word ..", "begins or ends with"],
      ["(a|b", "not closed"],
      ["a)", "stray )"],
      ["(a|)", "empty alternative"],
      ["@unkind", "@unkind"],
      ["a ^ b", "^ elsewhere"],
      ["a % b", '"%"'],
    ] as const) {
      assert.throws(
        () => parsePattern(text, families, "my.yaml"),
        (error) =>
          error instanceof DataFormatError && error.message.startsWith("my.yaml: ") && error.message.includes(part),
        text,
      );
    }
  });
});

describe("inflect", () => {
  test("gives the regular forms of English", () => {
    assert.deepEqual(inflect("share"), ["share", "shares", "shared", "sharing"]);
    assert.deepEqual(inflect("stop"), ["stop", "stops", "stopped", "stopping"]);
    assert.deepEqual(inflect("deny"), ["deny", "denies", "denied", "denying"]);
    assert.deepEqual(inflect("play"), ["play", "plays", "played", "playing"]);
    assert.deepEqual(inflect("wish"), ["wish", "wishes", "wished", "wishing"]);
    assert.deepEqual(inflect("agree"), ["agree", "agrees", "agreed", "agreeing"]);
    assert.deepEqual(inflect("lie"), ["lie", "lies", "lied", "lying"]);
    assert.deepEqual(inflect("admit"), ["admit", "admits", "admitted", "admitting"]);
    assert.deepEqual(inflect("comfort"), ["comfort", "comforts", "comforted", "comforting"]);
    assert.deepEqual(inflect("lean"), ["lean", "leans", "leaned", "leaning"]);
  });
});

/** `findQuoted` as the rules are stated: for every mark, every place where it could end. */
function quotedOneByOne(text: string): [number, number][] {
  const closing = new Map(Object.entries({ '"': '"', "“": "”", "„": "“”", "«": "»", "‘": "’", "'": "'" }));
  const isWord = (at: number) => /[\p{L}\p{N}]/u.test(text[at] ?? " ");
  const isSpace = (at: number) => /\s/.test(text[at] ?? " ");
  const opens = (at: number) => text[at] === "«" || (!isWord(at - 1) && !isSpace(at + 1));
  const closes = (at: number) => text[at] === "»" || (!isSpace(at - 1) && !isWord(at + 1));
  const endOf = (at: number): number | null => {
    const mark = text[at]!;
    const rest = text.slice(at);
    const [line] = rest.split("\n") as [string];
    if (rest.startsWith("```")) return at + /^```.*?(```|$)/s.exec(rest)![0].length;
    if (mark === "`") {
      const code = /^`[^`]*`/.exec(line);
      return code === null ? null : at + code[0].length;
    }
    if (mark === ">") return /^[ \t]*$/.test(text.slice(0, at).split("\n").at(-1)!) ? at + line.length : null;
    const marks = closing.get(mark);
    if (marks === undefined || !opens(at)) return null;
    const [paragraph] = rest.split("\n\n") as [string];
    const single = mark === "'" || mark === "‘";
    const length = single ? Math.min(line.length, 120) : paragraph.length;
    for (let end = at + 1; end < at + Math.min(length, paragraph.length); end++)
      if (marks.includes(text[end]!) && closes(end)) return end + 1;
    return null;
  };
  const ranges: [number, number][] = [];
  for (let at = 0; at < text.length; at++) {
    const end = endOf(at);
    if (end === null || end === at) continue;
    ranges.push([at, end]);
    at = end - 1;
  }
  const [first] = ranges;
  if (first !== undefined && ranges.length === 1 && first[1] - first[0] > 0.9 * text.trim().length) return [];
  return ranges;
}

describe("quotation", () => {
  const quoted = (text: string): string[] => findQuoted(text).map(([begin, end]) => text.slice(begin, end));

  test("is found between marks of any kind, in code and in block quotes", () => {
    assert.deepEqual(quoted('He said "no way" and left.'), ['"no way"']);
    assert.deepEqual(quoted("He said “no way” and left."), ["“no way”"]);
    assert.deepEqual(quoted("Er sagte „nein“? Nein, „nein”."), ["„nein“", "„nein”"]);
    assert.deepEqual(quoted("Il dit « non » et part."), ["« non »"]);
    assert.deepEqual(quoted("He said ‘don’t go’ twice."), ["‘don’t go’"]);
    assert.deepEqual(quoted("He said 'no way' twice."), ["'no way'"]);
    assert.deepEqual(quoted("Run `kill 7` now"), ["`kill 7`"]);
    assert.deepEqual(quoted("See:\n```\nkill()\n```\nDone"), ["```\nkill()\n```"]);
    assert.deepEqual(quoted("She wrote:\n> kill them\nSad."), ["> kill them"]);
  });

  test("is not seen in apostrophes, inches, or marks that are never closed", () => {
    assert.deepEqual(quoted("I'm sure the dogs' bowls aren't theirs."), []);
    assert.deepEqual(quoted('A 5" nail and a 7" nail'), []);
    assert.deepEqual(quoted('He said "no way.\n\nThen he "left.'), []);
    assert.deepEqual(quoted("5 > 3"), []);
  });

  test("is the speaker's own where it is the whole text", () => {
    assert.deepEqual(quoted('"I would not do that if I were you."'), []);
  });

  test("is what looking for the end of every mark by itself finds", () => {
    const roll = dice(3);
    const pieces = [
      '"',
      "“",
      "”",
      "„",
      "«",
      "»",
      "‘",
      "’",
      "'",
      "`",
      "```",
      ">",
      "\n",
      "\n\n",
      " ",
      "\t",
      "a",
      "a",
      ". ",
    ];
    for (let round = 0; round < 5000; round++) {
      const text = Array.from({ length: 1 + roll(40) }, () => pieces[roll(pieces.length)]).join("");
      assert.deepEqual(findQuoted(text), quotedOneByOne(text), JSON.stringify(text));
    }
  });
});

describe("the score", () => {
  const source = lexiconSourceSchema.parse({
    strong: ["alpha"],
    medium: ["beta", "gamma"],
    weak: ["w1", "w2", "w3", "w4"],
    against: ["omega"],
    ignore: ["alpha male"],
  });
  const score = (text: string): number => new Lexicon([{ value: "x", source, where: "test" }]).score(text).x ?? 0;
  const close = (actual: number, expected: number): void =>
    assert.ok(!(Math.abs(actual - expected) > 5e-5) && !Number.isNaN(actual), `${actual} is not ${expected}`);

  test("is one minus the product of what is left, times the doubt of what speaks against", () => {
    close(score("alpha"), WEIGHTS.strong);
    close(score("beta gamma"), 1 - (1 - 0.35) ** 2);
    close(score("w1 w2 w3 w4"), 1 - (1 - 0.16) ** 4);
    close(score("alpha beta"), 1 - 0.3 * 0.65);
    close(score("alpha omega"), 0.7 * 0.4);
    close(score("omega"), 0);
  });

  test("counts a pattern once, and passes over what is ignored or denied", () => {
    close(score("beta. Beta! beta?"), 0.35);
    close(score("an alpha male"), 0);
    close(score("an alpha male, and alpha"), 0.7);
    close(score("not alpha"), 0);
    close(score("not without alpha"), 0.7);
    close(score("alpha, but not omega"), 0.7);
    close(score("not now but alpha"), 0.7);
    close(score("not now. Alpha"), 0.7);
    close(score("not one of these four alpha"), 0.7);
    close(score("not one of these alpha"), 0);
  });

  test("counts medium and weak patterns less in a long text, and strong ones in full", () => {
    const filler = (words: number): string => " so".repeat(words);
    close(score(`beta${filler(149)}`), 0.35);
    close(score(`beta${filler(299)}`), 0.35 / 2);
    close(score(`alpha${filler(299)}`), 0.7);
  });

  test("never falls when another pattern for the value is added", () => {
    const roll = dice(7);
    const all = ["alpha", "beta", "gamma", "w1", "w2", "w3", "w4", "omega"];
    for (let round = 0; round < 200; round++) {
      const some = all.filter(() => roll(2) === 0);
      const more = all[roll(7)]!;
      assert.ok(score([...some, more].join(" ")) >= score(some.join(" ")), `${some} + ${more}`);
    }
  });
});

describe("tokens", () => {
  test("keep their places in the text, past emoji, marks and letters outside the basic plane", () => {
    const vocabulary = new Vocabulary();
    for (const word of ["café", "i'm", "😂", "end"]) vocabulary.add(word);
    const tokens = new Tokens(vocabulary);
    tokens.read("**Cafe\u0301** 𝒳\ud800 I’m 😂 end’s");
    const words = Array.from({ length: tokens.count }, (_, i) => [
      tokens.text.slice(tokens.begins[i], tokens.ends[i]),
      vocabulary.words[tokens.ids[i]!],
    ]);
    assert.deepEqual(words, [
      ["Café", "café"],
      ["𝒳", ""],
      ["I’m", "i'm"],
      ["😂", "😂"],
      ["end’s", "end"],
    ]);
  });

  test("grow with the text and shrink again", () => {
    const tokens = new Tokens(new Vocabulary());
    tokens.read("a ".repeat(5000));
    assert.equal(tokens.count, 5000);
    tokens.read("a b");
    assert.equal(tokens.count, 2);
    tokens.read(`${"x".repeat(100_000)} y`);
    assert.equal(tokens.count, 2);
  });
});
