/** The figures against counting, simulated chance and extractors whose quality is known. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { wilson } from "#lib/metrics/classification.js";
import type { LabelledText } from "#lib/precision/labelled.js";
import { measurePrecision } from "#lib/precision/measure.js";
import type { Scores } from "#lib/values/extractor.js";
import { generator } from "../curation/support.js";

const NAMES = ["a", "b", "c", "d", "e", "f"];

function text(id: string, labels: Record<string, boolean>, cluster: string | null = null): LabelledText {
  return { id, prompt: "", response: id, labels: new Map(Object.entries(labels)), cluster };
}

function near(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual}, not ${expected}`);
}

const measure = (texts: LabelledText[], scores: (Scores | null)[], values = NAMES, resamples = 50) =>
  measurePrecision("x@1", texts, scores, values, { thresholdOf: () => 0.5, seed: 1, resamples });

/** Each value with its own share of yes. */
function randomTexts(count: number): LabelledText[] {
  const random = generator(3);
  return Array.from({ length: count }, (_, index) =>
    text(String(index), Object.fromEntries(NAMES.map((name, at) => [name, random() < 0.1 + 0.1 * at]))),
  );
}

describe("an extractor's report", () => {
  test("counts, by value, the texts that have a label and a score", () => {
    const report = measure(
      [
        text("1", { a: true, b: false }, "x"),
        text("2", { a: true }, "x"),
        text("3", { a: false }, "y"),
        text("4", { a: true }, "z"),
        text("5", { a: true }, "w"),
      ],
      [{ a: 0.9 }, { a: 0.2 }, { a: 0.5, b: 1 }, null, {}],
      ["a", "b", "c"],
    );
    assert.equal(report.texts, 4);
    assert.equal(report.clusters, 3);
    const [a, b, c] = report.values;
    assert.deepEqual([a!.texts, a!.positives, a!.found], [4, 3, 2]);
    assert.deepEqual([a!.scores.precision.value, a!.scores.recall.value, a!.scores.f1.value], [1 / 2, 1 / 3, 2 / 5]);
    // ((0.9 − 1)² + (0.2 − 1)² + 0.5² + 1²) / 4, and of always saying 3/4.
    near(a!.calibration!.brier, (0.01 + 0.64 + 0.25 + 1) / 4, 1e-12, "Brier score");
    near(a!.calibration!.brierOfShare, 0.1875, 1e-12, "Brier score of the share");
    // Four bins of one each: |0.9 − 1|, |0.2 − 1|, |0.5 − 0|, |0 − 1|.
    near(a!.calibration!.expectedError, (0.1 + 0.8 + 0.5 + 1) / 4, 1e-12, "calibration error");
    assert.equal(b!.calibration, null, "0 alone is no probability");
    assert.equal(c!.texts, 0);
  });

  test("has beside it what marks put on texts at random reach", () => {
    const texts = randomTexts(300);
    const random = generator(8);
    const mean = { precision: 0, recall: 0, f1: 0 };
    const rounds = 400;
    let expected = mean;
    for (let round = 0; round < rounds; round++) {
      const order = texts.map((_, index) => [random(), index] as const).sort((x, y) => x[0] - y[0]);
      const marked = new Set(order.slice(0, 90).map(([, index]) => index));
      const { scores, random: chance } = measure(
        texts,
        texts.map((_, index) => ({ d: marked.has(index) ? 1 : 0 })),
        ["d"],
        0,
      ).values[0]!;
      for (const name of ["precision", "recall", "f1"] as const) mean[name] += scores[name].value / rounds;
      expected = chance;
    }
    for (const name of ["precision", "recall", "f1"] as const) near(expected[name], mean[name], 0.01, name);
    const always = measure(
      texts,
      texts.map(() => ({ d: 1 })),
      ["d"],
      0,
    ).values[0]!;
    near(always.alwaysF1, always.scores.f1.value, 1e-12, "always yes");
  });

  test("has Wilson's interval of the clusters where all hit or none does", () => {
    const texts = ["x", "x", "y", "z"].map((cluster, index) => text(String(index), { a: index !== 3 }, cluster));
    const [all] = measure(texts, [{ a: 1 }, { a: 1 }, { a: 1 }, {}], ["a"]).values;
    const { low, high } = wilson(2, 2);
    assert.deepEqual(all!.scores.precision, { value: 1, low, high, n: 3 });
    assert.deepEqual(all!.scores.recall, { value: 1, low, high, n: 3 });
    assert.equal(all!.scores.f1.value, 1);
    assert.ok(Number.isNaN(all!.scores.f1.low));
    const [none] = measure(texts, [{}, {}, {}, {}], ["a"]).values;
    assert.ok(Number.isNaN(none!.scores.precision.value));
    assert.deepEqual(none!.scores.recall, { value: 0, low: 0, high: wilson(0, 2).high, n: 3 });
  });
});

describe("the pick-the-target test", () => {
  const texts = randomTexts(1500);
  const hitsOf = (score: (text: LabelledText, name: string) => number) => {
    const scores = texts.map((each) => Object.fromEntries(NAMES.map((name) => [name, score(each, name)])));
    return measure(texts, scores).picks;
  };

  test("is passed by who knows, failed by who knows the contrary", () => {
    const right = hitsOf(({ labels }, name) => Number(labels.get(name)));
    assert.deepEqual(
      right.map(({ name, k }) => [name, k]),
      [
        ["one of four", 1],
        ["k of all", 1],
        ["k of all", 5],
      ],
    );
    assert.equal(right[0]!.hits.value, 1);
    const wrong = hitsOf(({ labels }, name) => Number(!labels.get(name)));
    assert.equal(wrong[0]!.hits.value, 0);
    assert.ok(wrong[1]!.hits.value < 0.05);
  });

  test("is passed as often as chance says by who knows nothing, with or without an opinion", () => {
    const random = generator(5);
    for (const score of [() => 0, () => random()]) {
      for (const { hits, random: chance } of hitsOf(score))
        near(hits.value, chance, 4 * Math.sqrt((chance * (1 - chance)) / hits.n), "hits");
    }
    const chances = hitsOf(() => 0).map((pick) => pick.random);
    for (const [index, chance] of [1 / 4, 1 / 6, 5 / 6].entries()) near(chances[index]!, chance, 1e-12, "chance");
  });

  test("counts a target among the k best by rank", () => {
    const random = generator(6);
    const scores = texts.map(() => Object.fromEntries(NAMES.map((name) => [name, random()])));
    let hits = 0;
    let targets = 0;
    for (const [index, { labels }] of texts.entries()) {
      const best = [...NAMES].sort((x, y) => scores[index]![y]! - scores[index]![x]!).slice(0, 5);
      for (const name of NAMES) {
        if (!labels.get(name)) continue;
        targets++;
        if (best.includes(name)) hits++;
      }
    }
    const five = measure(texts, scores).picks.at(-1)!;
    assert.deepEqual([five.hits.n, five.hits.value], [targets, hits / targets]);
  });

  test("has beside it who knows only which values are common", () => {
    const counts = NAMES.map((name) => texts.filter(({ labels }) => labels.get(name)).length);
    const total = counts.reduce((a, b) => a + b);
    const [, one, five] = hitsOf(() => 0);
    near(one!.commonest, Math.max(...counts) / total, 1e-12, "the commonest value's share of the targets");
    near(five!.commonest, 1 - Math.min(...counts) / total, 1e-12, "all but the rarest");
    const [four] = hitsOf((_, name) => counts[NAMES.indexOf(name)]!);
    assert.equal(four!.hits.value, four!.commonest);
    assert.ok(four!.commonest > four!.random);
  });

  test("is left out where there are not enough values", () => {
    const few = measure([text("1", { a: true, b: false })], [{ a: 1 }], ["a", "b"]).picks;
    assert.deepEqual(
      few.map(({ name, k }) => [name, k]),
      [["k of all", 1]],
    );
  });
});
