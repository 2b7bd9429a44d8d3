/**
 * Which pairs make up each value's subset: those where it is on exactly one side, counted as the study counts them,
 * split by prompt, sampled where there are too many.
 */
import { drawFor, PURPOSE } from "./draw.js";
import { CHOSEN, isExclusive, REJECTED } from "./labels.js";
import type { Scan } from "./scan.js";
import { textKey } from "./text.js";

export const PARTS = ["train", "held-out"] as const;
export type Part = (typeof PARTS)[number];

/** A row of a subset and whether its chosen and rejected are to be exchanged, in one number: rows are many. */
export type Member = number;

export function memberOf(row: number, flipped: boolean): Member {
  return row * 2 + (flipped ? 1 : 0);
}

export function rowOf(member: Member): number {
  return Math.floor(member / 2);
}

export function isFlipped(member: Member): boolean {
  return member % 2 === 1;
}

export interface ValueCount {
  value: string;
  /** Pairs with the value only in V+. */
  chosen: number;
  /** Only in V−. */
  rejected: number;
}

export interface Subset extends ValueCount {
  /** Number of the value in the table. */
  number: number;
  /** In input order. */
  members: Record<Part, Member[]>;
}

export interface SelectOptions {
  /** In the order of the result; all, the most frequent first, where it is empty. */
  values: readonly string[];
  /** Values with fewer pairs are left out. */
  minPairs: number;
  /** Training pairs of a value; null is all. */
  maxPairs: number | null;
  /** Share of the prompts that are held out. */
  heldOut: number;
  seed: number;
}

export interface Selection {
  subsets: Subset[];
  /** Values with too few pairs. */
  tooFew: ValueCount[];
}

/** The part that each group of prompts is in: the first prompt of the group decides for all of them. */
export function partOfPrompts(scan: Pick<Scan, "promptGroups" | "promptKeys">, heldOut: number, seed: number): Part[] {
  const own = Array.from(
    { length: scan.promptKeys.length },
    (_, prompt): Part =>
      drawFor(scan.promptKeys.at(prompt), { seed, purpose: PURPOSE.split }) < heldOut ? "held-out" : "train",
  );
  return own.map((_, prompt) => own[scan.promptGroups[prompt]!]!);
}

export function countValues({ table, kept }: Pick<Scan, "table" | "kept">): ValueCount[] {
  const counts = table.values.list.map((value) => ({ value, chosen: 0, rejected: 0 }));
  for (let row = 0; row < table.length; row++) {
    if (kept[row] === 0) continue;
    for (const [value, sides] of table.labelsOf(row)) {
      if (sides === CHOSEN) counts[value]!.chosen++;
      else if (sides === REJECTED) counts[value]!.rejected++;
    }
  }
  return counts;
}

export function totalOf({ chosen, rejected }: ValueCount): number {
  return chosen + rejected;
}

/** Ranks values by their number of pairs, then by name, so that the order does not hang on that of the data. */
function byTotal(left: ValueCount, right: ValueCount): number {
  return totalOf(right) - totalOf(left) || (left.value < right.value ? -1 : 1);
}

export function selectSubsets(scan: Scan, parts: readonly Part[], options: SelectOptions): Selection {
  const counts = new Map(countValues(scan).map((count) => [count.value, count]));
  const asked =
    options.values.length === 0
      ? [...counts.values()].sort(byTotal)
      : [...new Set(options.values)].map((value) => counts.get(value) ?? { value, chosen: 0, rejected: 0 });
  const enough = (count: ValueCount): boolean => totalOf(count) >= Math.max(1, options.minPairs);
  const subsets = asked.filter(enough).map(
    (count): Subset => ({
      ...count,
      number: scan.table.values.find(count.value)!,
      members: { train: [], "held-out": [] },
    }),
  );
  fill(scan, parts, subsets);
  for (const subset of subsets) subset.members.train = sample(scan, subset, options);
  return { subsets, tooFew: asked.filter((count) => !enough(count)) };
}

function fill({ table, kept }: Scan, parts: readonly Part[], subsets: readonly Subset[]): void {
  const byNumber = new Map(subsets.map((subset) => [subset.number, subset]));
  for (let row = 0; row < table.length; row++) {
    if (kept[row] === 0) continue;
    for (const [value, sides] of table.labelsOf(row)) {
      if (!isExclusive(sides)) continue;
      byNumber.get(value)?.members[parts[table.promptOf(row)]!].push(memberOf(row, sides === REJECTED));
    }
  }
}

/** The pairs with the smallest draws: a larger sample holds the smaller one, new pairs push out as few as they are. */
function sample({ table }: Scan, subset: Subset, { maxPairs, seed }: SelectOptions): Member[] {
  const members = subset.members.train;
  if (maxPairs === null || members.length <= maxPairs) return members;
  const salt = textKey(subset.value)[0];
  return members
    .map((member) => ({ member, draw: drawFor(table.keyOf(rowOf(member)), { seed, purpose: PURPOSE.sample, salt }) }))
    .sort((left, right) => left.draw - right.draw)
    .slice(0, maxPairs)
    .map(({ member }) => member)
    .sort((left, right) => left - right);
}
