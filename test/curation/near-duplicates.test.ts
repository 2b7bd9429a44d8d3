/** Near-duplicates: MinHash and its bands against the Jaccard similarity of the shingles themselves, on real prompts. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { minhash, SIGNATURE_BYTES, similarity } from "#lib/curation/minhash.js";
import { groupPairs, groupTexts, rowsOfBand } from "#lib/curation/near-duplicates.js";
import { compareText } from "#lib/curation/text.js";
import { ROOT } from "../golden.js";
import { generator, sentence } from "./support.js";

const DATA = join(process.env.VALORA_SHARED ?? join(ROOT, "../shared"), "data");
const DIALOGUES = join(DATA, "hh_rlhf/harmless-base/test.jsonl.gz");
const PROMPTS = join(DATA, "ultrafeedback_binarized_slice/train_clean.jsonl");
const noData = [DIALOGUES, PROMPTS].every((path) => existsSync(path))
  ? false
  : `needs ${DIALOGUES} and ${PROMPTS} (set VALORA_SHARED)`;

function realTexts(): string[] {
  const rows = (text: string): Record<string, string>[] =>
    text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, string>);
  const dialogues = rows(gunzipSync(readFileSync(DIALOGUES)).toString("utf8")).slice(0, 700);
  const prompts = rows(readFileSync(PROMPTS, "utf8")).slice(0, 300);
  return [
    ...dialogues.flatMap(({ chosen, rejected }) => [chosen!, rejected!]),
    ...prompts.map(({ prompt }) => prompt!),
  ];
}

/** Shingles by the plainest means: lower-case words, two in a row. */
function shingles(text: string): Set<string> {
  const words =
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  if (words.length < 2) return new Set([words[0] ?? ""]);
  return new Set(words.slice(1).map((word, index) => `${words[index]} ${word}`));
}

function jaccard(left: Set<string>, right: Set<string>): number {
  let both = 0;
  for (const item of left) if (right.has(item)) both++;
  return both / (left.size + right.size - both);
}

function signaturesOf(texts: readonly string[]): Uint8Array {
  const signatures = new Uint8Array(texts.length * SIGNATURE_BYTES);
  for (const [index, text] of texts.entries())
    minhash(compareText(text).words, signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES));
  return signatures;
}

const rowOf = (signatures: Uint8Array, index: number): Uint8Array =>
  signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES);

describe("MinHash on real dialogues and prompts", { skip: noData }, () => {
  const texts = noData === false ? realTexts() : [];
  const sets = texts.map(shingles);
  const signatures = signaturesOf(texts);
  /** Pairs of texts with their similarity; the many that share next to nothing are left out. */
  const pairs: { left: number; right: number; exact: number }[] = [];
  for (let right = 0; right < texts.length; right++)
    for (let left = 0; left < right; left++) {
      const exact = jaccard(sets[left]!, sets[right]!);
      if (exact > 0.15) pairs.push({ left, right, exact });
    }

  it("estimates the Jaccard similarity with the standard error of 128 entries, and hardly a bias", () => {
    assert.ok(pairs.length > 600, `${pairs.length} pairs`);
    let [bias, squares, expected] = [0, 0, 0];
    for (const { left, right, exact } of pairs) {
      const error = similarity(rowOf(signatures, left), rowOf(signatures, right)) - exact;
      bias += error / pairs.length;
      squares += error ** 2 / pairs.length;
      expected += (exact * (1 - exact)) / SIGNATURE_BYTES / pairs.length;
    }
    assert.ok(!(Math.abs(bias) > 0.01), `bias ${bias}`);
    assert.ok(!(Math.sqrt(squares / expected) > 1.15), `error ${Math.sqrt(squares)}, expected ${Math.sqrt(expected)}`);
  });

  for (const threshold of [0.6, 0.8]) {
    it(`groups what is clearly above ${threshold} and nothing that is not joined by what is near it`, () => {
      const groups = groupTexts(signatures, { threshold });
      // Three standard errors of the estimate on either side of the threshold.
      const margin = 3 * Math.sqrt((threshold * (1 - threshold)) / SIGNATURE_BYTES);
      const above = pairs.filter(({ exact }) => exact >= threshold + margin);
      assert.ok(above.length >= 20, `${above.length} pairs`);
      for (const { left, right, exact } of above)
        assert.equal(groups[left], groups[right], `${exact}: ${texts[left]} | ${texts[right]}`);

      // By brute force, with the threshold lowered by the margin: a group must lie within one of these.
      const loose = texts.map((_, index) => index);
      const find = (index: number): number => (loose[index] === index ? index : find(loose[index]!));
      for (const { left, right, exact } of pairs)
        if (exact >= threshold - margin - 0.03)
          loose[Math.max(find(left), find(right))] = Math.min(find(left), find(right));
      for (const [text, first] of groups.entries())
        assert.equal(find(text), find(first), `${texts[text]} | ${texts[first]}`);
    });
  }
});

describe("near-duplicates", () => {
  it("share a band with a probability of 0.99 at the threshold", () => {
    for (const threshold of [0.5, 0.65, 0.8, 0.9, 0.95]) {
      const rows = rowsOfBand(threshold);
      const recall = (width: number): number => 1 - (1 - threshold ** width) ** Math.floor(SIGNATURE_BYTES / width);
      assert.ok(!(recall(rows) < 0.99), `${threshold}: ${rows}`);
      assert.ok(rows === 16 || recall(rows + 1) < 0.99, `${threshold}: ${rows} is the most`);
    }
  });

  it("among pairs need both responses and the prompt, in either order", () => {
    const random = generator(3);
    const [a, b, c] = [sentence(random, 60), sentence(random, 60), sentence(random, 60)];
    const near = (text: string): string => `${text} indeed`;
    const pairs: [prompt: number, chosen: string, rejected: string][] = [
      [0, a, b],
      [0, near(a), near(b)],
      [0, near(b), a],
      [0, a, c],
      [1, a, b],
      [0, c, near(a)],
    ];
    const groups = groupPairs(
      signaturesOf(pairs.flatMap(([, chosen, rejected]) => [chosen, rejected])),
      Uint32Array.from(pairs, ([prompt]) => prompt),
      { threshold: 0.8 },
    );
    assert.deepEqual([...groups], [0, 0, 0, 3, 4, 3]);
  });

  it("are found in scripts without spaces, and case, width and punctuation do not count", () => {
    const [signature] = [
      signaturesOf([
        "ＨＯＷ do I—tie a KNOT?",
        "how do i tie a knot",
        "你怎么打结子呢",
        "怎么打结子呢？",
        "how to swim",
      ]),
    ];
    const at = (left: number, right: number): number => similarity(rowOf(signature!, left), rowOf(signature!, right));
    assert.equal(at(0, 1), 1);
    assert.ok(at(2, 3) > 0.6, `${at(2, 3)}`); // 5 of 6 shingles
    assert.ok(at(1, 4) < 0.2, `${at(1, 4)}`);
  });
});
