/** The order of training: random numbers, permutations, steps, learning rates. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { drawBelow, philox } from "#lib/engine/random.js";
import { epochOrder, Sampler } from "#lib/engine/sampler.js";
import { scheduleFactor, warmupSteps } from "#lib/engine/schedule.js";

describe("random numbers", () => {
  it("are Philox4x32-10 by its published known answers", () => {
    // Random123's kat_vectors.
    const hex = (values: number[]) => values.map((value) => value.toString(16).padStart(8, "0")).join(" ");
    assert.equal(hex(philox([0, 0, 0, 0], [0, 0])), "6627e8d5 e169c58d bc57ac4c 9b00dbd8");
    const ones = 0xffffffff;
    assert.equal(hex(philox([ones, ones, ones, ones], [ones, ones])), "408f276d 41c83b0e a20bc7c6 6d5451fd");
    assert.equal(
      hex(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])),
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    );
  });

  it("fall below their bound, evenly", () => {
    const counts = new Array<number>(7).fill(0);
    for (let index = 0; index < 7000; index++) counts[drawBelow(7, 3, 0, index)]!++;
    for (const count of counts) assert.ok(Math.abs(count - 1000) < 5 * Math.sqrt(1000), `${counts}`);
  });
});

describe("Sampler", () => {
  it("visits every pair once an epoch, in another order each epoch and for each seed", () => {
    const sorted = (order: Uint32Array) => Array.from(order).sort((a, b) => a - b);
    const all = Array.from({ length: 100 }, (_, index) => index);
    const orders = [epochOrder(100, 1, 0), epochOrder(100, 1, 1), epochOrder(100, 2, 0)];
    for (const order of orders) assert.deepEqual(sorted(order), all);
    assert.notDeepEqual(orders[0], orders[1]);
    assert.notDeepEqual(orders[0], orders[2]);
    assert.deepEqual(epochOrder(100, 1, 0), orders[0]);
  });

  it("gives every place the same chance", () => {
    // Pair 0's place over 2,000 seeds: each of 5 places 400 times, standard deviation 18.
    const places = new Array<number>(5).fill(0);
    for (let seed = 0; seed < 2000; seed++) places[epochOrder(5, seed, 0).indexOf(0)]!++;
    for (const count of places) assert.ok(Math.abs(count - 400) < 90, `${places}`);
  });

  it("knows the pairs of any step without those before it", () => {
    const options = { count: 10, pairsPerStep: 4, shuffle: true, seed: 5 };
    const sampler = new Sampler(options);
    assert.equal(sampler.stepsPerEpoch, 3);
    const steps = Array.from({ length: 6 }, (_, step) => Array.from(sampler.pairsOfStep(step)));
    assert.deepEqual(
      steps.map((pairs) => pairs.length),
      [4, 4, 2, 4, 4, 2],
    );
    assert.deepEqual(Array.from(new Sampler(options).pairsOfStep(4)), steps[4]);
    assert.deepEqual(steps.slice(0, 3).flat(), Array.from(epochOrder(10, 5, 0)));
  });

  it("keeps the order of the file when told not to shuffle", () => {
    const sampler = new Sampler({ count: 5, pairsPerStep: 2, shuffle: false, seed: 5 });
    assert.deepEqual(
      [0, 1, 2, 3].map((step) => Array.from(sampler.pairsOfStep(step))),
      [[0, 1], [2, 3], [4], [0, 1]],
    );
  });
});

describe("scheduleFactor", () => {
  // Values of transformers 5.23 (get_*_schedule_with_warmup, 10 steps, 3 of warm-up), by its formulas:
  // cosine 0.5 (1 + cos(pi (step - 3) / 7)), linear (10 - step) / 7.
  it("warms up from 0 as transformers does", () => {
    for (const kind of ["cosine", "linear", "constant"] as const) {
      assert.deepEqual(
        [0, 1, 2, 3].map((step) => scheduleFactor(kind, step, 3, 10)),
        [0, 1 / 3, 2 / 3, 1],
      );
    }
  });

  it("falls by a cosine, by a line, or not at all", () => {
    const near = (actual: number, expected: number) => {
      if (!(Math.abs(actual - expected) <= 1e-15)) assert.fail(`${actual} is not ${expected}`);
    };
    near(scheduleFactor("cosine", 5, 3, 10), 0.8117449009293668);
    near(scheduleFactor("cosine", 9, 3, 10), 0.04951556604879043);
    near(scheduleFactor("linear", 5, 3, 10), 5 / 7);
    near(scheduleFactor("linear", 9, 3, 10), 1 / 7);
    near(scheduleFactor("constant", 9, 3, 10), 1);
    near(scheduleFactor("cosine", 0, 0, 10), 1);
  });

  it("takes a warm-up below 1 as a fraction, rounded up, and from 1 on as steps", () => {
    assert.equal(warmupSteps(0.1, 25), 3);
    assert.equal(warmupSteps(0, 25), 0);
    assert.equal(warmupSteps(1, 25), 1);
    assert.equal(warmupSteps(7, 25), 7);
  });
});
