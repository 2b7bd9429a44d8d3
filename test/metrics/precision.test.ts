/** What judges an extractor: against published values, against definitions, and for coverage of a known truth. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cohenKappa, fleissKappa } from "#lib/metrics/agreement.js";
import { brierScore, expectedCalibrationError, reliability } from "#lib/metrics/calibration.js";
import { bootstrapScores, confusionOf, type Judged, scoresOf, wilson } from "#lib/metrics/classification.js";
import { makePickItem, pickPrecision, randomPickPrecision } from "#lib/metrics/pick-target.js";
import { generator } from "../curation/support.js";

function assertNear(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(!(Math.abs(actual - expected) > tolerance) && !Number.isNaN(actual), `${what}: ${actual}, not ${expected}`);
}

const repeat = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item);

describe("wilson", () => {
  it("has the intervals of Newcombe, Statistics in Medicine 17 (1998), table I, method 3", () => {
    for (const [hits, n, low, high] of [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ] as const) {
      const interval = wilson(hits, n);
      assertNear(interval.low, low, 5.1e-5, `low of ${hits}/${n}`);
      assertNear(interval.high, high, 5.1e-5, `high of ${hits}/${n}`);
    }
  });

  it("ends where the score test at that confidence does", () => {
    const { value, low, high } = wilson(7, 31, 0.9);
    for (const p of [low, high])
      assertNear(Math.abs(value - p) / Math.sqrt((p * (1 - p)) / 31), 1.6448536269514722, 1e-12, `z at ${p}`);
  });

  it("says that nothing is known without trials, and refuses what is no proportion", () => {
    assert.deepEqual(wilson(0, 0), { value: Number.NaN, low: 0, high: 1, n: 0 });
    for (const [hits, n] of [
      [3, 2],
      [-1, 2],
      [1.5, 2],
      [Number.NaN, 2],
    ] as const)
      assert.throws(() => wilson(hits, n), RangeError);
  });
});

describe("precision, recall and F1", () => {
  const items: Judged[] = [
    ...repeat(30, { truth: true, predicted: true }),
    ...repeat(10, { truth: false, predicted: true }),
    ...repeat(20, { truth: true, predicted: false }),
    ...repeat(40, { truth: false, predicted: false }),
  ];

  it("are what their definitions say", () => {
    assert.deepEqual(confusionOf(items), { truePositive: 30, falsePositive: 10, falseNegative: 20, trueNegative: 40 });
    const { precision, recall, f1 } = scoresOf(confusionOf(items));
    assert.deepEqual([precision, recall], [0.75, 0.6]);
    assertNear(f1, 2 / (1 / 0.75 + 1 / 0.6), 1e-15, "harmonic mean");
    assert.ok(Number.isNaN(scoresOf(confusionOf([{ truth: false, predicted: false }])).f1));
  });

  it("have bootstrap intervals as wide as the normal approximation's", () => {
    const { precision, recall } = bootstrapScores(items, { resamples: 4000, seed: 1 });
    for (const [name, estimate] of Object.entries({ precision, recall })) {
      const expected = 2 * 1.96 * Math.sqrt((estimate.value * (1 - estimate.value)) / estimate.n);
      // Monte Carlo error of a width from 4,000 resamples is some 3 %; the denominator varies too.
      assertNear((estimate.high - estimate.low) / expected, 1, 0.1, name);
    }
  });

  it("have intervals that copies of an item in its cluster do not narrow", () => {
    const copied = items.flatMap((item, index) => repeat(5, { ...item, cluster: `c${index}` }));
    const [once, fiveTimes] = [bootstrapScores(items, { seed: 3 }), bootstrapScores(copied, { seed: 3 })];
    for (const name of ["precision", "recall", "f1"] as const)
      for (const end of ["low", "high"] as const) assertNear(fiveTimes[name][end], once[name][end], 1e-12, name);
    const apart = bootstrapScores(
      copied.map(({ cluster: _, ...item }) => item),
      { seed: 3 },
    );
    assert.ok(apart.f1.high - apart.f1.low < 0.6 * (once.f1.high - once.f1.low));
  });

  it("have intervals that hold the true F1 in 91 to 98 % of samples of 150", () => {
    const random = generator(5);
    const [base, sensitivity, specificity] = [0.3, 0.7, 0.9];
    const [tp, fp, fn] = [base * sensitivity, (1 - base) * (1 - specificity), base * (1 - sensitivity)];
    const truth = (2 * tp) / (2 * tp + fp + fn);
    let held = 0;
    for (let sample = 0; sample < 300; sample++) {
      const drawn = Array.from({ length: 150 }, () => {
        const positive = random() < base;
        return { truth: positive, predicted: random() < (positive ? sensitivity : 1 - specificity) };
      });
      const { low, high } = bootstrapScores(drawn, { resamples: 300, seed: sample }).f1;
      held += low <= truth && truth <= high ? 1 : 0;
    }
    // Three standard errors of 300 samples around 95 %.
    assert.ok(held >= 273 && held <= 296, `${held} of 300`);
  });
});

describe("kappa", () => {
  it("of Cohen has its well-known examples' values", () => {
    // Worked examples of the encyclopaedia's article on Cohen's kappa: yes-yes, yes-no, no-yes, no-no.
    for (const [both, firstOnly, secondOnly, neither, kappa] of [
      [20, 5, 10, 15, 0.4],
      [45, 15, 25, 15, 0.1304],
      [25, 35, 5, 35, 0.2593],
    ] as const) {
      const first = [...repeat(both + firstOnly, "yes"), ...repeat(secondOnly + neither, "no")];
      const second = [
        ...repeat(both, "yes"),
        ...repeat(firstOnly, "no"),
        ...repeat(secondOnly, "yes"),
        ...repeat(neither, "no"),
      ];
      assertNear(cohenKappa(first, second), kappa, 5.1e-5, `${both}, ${firstOnly}, ${secondOnly}, ${neither}`);
    }
    const first = ["yes", "no"];
    assert.equal(cohenKappa(first, first), 1);
    assert.ok(Number.isNaN(cohenKappa(["a"], ["a"])));
    assert.throws(() => cohenKappa(["a"], []), RangeError);
  });

  // The worked example of the encyclopaedia's article on Fleiss' kappa: 10 items, 14 raters, 5 categories, 0.210.
  const table = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
  ];

  it("of Fleiss has its well-known example's value", () => {
    const ratings = table.map((counts) => counts.flatMap((count, label) => repeat(count, String(label))));
    assertNear(fleissKappa(ratings), 0.21, 5e-4, "kappa");
    assert.throws(() => fleissKappa([["a", "b"], ["a"]]), RangeError);
    assert.throws(() => fleissKappa([["a"]]), RangeError);
  });

  it("is near 0 where labels are drawn without looking", () => {
    const random = generator(8);
    const label = (): string => (random() < 0.3 ? "a" : "b");
    const ratings = Array.from({ length: 4000 }, () => [label(), label(), label()]);
    assertNear(fleissKappa(ratings), 0, 0.03, "Fleiss");
    assertNear(
      cohenKappa(
        ratings.map(([first]) => first!),
        ratings.map(([, second]) => second!),
      ),
      0,
      0.05,
      "Cohen",
    );
  });
});

describe("calibration", () => {
  const forecasts = [
    ...repeat(8, { probability: 0.9, truth: true }),
    ...repeat(2, { probability: 0.9, truth: false }),
    ...repeat(5, { probability: 0.25, truth: true }),
    ...repeat(5, { probability: 0.25, truth: false }),
  ];

  it("has the Brier score and calibration error worked out by hand", () => {
    // (8 · 0.01 + 2 · 0.81 + 5 · 0.5625 + 5 · 0.0625) / 20 and (10 · |0.9 − 0.8| + 10 · |0.25 − 0.5|) / 20.
    assertNear(brierScore(forecasts), 0.24125, 1e-12, "Brier score");
    assertNear(expectedCalibrationError(forecasts), 0.175, 1e-12, "calibration error");
  });

  it("puts every forecast into one bin, the certain ones too", () => {
    const bins = reliability([...forecasts, { probability: 1, truth: true }, { probability: 0, truth: false }]);
    assert.deepEqual(
      bins.map(({ n }) => n),
      [1, 0, 10, 0, 0, 0, 0, 0, 0, 11],
    );
    for (const probability of [1.1, -0.1, Number.NaN])
      assert.throws(() => brierScore([{ probability, truth: true }]), RangeError);
  });

  it("has hardly an error where the truth is drawn from the forecasts", () => {
    const random = generator(9);
    const drawn = Array.from({ length: 20_000 }, () => {
      const probability = random();
      return { probability, truth: random() < probability };
    });
    assert.ok(!(expectedCalibrationError(drawn) > 0.02));
    // E (p − y)² = E p (1 − p) = 1/6 for uniform p.
    assertNear(brierScore(drawn), 1 / 6, 0.005, "Brier score");
  });
});

describe("picking the target", () => {
  const values = Array.from({ length: 17 }, (_, index) => `v${index}`);

  it("shows the target once among distractors that the response does not have, at any place, always the same", () => {
    const places = [0, 0, 0, 0];
    const seen = new Set<string>();
    for (let index = 0; index < 2000; index++) {
      const item = makePickItem({ id: `${index}`, target: "v3", exclude: ["v4"] }, values, { seed: 1, index });
      assert.equal(new Set(item.labels).size, 4);
      assert.ok(!item.labels.includes("v4"));
      const place = item.labels.indexOf("v3");
      places[place]!++;
      for (const label of item.labels) seen.add(label);
      if (index < 20)
        assert.deepEqual(
          makePickItem({ id: `${index}`, target: "v3", exclude: ["v4"] }, values, { seed: 1, index }),
          item,
        );
    }
    // Four standard deviations of a binomial of 2,000 at 1/4.
    for (const count of places) assertNear(count, 500, 78, `places ${places}`);
    assert.equal(seen.size, 16);
    assert.throws(() => makePickItem({ id: "x", target: "v0" }, ["v0", "v1"], { seed: 1, index: 0 }), RangeError);
  });

  it("has the random baselines of k labels out of 17, by simulation too", () => {
    assertNear(randomPickPrecision(1, 17), 0.0589, 1e-3, "k = 1");
    assertNear(randomPickPrecision(5, 17), 0.293, 2e-3, "k = 5");
    const random = generator(4);
    for (const k of [1, 5]) {
      const items = Array.from({ length: 20_000 }, () => ({
        target: values[Math.floor(random() * 17)]!,
        picked: [...values]
          .map((value) => ({ value, at: random() }))
          .sort((a, b) => a.at - b.at)
          .slice(0, k)
          .map(({ value }) => value),
      }));
      const { value, low, high, n } = pickPrecision(items);
      assert.equal(n, 20_000);
      assertNear(value, randomPickPrecision(k, 17), 4 * Math.sqrt(0.25 / n), `k = ${k}`);
      assert.ok(low < value && value < high);
    }
    assert.throws(() => randomPickPrecision(5, 4), RangeError);
  });
});
