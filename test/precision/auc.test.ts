/** The area under the ROC curve against counting couples, and its intervals against simulated truth. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bootstrapAuc, type Ranked } from "#lib/precision/auc.js";
import { generator } from "../curation/support.js";

function byCouples(items: readonly Ranked[]): number {
  let [wins, couples] = [0, 0];
  for (const yes of items.filter(({ truth }) => truth))
    for (const no of items.filter(({ truth }) => !truth)) {
      couples++;
      wins += yes.score > no.score ? 1 : yes.score === no.score ? 0.5 : 0;
    }
  return wins / couples;
}

describe("the area under the ROC curve", () => {
  test("is the share of couples in which the true one ranks higher, ties counted half", () => {
    const random = generator(1);
    for (let round = 0; round < 50; round++) {
      const items = Array.from({ length: 20 }, () => ({ truth: random() < 0.4, score: Math.floor(random() * 8) / 8 }));
      const { value } = bootstrapAuc(items, { resamples: 0 });
      const expected = byCouples(items);
      assert.ok(Object.is(value, expected) || Math.abs(value - expected) <= 1e-12, `${value}, not ${expected}`);
    }
  });

  test("is unknown where all are true, and has no interval where the ranking is perfect", () => {
    assert.ok(Number.isNaN(bootstrapAuc([{ truth: true, score: 1 }]).value));
    const perfect = bootstrapAuc([
      { truth: true, score: 1 },
      { truth: false, score: 0 },
    ]);
    assert.equal(perfect.value, 1);
    assert.ok(Number.isNaN(perfect.low) && Number.isNaN(perfect.high));
  });

  test("has intervals that hold the true area in about 95 of 100 samples, and wider ones where items come in clusters", () => {
    const random = generator(2);
    // Scores uniform on [0, 1] and on [0.3, 1.3]: the area is 1 − 0.7²/2.
    const area = 1 - 0.7 ** 2 / 2;
    let held = 0;
    const rounds = 200;
    for (let round = 0; round < rounds; round++) {
      const items = Array.from({ length: 120 }, (_, index) => {
        const truth = index % 3 === 0;
        return { truth, score: random() + (truth ? 0.3 : 0) };
      });
      const { low, high } = bootstrapAuc(items, { resamples: 200, seed: round });
      if (low <= area && area <= high) held++;
    }
    // Binomial with mean 190 and deviation 3; percentile intervals of 120 items cover a little less.
    assert.ok(held >= 178 && held <= 198, String(held));
    const base = Array.from({ length: 40 }, (_, index) => ({
      truth: index % 2 === 0,
      score: random() + (index % 2 ? 0 : 0.2),
    }));
    const copies = base.flatMap((item, index) =>
      Array.from({ length: 10 }, () => ({ ...item, cluster: String(index) })),
    );
    const together = bootstrapAuc(copies, { seed: 1 });
    const alone = bootstrapAuc(
      copies.map(({ truth, score }) => ({ truth, score })),
      { seed: 1 },
    );
    assert.equal(together.value, alone.value);
    assert.ok(together.high - together.low > 2 * (alone.high - alone.low));
  });
});
