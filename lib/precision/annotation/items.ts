/**
 * Questions for people about an extractor's labels: a response in which it found a value, and that value among others that
 * it did not find there, in random order. Which is which is in the key, and nothing of it in what the annotators see.
 */
import { createHash } from "node:crypto";
import type { PreferencePair } from "../../data/pairs.js";
import { DataFormatError, throwIfAborted } from "../../errors.js";
import { makePickItem } from "../../metrics/pick-target.js";
import { exchangesOf } from "../../values/label-pairs.js";

/** What an annotator sees. */
export interface AnnotationItem {
  item: string;
  prompt: string;
  response: string;
  labels: string[];
}

/** What is kept apart. */
export interface KeyEntry {
  item: string;
  /** The extractor's value. */
  target: string;
  labels: string[];
  /** Where the response comes from. */
  pair: string;
  side: "chosen" | "rejected";
  source: string;
  extractor: string;
}

export interface MakeItemsOptions {
  /** Values to ask about, and to draw the others from. */
  values: readonly string[];
  /** Most responses a value. */
  perValue: number;
  /** Labels an item, the extractor's among them. */
  choices: number;
  seed: number;
  signal?: AbortSignal | undefined;
}

interface Candidate {
  rank: string;
  target: string;
  expressed: readonly string[];
  prompt: string;
  response: string;
  origin: Pick<KeyEntry, "pair" | "side" | "source" | "extractor">;
}

/**
 * Of each value the responses with the smallest hash of seed, value, pair and side: a random sample that holds few texts
 * in memory, and that grows by what comes in. Items are in the order of another hash.
 *
 * @throws DataFormatError for a pair without labels, and where no response has any of the values
 */
export async function makeItems(
  pairs: Iterable<PreferencePair> | AsyncIterable<PreferencePair>,
  { values, perValue, choices, seed, signal }: MakeItemsOptions,
): Promise<{ items: AnnotationItem[]; key: KeyEntry[] }> {
  const chosen = new Map(values.map((value) => [value, [] as Candidate[]]));
  for await (const pair of pairs) {
    throwIfAborted(signal);
    for (const candidate of candidatesOf(pair, values, choices - 1, seed))
      keepSmallest(chosen.get(candidate.target)!, candidate, perValue);
  }
  const all = [...chosen.values()].flat();
  if (all.length === 0)
    throw new DataFormatError(
      `no response has any of ${values.join(", ")}, with ${choices - 1} others that it has not to show beside it; label the pairs first (valora label)`,
    );
  const order = all
    .map((candidate) => ({ candidate, rank: hash(seed, "order", candidate.rank) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const width = String(order.length).length;
  const items: AnnotationItem[] = [];
  const key: KeyEntry[] = [];
  for (const [index, { candidate }] of order.entries()) {
    const { target, expressed, prompt, response, origin } = candidate;
    const item = `item-${String(index + 1).padStart(width, "0")}`;
    const { labels } = makePickItem({ id: item, target, exclude: expressed }, values, {
      distractors: choices - 1,
      seed,
      index,
    });
    items.push({ item, prompt, response, labels });
    key.push({ item, target, labels, ...origin });
  }
  return { items, key };
}

/** None of a response that has so many values that too few others are left to show. */
function* candidatesOf(
  pair: PreferencePair,
  values: readonly string[],
  distractors: number,
  seed: number,
): Generator<Candidate> {
  const { values: labels, id, source = "", extractor = "" } = pair;
  if (labels === undefined)
    throw new DataFormatError(`pair "${id}" has no "values"; label the file first (valora label)`);
  const sides = exchangesOf(pair);
  for (const side of ["chosen", "rejected"] as const) {
    const { prompt, response } = sides[side];
    const expressed = labels[side];
    if (values.filter((value) => !expressed.includes(value)).length < distractors) continue;
    for (const target of values.filter((value) => expressed.includes(value))) {
      const rank = hash(seed, target, `${id}\n${side}`);
      yield { rank, target, expressed, prompt: told(prompt), response, origin: { pair: id, side, source, extractor } };
    }
  }
}

/** A conversation as people read one. */
function told(prompt: NonNullable<PreferencePair["prompt"]>): string {
  if (typeof prompt === "string") return prompt;
  if (prompt.length === 1) return prompt[0]!.content;
  return prompt.map(({ role, content }) => `${role}: ${content}`).join("\n\n");
}

function keepSmallest(kept: Candidate[], candidate: Candidate, count: number): void {
  if (kept.length === count && kept.at(-1)!.rank <= candidate.rank) return;
  const at = kept.findIndex(({ rank }) => rank > candidate.rank);
  kept.splice(at < 0 ? kept.length : at, 0, candidate);
  if (kept.length > count) kept.pop();
}

function hash(seed: number, kind: string, text: string): string {
  return createHash("sha256").update(`${seed}\n${kind}\n${text}`).digest("hex");
}
