/**
 * The order in which training visits its pairs: a fresh Fisher–Yates permutation an epoch, derived from
 * (seed, epoch) alone, cut into optimiser steps. Any step can be asked for without the ones before it,
 * which is what makes a resumed run see the same pairs as an uninterrupted one.
 */
import { drawBelow } from "./random.js";

/** The order of `count` pairs in `epoch` (from 0). */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = drawBelow(last + 1, seed, epoch, last);
    const kept = order[last]!;
    order[last] = order[other]!;
    order[other] = kept;
  }
  return order;
}

export interface SamplerOptions {
  /** Pairs to draw from. */
  count: number;
  /** Pairs an optimiser step (batch_pairs × accumulate); the last step of an epoch takes what is left. */
  pairsPerStep: number;
  shuffle: boolean;
  seed: number;
}

export class Sampler {
  readonly stepsPerEpoch: number;
  private readonly options: SamplerOptions;
  private cached: { epoch: number; order: Uint32Array } | undefined;

  constructor(options: SamplerOptions) {
    this.options = options;
    this.stepsPerEpoch = Math.ceil(options.count / options.pairsPerStep);
  }

  /** The pairs of optimiser step `step` (from 0), in order. */
  pairsOfStep(step: number): Uint32Array {
    const epoch = Math.floor(step / this.stepsPerEpoch);
    const begin = (step % this.stepsPerEpoch) * this.options.pairsPerStep;
    return this.orderOf(epoch).slice(begin, begin + this.options.pairsPerStep);
  }

  private orderOf(epoch: number): Uint32Array {
    const { count, shuffle, seed } = this.options;
    if (this.cached?.epoch !== epoch) {
      const order = shuffle ? epochOrder(count, seed, epoch) : Uint32Array.from({ length: count }, (_, index) => index);
      this.cached = { epoch, order };
    }
    return this.cached.order;
  }
}
