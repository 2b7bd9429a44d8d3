/** The arithmetic that a model's jobs are said to take, against counts by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { scoreFlops, trainFlops } from "#lib/bench/work.js";
import { contextTree } from "#lib/engine/forest.js";
import type { NativeConfig } from "#lib/native.js";

const CONFIG = {
  layers: 2,
  channels: 2,
  heads: 1,
  kvHeads: 1,
  headDim: 2,
  feedForward: 3,
  vocabulary: 5,
} as NativeConfig;

// Three rows, which see 1, 2 and 3 keys; the last two have targets. A layer has 4 + 8 + 4 + 18 numbers.
const TREE = contextTree([1, 2], [[3, 4]], 0);
const LINEAR = 3 * 34 + (3 * 8 + 2 * 26);
const ATTENTION = 2 * (1 + 2 + 3) + 2 * (2 + 3);

test("scoring takes one pass, whose last layer computes the rows with targets, and the head", () => {
  assert.equal(scoreFlops(CONFIG, [TREE]), 2 * LINEAR + 4 * ATTENTION + 2 * 2 * 2 * 5);
});

test("training takes the gradients by the inputs too, the first layer's attention inputs excepted", () => {
  const products = 2 * LINEAR + 2 * (LINEAR - 3 * 12);
  assert.equal(trainFlops(CONFIG, [TREE]), products + 14 * ATTENTION + 4 * 2 * 2 * 5);
});
