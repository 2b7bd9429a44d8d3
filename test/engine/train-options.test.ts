/** Training options, and what a resumed run compares. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeDifference, type RunIdentity } from "#lib/engine/checkpoint.js";
import { pairLoss } from "#lib/engine/loss.js";
import { trainSettings } from "#lib/engine/train-options.js";

describe("trainSettings", () => {
  it("has the documented defaults", () => {
    const { beta, learningRate, epochs, steps, batchPairs, schedule, warmup } = trainSettings({});
    assert.deepEqual(
      [beta, learningRate, epochs, steps, batchPairs, schedule, warmup],
      [0.1, 1e-4, 5, null, 16, "cosine", 0.1],
    );
  });

  it("names the option that makes no sense, and what was expected", () => {
    const cases: [Parameters<typeof trainSettings>[0], RegExp][] = [
      [{ beta: 0 }, /^beta 0: give a number above 0/],
      [{ loss: "robust", labelSmoothing: 0.5 }, /^label-smoothing 0.5/],
      [{ warmup: 1.5 }, /^warmup 1.5/],
      [{ batchPairs: 0 }, /^batch-pairs 0/],
      [{ learningRate: Number.NaN }, /^learning-rate NaN/],
      [{ epochs: 1, steps: 1 }, /^epochs and steps/],
      [{ resume: true }, /^resume needs an output folder/],
      [{ schedule: "step" as "cosine" }, /^schedule "step"/],
    ];
    for (const [options, message] of cases)
      assert.throws(() => trainSettings(options), { name: "UsageError", message });
  });
});

describe("describeDifference", () => {
  const identity: RunIdentity = {
    settings: trainSettings({}),
    model: "m",
    startAdapter: "s",
    referenceAdapter: "s",
    data: "d",
    backend: "cpu",
  };

  it("finds none between equal runs", () => {
    assert.equal(describeDifference(identity, structuredClone(identity)), null);
  });

  it("names each option with both values, and each input", () => {
    const other = { ...identity, settings: { ...identity.settings, beta: 0.2 }, data: "e" };
    assert.equal(describeDifference(identity, other), "beta was 0.1 and is 0.2, the pairs differ");
  });
});

describe("pairLoss", () => {
  const pair = {
    chosen: -10,
    rejected: -12,
    chosenReference: -11,
    rejectedReference: -11,
    chosenTokens: 4,
    rejectedTokens: 5,
  };
  const loss = (kind: Parameters<typeof pairLoss>[0]["kind"], more = {}) => ({
    kind,
    beta: 0.5,
    labelSmoothing: 0,
    rpoAlpha: 0,
    ...more,
  });
  const near = (actual: number, expected: number) => {
    if (!(Math.abs(actual - expected) <= 1e-14)) assert.fail(`${actual} is not ${expected}`);
  };
  // h = (−10 + 11) − (−12 + 11) = 2, beta h = 1.
  const good = Math.log(1 + Math.exp(-1));
  const bad = Math.log(1 + Math.exp(1));

  it("is each loss's formula", () => {
    near(pairLoss(loss("sigmoid"), pair), good);
    near(pairLoss(loss("sigmoid", { labelSmoothing: 0.1, rpoAlpha: 2 }), pair), 0.9 * good + 0.1 * bad + 2 * 2.5);
    near(pairLoss(loss("robust", { labelSmoothing: 0.1 }), pair), (0.9 * good - 0.1 * bad) / 0.8);
    near(pairLoss(loss("hinge"), pair), 0);
    near(pairLoss(loss("ipo"), pair), (1 / 4 + 1 / 5 - 1) ** 2);
    near(pairLoss(loss("sft"), pair), 2.5);
  });

  it("is exactly ln 2 where policy and reference agree", () => {
    assert.equal(pairLoss(loss("sigmoid"), { ...pair, chosenReference: -10, rejectedReference: -12 }), Math.LN2);
  });
});
