/**
 * The arithmetic that jobs of a model take, from its shape: products with the matrices, the head and attention, a
 * multiply-add as two. Norms, activations and LoRA terms, below one percent together, are not counted, nor is what is
 * computed twice to save memory.
 */
import type { Tree } from "../engine/forest.js";
import type { NativeConfig } from "../native.js";

/** Numbers of each matrix of a layer. */
function matrices({ channels, heads, kvHeads, headDim, feedForward }: NativeConfig) {
  const attention = channels * heads * headDim;
  return { q: attention, kv: 2 * channels * kvHeads * headDim, o: attention, mlp: 3 * channels * feedForward };
}

/** What there is to compute of some trees. */
interface Extent {
  rows: number;
  /** Rows with a target: the last layer computes no others, except their keys and values. */
  targetRows: number;
  /** Keys seen by all rows together, and by those with a target. */
  seen: number;
  targetSeen: number;
}

function extentOf(trees: readonly Tree[]): Extent {
  const extent: Extent = { rows: 0, targetRows: 0, seen: 0, targetSeen: 0 };
  for (const { spans, targets } of trees) {
    const starts: number[] = [];
    for (const [index, { parent }] of spans.entries())
      starts[index] = parent < 0 ? 0 : starts[parent]! + spans[parent]!.tokens.length;
    const targeted = new Set(targets.map(({ span, offset }) => `${span} ${offset}`));
    for (const [index, { tokens }] of spans.entries()) {
      for (let offset = 0; offset < tokens.length; offset++) {
        const keys = starts[index]! + offset + 1;
        extent.rows++;
        extent.seen += keys;
        if (!targeted.has(`${index} ${offset}`)) continue;
        extent.targetRows++;
        extent.targetSeen += keys;
      }
    }
  }
  return extent;
}

/** Multiply-adds of the matrices, and query-key-channel products of attention, each of one pass through the layers. */
function pass(config: NativeConfig, { rows, targetRows, seen, targetSeen }: Extent) {
  const { q, kv, o, mlp } = matrices(config);
  const whole = config.layers - 1;
  return {
    linear: whole * rows * (q + kv + o + mlp) + rows * kv + targetRows * (q + o + mlp),
    attention: config.heads * config.headDim * (whole * seen + targetSeen),
  };
}

/** Scores of `trees`: one pass and the head. */
export function scoreFlops(config: NativeConfig, trees: readonly Tree[]): number {
  const extent = extentOf(trees);
  const { linear, attention } = pass(config, extent);
  return 2 * linear + 4 * attention + 2 * extent.targetRows * config.channels * config.vocabulary;
}

/** Forward and backward of `trees`; frozen matrices have a gradient by their input only, the first layer's not even that. */
export function trainFlops(config: NativeConfig, trees: readonly Tree[]): number {
  const extent = extentOf(trees);
  const { linear, attention } = pass(config, extent);
  const { q, kv } = matrices(config);
  const notNeeded = extent.rows * (q + kv);
  const head = 4 * extent.targetRows * config.channels * config.vocabulary; // logits, and the expected row
  return 2 * (2 * linear - notNeeded) + (4 + 10) * attention + head;
}
