/** Preference pairs as forests: prompt → {chosen, rejected}, in micro-batches that keep the order of the pairs. */
import type { NativePairs } from "../native.js";
import {
  AIMED_ROWS,
  contextTree,
  groupByRows,
  jobShape,
  type Planner,
  packForest,
  rowBudget,
  splitToFit,
  type Tree,
  treeRows,
} from "./forest.js";
import type { TokenizedPair } from "./tokenize-pairs.js";

/** The trees of a pair: one with a shared prompt, else one a response. Targets: chosen's, then rejected's. */
export function pairTrees(pair: TokenizedPair, adapter: number, sharePrompt: boolean): Tree[] {
  const { prompt, chosen, rejected } = pair;
  if (sharePrompt) return [contextTree(prompt, [chosen, rejected], adapter)];
  return [chosen, rejected].map((response) => {
    const targets = response.map((token, index) => ({ span: 0, offset: prompt.length - 1 + index, token }));
    return { adapter, spans: [{ parent: -1, tokens: [...prompt, ...response.slice(0, -1)] }], targets };
  });
}

/** A pair and its reference log-probabilities. */
export interface ReferencedPair extends TokenizedPair {
  chosenReference: number;
  rejectedReference: number;
}

/**
 * Below this many rows a batch keeps its activations only by being too small to use the machine, and
 * recomputing them in a larger one is faster.
 */
const LEAST_STORED_ROWS = 256;

export interface MicroBatchOptions {
  planner: Planner;
  sharePrompt: boolean;
}

/** Rows a training batch aims at under the memory limit, with activations kept where there is room. */
export function trainingRowBudget(planner: Planner): number {
  const recomputed = rowBudget(planner, "train", AIMED_ROWS, true);
  if (recomputed < LEAST_STORED_ROWS) return recomputed;
  for (let rows = AIMED_ROWS; rows >= LEAST_STORED_ROWS; rows /= 2) {
    const longestPath = Math.min(rows, planner.maxPositions);
    const shape = {
      job: "train" as const,
      rows,
      targetRows: rows,
      trees: Math.ceil(rows / longestPath),
      longestPath,
      recompute: false,
      sequences: 0,
      cacheRows: 0,
    };
    if (planner.plan(shape).total <= planner.memoryBytes) return rows;
  }
  return recomputed;
}

/** Cuts the pairs of one optimiser step into batches that fit, in order; a pair stays whole. */
export function microBatches<T extends TokenizedPair>(
  pairs: readonly T[],
  budget: number,
  { planner, sharePrompt }: MicroBatchOptions,
): T[][] {
  const treesOf = (pair: T) => pairTrees(pair, 0, sharePrompt);
  const rowsOf = (pair: T) => treesOf(pair).reduce((rows, tree) => rows + treeRows(tree), 0);
  return groupByRows(pairs, rowsOf, budget).flatMap((group) =>
    splitToFit(
      group,
      planner,
      (part) => jobShape("train", part.flatMap(treesOf), true),
      (pair) => `pair "${pair.id}"`,
      "raise --memory, or lower --max-length",
    ),
  );
}

/** @param pairWeight 1 / pairs of the optimiser step */
export function nativePairs(
  pairs: readonly ReferencedPair[],
  adapter: number,
  sharePrompt: boolean,
  pairWeight: number,
): NativePairs {
  const trees = pairs.flatMap((pair) => pairTrees(pair, adapter, sharePrompt));
  const packed = packForest(trees);
  const owner: number[] = [];
  pairs.forEach((pair, index) => {
    for (let n = 0; n < pair.chosen.length; n++) owner.push(2 * index);
    for (let n = 0; n < pair.rejected.length; n++) owner.push(2 * index + 1);
  });
  return {
    forest: packed.forest,
    responses: Int32Array.from(packed.order, (index) => owner[index]!),
    reference: Float64Array.from(pairs.flatMap((pair) => [pair.chosenReference, pair.rejectedReference])),
    pairWeight,
  };
}
