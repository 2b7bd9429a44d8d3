/** Scores trees in batches that fit the memory limit, and hands the values back in the trees' own order. */
import { withCancel } from "./cancel.js";
import { groupByRows, jobShape, packForest, splitToFit, type Tree, treeRows, unpackTargets } from "./forest.js";
import type { Model } from "./model.js";

export interface ScoreTreesOptions {
  /** Rows a batch aims at, from `rowBudget`. */
  budget: number;
  signal?: AbortSignal | undefined;
  /** What tree `index` is called where it alone is too large. */
  nameOf: (index: number) => string;
  /** The option that would help then. */
  remedy: string;
  /** After each batch, the trees scored so far. */
  onBatch?: (trees: number) => void;
}

export interface TreeScores {
  /** Log-probabilities of all targets, tree by tree, in the order in which each tree names them. */
  logprobs: Float64Array;
  /** 1 where the target is the arg max. */
  greedy: Uint8Array;
}

export async function scoreTrees(
  model: Model,
  trees: readonly Tree[],
  options: ScoreTreesOptions,
): Promise<TreeScores> {
  const total = trees.reduce((sum, tree) => sum + tree.targets.length, 0);
  const scores: TreeScores = { logprobs: new Float64Array(total), greedy: new Uint8Array(total) };
  const indexed = trees.map((tree, index) => ({ tree, index }));
  let target = 0;
  let done = 0;
  for (const group of groupByRows(indexed, ({ tree }) => treeRows(tree), options.budget)) {
    const batches = splitToFit(
      group,
      model.planner,
      (part) =>
        jobShape(
          "score",
          part.map(({ tree }) => tree),
        ),
      ({ index }) => options.nameOf(index),
      options.remedy,
    );
    for (const batch of batches) {
      const packed = packForest(batch.map(({ tree }) => tree));
      const native = await withCancel(options.signal, (cancel) => model.native.score(packed.forest, cancel));
      scores.logprobs.set(unpackTargets(native.logprobs, packed.order), target);
      scores.greedy.set(unpackTargets(native.greedy, packed.order), target);
      target += packed.order.length;
      done += batch.length;
      options.onBatch?.(done);
    }
  }
  return scores;
}
