/**
 * Which texts belong together when some train a probe and others measure it: those of one cluster, of one prompt, with
 * the same response or nearly the same. They go into one fold, so that nothing is measured on what it has learnt.
 */
import { createHash } from "node:crypto";
import { minhash, SIGNATURE_BYTES } from "../../curation/minhash.js";
import { groupTexts } from "../../curation/near-duplicates.js";
import { compareText } from "../../curation/text.js";
import { UnionFind } from "../../curation/union-find.js";
import type { LabelledText } from "../../precision/labelled.js";

export type FoldedText = Pick<LabelledText, "prompt" | "response" | "cluster">;

/** A prompt that more than this share of the texts answers is the set's instruction, and keeps nothing apart. */
const INSTRUCTION_SHARE = 0.5;
/** Jaccard similarity of two-word shingles from which on responses are rewordings of each other. */
const NEAR = 0.5;
/** Hexadecimal digits of a key in a probe's file: among a hundred thousand texts none meets another by chance. */
const KEY_DIGITS = 12;

/**
 * What a text is recognised by: hashes of its cluster, its prompt and its response, as far as it has them. Texts that
 * share one belong together.
 */
export function keysOf(
  { prompt, response, cluster }: FoldedText,
  isInstruction: (prompt: string) => boolean,
): string[] {
  const asked = normal(promptText(prompt));
  return [
    ...(cluster === null ? [] : [key("cluster", cluster)]),
    ...(asked === "" || isInstruction(asked) ? [] : [key("prompt", asked)]),
    key("response", normal(response)),
  ];
}

/** Tells the prompt that most texts answer, where there is one. */
export function instructionsOf(texts: readonly FoldedText[]): (prompt: string) => boolean {
  const counts = new Map<string, number>();
  for (const { prompt } of texts) {
    const asked = normal(promptText(prompt));
    counts.set(asked, (counts.get(asked) ?? 0) + 1);
  }
  return (prompt) => (counts.get(prompt) ?? 0) > INSTRUCTION_SHARE * texts.length;
}

/** For each text the number of its group; groups are numbered in order of first appearance. */
export function groupsOf(texts: readonly FoldedText[]): number[] {
  const isInstruction = instructionsOf(texts);
  const sets = new UnionFind(texts.length);
  const first = new Map<string, number>();
  const signatures = new Uint8Array(texts.length * SIGNATURE_BYTES);
  for (const [index, text] of texts.entries()) {
    for (const shared of keysOf(text, isInstruction)) {
      const earlier = first.get(shared);
      if (earlier === undefined) first.set(shared, index);
      else sets.union(earlier, index);
    }
    minhash(
      compareText(text.response).words,
      signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES),
    );
  }
  for (const [index, near] of groupTexts(signatures, { threshold: NEAR }).entries()) sets.union(near, index);
  const numbers = new Map<number, number>();
  return texts.map((_, index) => {
    const group = sets.find(index);
    if (!numbers.has(group)) numbers.set(group, numbers.size);
    return numbers.get(group)!;
  });
}

/**
 * The fold of each group: groups in the order of a hash of seed and group, each into the fold that has fewest texts.
 *
 * @param groups as `groupsOf` gives them
 */
export function foldsOf(groups: readonly number[], folds: number, seed: number): number[] {
  const sizes = new Map<number, number>();
  for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  const order = [...sizes.keys()]
    .map((group) => ({ group, rank: key("fold", `${seed} ${group}`) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const filled = new Array<number>(folds).fill(0);
  const foldOf = new Map<number, number>();
  for (const { group } of order) {
    const emptiest = filled.indexOf(Math.min(...filled));
    foldOf.set(group, emptiest);
    filled[emptiest]! += sizes.get(group)!;
  }
  return groups.map((group) => foldOf.get(group)!);
}

function promptText(prompt: FoldedText["prompt"]): string {
  return typeof prompt === "string" ? prompt : prompt.map(({ content }) => content).join("\n");
}

function normal(text: string): string {
  return compareText(text).normal;
}

function key(kind: string, text: string): string {
  return createHash("sha256").update(`${kind}\n${text}`).digest("hex").slice(0, KEY_DIGITS);
}
