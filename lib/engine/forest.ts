/**
 * Packs trees of token spans into the flat arrays of one native batch (design: "the packed forest"), and
 * takes the answers apart again. Batches keep the order of the trees and never split one.
 */
import { OutOfMemoryError } from "../errors.js";
import type { NativeForest, NativeJobShape, NativePlan } from "../native.js";

/** A run of tokens that hangs from the end of its parent. */
export interface TreeSpan {
  /** Index of an earlier span of the same tree; -1 for its root, which is span 0. */
  parent: number;
  tokens: ArrayLike<number>;
}

/** Wanted: log p(token | everything that row sees). */
export interface TreeTarget {
  span: number;
  /** Row within the span. */
  offset: number;
  token: number;
}

export interface Tree {
  /** An adapter's handle; 0 = the base model. */
  adapter: number;
  spans: TreeSpan[];
  targets: TreeTarget[];
}

/** Rows of one tree. */
export function treeRows(tree: Tree): number {
  return tree.spans.reduce((rows, span) => rows + span.tokens.length, 0);
}

/** Rows on the longest way from the root to the end of a span. */
export function longestPath(tree: Tree): number {
  const ends: number[] = [];
  for (const span of tree.spans) ends.push((span.parent < 0 ? 0 : ends[span.parent]!) + span.tokens.length);
  return Math.max(...ends);
}

/**
 * The tree of a context with continuations: the context is computed once. The last token of a
 * continuation is predicted and never read, so it has no row. Targets come continuation by continuation.
 *
 * @param context at least one token
 */
export function contextTree(context: ArrayLike<number>, continuations: ArrayLike<number>[], adapter: number): Tree {
  const spans: TreeSpan[] = [{ parent: -1, tokens: context }];
  const targets: TreeTarget[] = [];
  for (const continuation of continuations) {
    const length = continuation.length;
    for (let index = 0; index < length; index++) {
      const token = continuation[index]!;
      targets.push(
        index === 0 ? { span: 0, offset: context.length - 1, token } : { span: spans.length, offset: index - 1, token },
      );
    }
    if (length > 1) spans.push({ parent: 0, tokens: Array.prototype.slice.call(continuation, 0, length - 1) });
  }
  return { adapter, spans, targets };
}

export interface PackedForest {
  forest: NativeForest;
  /**
   * [T] where the native batch's target stands among the trees' own targets, counted tree by tree: the
   * native side wants targets sorted by row, the trees name them response by response.
   */
  order: Int32Array;
  /** [B + 1] the first of each tree's targets in that count. */
  targetBegins: Int32Array;
}

export function packForest(trees: readonly Tree[]): PackedForest {
  const rows = trees.reduce((sum, tree) => sum + treeRows(tree), 0);
  const spanCount = trees.reduce((sum, tree) => sum + tree.spans.length, 0);
  const targetBegins = new Int32Array(trees.length + 1);
  const tokens = new Int32Array(rows);
  const spans = new Int32Array(spanCount * 3);
  const wanted: { row: number; token: number; index: number }[] = [];
  let row = 0;
  let span = 0;
  trees.forEach((tree, treeIndex) => {
    const firstSpan = span;
    const begins: number[] = [];
    for (const { parent, tokens: run } of tree.spans) {
      begins.push(row);
      spans.set([parent < 0 ? -1 : firstSpan + parent, row, run.length], span * 3);
      tokens.set(run, row);
      row += run.length;
      span++;
    }
    for (const { span: at, offset, token } of tree.targets) {
      wanted.push({ row: begins[at]! + offset, token, index: wanted.length });
    }
    targetBegins[treeIndex + 1] = wanted.length;
  });
  // Array.prototype.sort is stable: targets of one row keep the order of their tree.
  wanted.sort((a, b) => a.row - b.row);
  const targets = new Int32Array(wanted.length * 2);
  for (const [index, target] of wanted.entries()) targets.set([target.row, target.token], index * 2);
  return {
    forest: { tokens, spans, adapters: Int32Array.from(trees, (tree) => tree.adapter), targets },
    order: Int32Array.from(wanted, (target) => target.index),
    targetBegins,
  };
}

/** Values of the native batch's targets, put back into the order of the trees' own targets. */
export function unpackTargets(values: ArrayLike<number>, order: Int32Array): Float64Array {
  const unpacked = new Float64Array(order.length);
  order.forEach((index, at) => {
    unpacked[index] = values[at]!;
  });
  return unpacked;
}

/** Jobs of one pass over a forest. */
export type ForestJob = "score" | "embed" | "train";

export function jobShape(job: ForestJob, trees: readonly Tree[], recompute = false): NativeJobShape {
  return {
    job,
    rows: trees.reduce((sum, tree) => sum + treeRows(tree), 0),
    targetRows: trees.reduce((sum, tree) => sum + targetRows(tree), 0),
    trees: trees.length,
    longestPath: trees.reduce((longest, tree) => Math.max(longest, longestPath(tree)), 0),
    recompute,
    sequences: 0,
    cacheRows: 0,
  };
}

function targetRows(tree: Tree): number {
  return new Set(tree.targets.map((target) => `${target.span}:${target.offset}`)).size;
}

/**
 * Rows a batch aims at. Weights are expanded tile by tile once a batch, which 512 rows and more pay for;
 * past about a thousand nothing is gained and the activations leave the cache.
 */
export const AIMED_ROWS = 1024;

/** What the planner of a model knows; lib/engine/model.ts provides it, tests stand in for it. */
export interface Planner {
  memoryBytes: number;
  maxPositions: number;
  plan(shape: NativeJobShape): NativePlan;
}

function fits(planner: Planner, shape: NativeJobShape): boolean {
  return planner.plan(shape).total <= planner.memoryBytes;
}

/**
 * The most rows, `aimed` or a half, quarter, … of it, that one batch of `job` may have under the memory limit.
 *
 * @throws OutOfMemoryError where not even one row fits
 */
export function rowBudget(planner: Planner, job: ForestJob, aimed: number, recompute = false): number {
  const shapeOf = (rows: number): NativeJobShape => ({
    job,
    rows,
    targetRows: rows,
    trees: Math.ceil(rows / planner.maxPositions),
    longestPath: Math.min(rows, planner.maxPositions),
    recompute,
    sequences: 0,
    cacheRows: 0,
  });
  for (let rows = aimed; rows >= 1; rows = Math.floor(rows / 2)) {
    if (fits(planner, shapeOf(rows))) return rows;
  }
  throw new OutOfMemoryError(`${job}: even one token ${describeShortage(planner, shapeOf(1))}; raise --memory`);
}

/** Consecutive groups of at most `maxRows` rows; a larger item stands alone. */
export function groupByRows<T>(items: readonly T[], rowsOf: (item: T) => number, maxRows: number): T[][] {
  const groups: T[][] = [];
  let rows = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const more = rowsOf(item);
    if (rows + more > maxRows) {
      groups.push([]);
      rows = 0;
    }
    groups.at(-1)!.push(item);
    rows += more;
  }
  return groups;
}

/**
 * Halves a batch until its plan fits the memory limit, keeping the order.
 *
 * @param shapeOf the job of some of the items
 * @param nameOf what one item is called where it alone is too large
 * @param remedy the option that would help
 * @throws OutOfMemoryError naming the terms of the plan
 */
export function splitToFit<T>(
  items: readonly T[],
  planner: Planner,
  shapeOf: (items: readonly T[]) => NativeJobShape,
  nameOf: (item: T) => string,
  remedy: string,
): T[][] {
  if (items.length === 0) return [];
  const shape = shapeOf(items);
  if (fits(planner, shape)) return [[...items]];
  if (items.length === 1) {
    throw new OutOfMemoryError(`${nameOf(items[0]!)} ${describeShortage(planner, shape)}; ${remedy}`);
  }
  const half = items.length >> 1;
  return [items.slice(0, half), items.slice(half)].flatMap((part) =>
    splitToFit(part, planner, shapeOf, nameOf, remedy),
  );
}

/** "needs 3.1 GiB (weights 0.1, …) of the 2.0 GiB allowed". */
export function describeShortage(planner: Planner, shape: NativeJobShape): string {
  const plan = planner.plan(shape);
  const terms = (["weights", "adapters", "optimiser", "activations", "cache"] as const)
    .filter((term) => plan[term] > 0)
    .map((term) => `${term} ${formatBytes(plan[term])}`);
  return `needs ${formatBytes(plan.total)} (${terms.join(", ")}) of the ${formatBytes(planner.memoryBytes)} allowed`;
}

export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
