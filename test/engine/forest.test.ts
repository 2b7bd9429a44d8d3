/** Packing trees into batches. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  contextTree,
  groupByRows,
  jobShape,
  longestPath,
  type Planner,
  packForest,
  rowBudget,
  splitToFit,
  treeRows,
  unpackTargets,
} from "#lib/engine/forest.js";
import { microBatches, nativePairs, pairTrees } from "#lib/engine/pair-batch.js";

describe("contextTree", () => {
  it("computes the context once and has no row for a continuation's last token", () => {
    const tree = contextTree([1, 2, 3], [[4, 5], [6]], 7);
    assert.deepEqual(tree.spans, [
      { parent: -1, tokens: [1, 2, 3] },
      { parent: 0, tokens: [4] },
    ]);
    assert.deepEqual(tree.targets, [
      { span: 0, offset: 2, token: 4 },
      { span: 1, offset: 0, token: 5 },
      { span: 0, offset: 2, token: 6 },
    ]);
    assert.equal(treeRows(tree), 4);
    assert.equal(longestPath(tree), 4);
  });
});

describe("packForest", () => {
  const trees = [contextTree([1, 2], [[3, 4, 5], [6]], 0), contextTree([7], [[8], [9, 10]], 2)];

  it("lays spans and rows one after the other, trees with their adapters", () => {
    const { forest, targetBegins } = packForest(trees);
    assert.deepEqual(Array.from(forest.tokens), [1, 2, 3, 4, 7, 9]);
    assert.deepEqual(Array.from(forest.spans), [-1, 0, 2, 0, 2, 2, -1, 4, 1, 2, 5, 1]);
    assert.deepEqual(Array.from(forest.adapters), [0, 2]);
    assert.deepEqual(Array.from(targetBegins), [0, 4, 7]);
  });

  it("sorts targets by row and knows the way back", () => {
    const { forest, order } = packForest(trees);
    const rows = Array.from(forest.targets).filter((_, index) => index % 2 === 0);
    const tokens = Array.from(forest.targets).filter((_, index) => index % 2 === 1);
    assert.deepEqual(rows, [1, 1, 2, 3, 4, 4, 5]);
    assert.deepEqual(tokens, [3, 6, 4, 5, 8, 9, 10]);
    // Each tree's own targets, completion by completion.
    assert.deepEqual(Array.from(unpackTargets(tokens, order)), [3, 4, 5, 6, 8, 9, 10]);
  });
});

/** One mebibyte a row, on top of 100 of weights. */
const planner = (mebibytes: number): Planner => ({
  memoryBytes: mebibytes * 2 ** 20,
  maxPositions: 512,
  plan: ({ rows }) => {
    const activations = rows * 2 ** 20;
    return {
      weights: 100 * 2 ** 20,
      adapters: 0,
      optimiser: 0,
      activations,
      cache: 0,
      total: activations + 100 * 2 ** 20,
    };
  },
});

describe("batches", () => {
  it("group consecutive items up to a number of rows, larger ones alone", () => {
    assert.deepEqual(
      groupByRows([3, 4, 5, 20, 1, 2], (rows) => rows, 8),
      [[3, 4], [5], [20], [1, 2]],
    );
    assert.deepEqual(
      groupByRows([], () => 1, 8),
      [],
    );
  });

  it("take half, a quarter, … of the rows aimed at under a memory limit", () => {
    assert.equal(rowBudget(planner(4096), "score", 1024), 1024);
    assert.equal(rowBudget(planner(400), "score", 1024), 256);
    assert.throws(() => rowBudget(planner(100), "score", 1024), /even one token needs 101.* of the 100 MiB allowed/);
  });

  it("are halved until they fit, in order", () => {
    const trees = [10, 20, 30, 5].map((length) => contextTree(new Array(length).fill(1), [[1]], 0));
    const split = splitToFit(
      trees,
      planner(135),
      (part) => jobShape("score", part),
      () => "",
      "",
    );
    assert.deepEqual(
      split.map((part) => part.map(treeRows)),
      [
        [10, 20],
        [30, 5],
      ],
    );
  });

  it("name the terms and the remedy where a single tree is too large", () => {
    const tree = contextTree(new Array(300).fill(1), [[1]], 0);
    assert.throws(
      () =>
        splitToFit(
          [tree],
          planner(200),
          (part) => jobShape("score", part),
          () => 'request "q"',
          "raise --memory",
        ),
      {
        name: "OutOfMemoryError",
        message:
          'request "q" needs 400 MiB (weights 100 MiB, activations 300 MiB) of the 200 MiB allowed; raise --memory',
      },
    );
  });
});

describe("pairs", () => {
  const pair = { id: "p", prompt: [1, 2], chosen: [3, 4], rejected: [5], chosenReference: -1, rejectedReference: -2 };

  it("are one tree with a shared prompt, and give every target to its response", () => {
    const { forest, responses, reference, pairWeight } = nativePairs(
      [pair, { ...pair, rejected: [6, 7] }],
      3,
      true,
      0.5,
    );
    assert.deepEqual(Array.from(forest.tokens), [1, 2, 3, 1, 2, 3, 6]);
    assert.deepEqual(Array.from(forest.targets), [1, 3, 1, 5, 2, 4, 4, 3, 4, 6, 5, 4, 6, 7]);
    assert.deepEqual(Array.from(responses), [0, 1, 0, 2, 3, 2, 3]);
    assert.deepEqual(Array.from(reference), [-1, -2, -1, -2]);
    assert.deepEqual(Array.from(forest.adapters), [3, 3]);
    assert.equal(pairWeight, 0.5);
  });

  it("are two trees without, with the same targets", () => {
    const trees = pairTrees(pair, 3, false);
    assert.deepEqual(
      trees.map((tree) => tree.spans),
      [[{ parent: -1, tokens: [1, 2, 3] }], [{ parent: -1, tokens: [1, 2] }]],
    );
    const { forest, responses } = nativePairs([pair], 3, false, 1);
    assert.deepEqual(Array.from(forest.targets), [1, 3, 2, 4, 4, 5]);
    assert.deepEqual(Array.from(responses), [0, 0, 1]);
  });

  it("stay whole and in order in micro-batches", () => {
    const pairs = [4, 6, 3, 30].map((length, index) => ({
      ...pair,
      id: `${index}`,
      prompt: new Array(length).fill(1),
    }));
    const batches = microBatches(pairs, 12, { planner: planner(4096), sharePrompt: true });
    assert.deepEqual(
      batches.map((batch) => batch.map(({ id }) => id)),
      [["0", "1"], ["2"], ["3"]],
    );
  });
});
