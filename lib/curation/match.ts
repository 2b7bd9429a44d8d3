/**
 * The control arms' pairs: for each pair of a value's subset a random one that the value does not tell apart, from the same
 * source and of like lengths.
 *
 * The subset's pairs of a source are cut into strata by their length difference (words of chosen − words of rejected, as
 * the data has them): up to `BINS` groups of equal size, each cut again into thirds of total length. A stratum's pairs get
 * partners from the same stratum, drawn without replacement; where those run out, the nearest length difference of
 * the source, then of any source. A partner is flipped exactly where its counterpart was.
 *
 * So source, size, share of flipped pairs and length differences agree twice over: `random` with `unflipped`, and
 * `flipped-random` with `induce`.
 */
import { drawFor, PURPOSE } from "./draw.js";
import { isExclusive } from "./labels.js";
import type { PairTable } from "./pair-table.js";
import type { Scan } from "./scan.js";
import { isFlipped, type Member, memberOf, type Part, rowOf, type Subset } from "./select.js";
import { textKey } from "./text.js";

/** Groups of length difference; with fewer than `BIN_PAIRS` pairs in each there are fewer of them. */
const BINS = 50;
const BIN_PAIRS = 8;
const LENGTH_THIRDS = 3;

export interface Matching {
  /** In input order; as many as the subset has, less `missing`. */
  members: Member[];
  /** Partners from the same stratum, from elsewhere in the same source, from another source. */
  sameStratum: number;
  sameSource: number;
  otherSource: number;
  /** Pairs of the subset that no partner was left for. */
  missing: number;
}

/** Rows of `part` that may stand beside the subset: kept, and without the value on exactly one side. */
export function poolOf({ table, kept }: Scan, parts: readonly Part[], part: Part, subset: Subset): number[] {
  const rows: number[] = [];
  for (let row = 0; row < table.length; row++) {
    if (kept[row] === 1 && parts[table.promptOf(row)] === part && !isExclusive(table.sidesOf(row, subset.number)))
      rows.push(row);
  }
  return rows;
}

/** @param pool rows to draw from */
export function matchRandomly(
  table: PairTable,
  members: readonly Member[],
  pool: readonly number[],
  options: { value: string; seed: number },
): Matching {
  const salt = textKey(options.value)[0];
  const draws = new Map<number, number>();
  const drawOf = (row: number): number => {
    const draw = draws.get(row) ?? drawFor(table.keyOf(row), { seed: options.seed, purpose: PURPOSE.match, salt });
    draws.set(row, draw);
    return draw;
  };
  const byDraw = (left: number, right: number): number => drawOf(left) - drawOf(right);
  const order = (list: readonly Member[]): Member[] => [...list].sort((a, b) => byDraw(rowOf(a), rowOf(b)));

  const chosen: Member[] = [];
  const free = new Set(pool);
  const take = (row: number, counterpart: Member): void => {
    free.delete(row);
    chosen.push(memberOf(row, isFlipped(counterpart)));
  };

  let unmatched: Member[] = [];
  const poolBySource = groupBy(pool, (row) => table.sourceOf(row));
  for (const [source, ofSource] of groupBy(members, (member) => table.sourceOf(rowOf(member)))) {
    const stratumOf = strataOf(table, ofSource.map(rowOf));
    const partners = groupBy(poolBySource.get(source) ?? [], stratumOf);
    for (const [stratum, wanting] of groupBy(ofSource, (member) => stratumOf(rowOf(member)))) {
      const available = (partners.get(stratum) ?? []).sort(byDraw);
      const ordered = order(wanting);
      const count = Math.min(ordered.length, available.length);
      for (let index = 0; index < count; index++) take(available[index]!, ordered[index]!);
      unmatched.push(...ordered.slice(count));
    }
  }
  const sameStratum = chosen.length;

  const freeBySource = groupBy([...free], (row) => table.sourceOf(row));
  const unmatchedBySource = groupBy(unmatched, (member) => table.sourceOf(rowOf(member)));
  unmatched = [];
  for (const [source, ofSource] of unmatchedBySource)
    unmatched.push(...takeNearest(table, order(ofSource), freeBySource.get(source) ?? [], take));
  const sameSource = chosen.length - sameStratum;

  const missing = takeNearest(table, order(unmatched), [...free], take).length;
  const otherSource = chosen.length - sameStratum - sameSource;
  return { members: chosen.sort((left, right) => left - right), sameStratum, sameSource, otherSource, missing };
}

/**
 * Serves each of `wanting`, in order, with the free row of the nearest length difference.
 *
 * @returns those that no row was left for
 */
function takeNearest(
  table: PairTable,
  wanting: readonly Member[],
  free: readonly number[],
  take: (row: number, counterpart: Member) => void,
): Member[] {
  const sorted = [...free].sort((a, b) => table.lengthDifference(a) - table.lengthDifference(b) || a - b);
  const served = Math.min(wanting.length, sorted.length);
  // Nearest free neighbours on either side, found by skipping over the taken ones; −1 and sorted.length are the ends.
  const below = Int32Array.from({ length: sorted.length + 1 }, (_, index) => index);
  const above = Int32Array.from({ length: sorted.length + 1 }, (_, index) => index);
  for (const member of wanting.slice(0, served)) {
    const wanted = table.lengthDifference(rowOf(member));
    const at = firstAtLeast(sorted.length, (index) => table.lengthDifference(sorted[index]!) >= wanted);
    const right = skip(above, at);
    const left = skip(below, at) - 1; // shifted by one, so that "none" is 0
    const gap = (index: number): number =>
      index < 0 || index >= sorted.length
        ? Number.POSITIVE_INFINITY
        : Math.abs(table.lengthDifference(sorted[index]!) - wanted);
    const nearest = gap(right) <= gap(left) ? right : left;
    above[nearest] = nearest + 1;
    below[nearest + 1] = nearest;
    take(sorted[nearest]!, member);
  }
  return wanting.slice(served);
}

/** Follows the links from `at` to one that points at itself, and shortens the way for the next. */
function skip(links: Int32Array, at: number): number {
  let end = at;
  while (links[end] !== end) end = links[end]!;
  for (let index = at; index !== end; ) {
    const next = links[index]!;
    links[index] = end;
    index = next;
  }
  return end;
}

/** The smallest index in [0, count) that `holds`, or count; holds never turns false again as the index grows. */
function firstAtLeast(count: number, holds: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** No stratum of the subset. */
const OUTSIDE = -1;

/** Cuts the rows of a source into strata; the result tells any row's, `OUTSIDE` beyond the lengths of the subset. */
function strataOf(table: PairTable, rows: readonly number[]): (row: number) => number {
  const differenceOf = (row: number): number => table.lengthDifference(row);
  const totalOf = (row: number): number => table.chosenWords(row) + table.rejectedWords(row);
  const differences = rows.map(differenceOf).sort((a, b) => a - b);
  const edges = cut(differences, Math.min(BINS, Math.max(1, Math.floor(rows.length / BIN_PAIRS))));
  const binOf = (row: number): number => firstAtLeast(edges.length, (edge) => edges[edge]! > differenceOf(row));
  const thirds = new Map(
    [...groupBy(rows, binOf)].map(([bin, ofBin]) => {
      const totals = ofBin.map(totalOf).sort((a, b) => a - b);
      return [bin, { edges: cut(totals, LENGTH_THIRDS), lowest: totals[0]!, highest: totals[totals.length - 1]! }];
    }),
  );
  const [lowest, highest] = [differences[0]!, differences[differences.length - 1]!];
  return (row) => {
    const difference = differenceOf(row);
    if (difference < lowest || difference > highest) return OUTSIDE;
    const bin = binOf(row);
    const third = thirds.get(bin);
    const total = totalOf(row);
    if (third === undefined || total < third.lowest || total > third.highest) return OUTSIDE;
    return bin * LENGTH_THIRDS + firstAtLeast(third.edges.length, (edge) => third.edges[edge]! > total);
  };
}

/** The distinct inner edges that cut sorted numbers into `parts` groups of about equal size; a group begins at its edge. */
function cut(sorted: readonly number[], parts: number): number[] {
  const edges = new Set<number>();
  for (let part = 1; part < parts; part++) edges.add(sorted[Math.floor((part * sorted.length) / parts)]!);
  edges.delete(sorted[0]!);
  return [...edges];
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
