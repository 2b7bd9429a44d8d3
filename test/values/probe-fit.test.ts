/**
 * The probe's arithmetic: fits against their own optimality conditions and simulated truth, folds, cross-fitting.
 *
 * Seen failing: with the bias penalised, with the sign of Platt's offset turned, with thresholds cut between equal scores,
 * with groups ignored when folds are made, and with the text's own fold among those that its fit is made of.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bootstrapAuc } from "#lib/precision/auc.js";
import { foldsOf, groupsOf } from "#lib/values/probe/folds.js";
import { fitLogistic, fitPlatt, minimise, scoreRow, sigmoid } from "#lib/values/probe/regression.js";
import { bestThreshold, fitsOf, trainValue } from "#lib/values/probe/train.js";
import { generator } from "../curation/support.js";

/** Standard normal, by Box and Muller. */
function normals(seed: number): () => number {
  const random = generator(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Rows of noise around offsets far from 0; labels follow the first two channels by `strength`. */
function simulate(count: number, channels: number, strength: number, seed: number) {
  const [normal, random] = [normals(seed), generator(seed + 1)];
  const data = Float32Array.from(
    { length: count * channels },
    (_, at) => 5 * (at % channels) + (1 + (at % 3)) * normal(),
  );
  const truth = Array.from({ length: count }, (_, row) => {
    const first = (data[row * channels]! - 0) / 1;
    const second = (data[row * channels + 1]! - 5) / 2;
    return random() < sigmoid(strength * (first + second) - 1);
  });
  return { features: { data, channels }, truth, rows: truth.map((_, row) => row) };
}

function near(actual: number, expected: number, tolerance: number, what: string): void {
  if (!(Math.abs(actual - expected) <= tolerance)) assert.fail(`${what}: ${actual}, not ${expected}`);
}

const auc = (scores: readonly number[], truth: readonly boolean[]): number =>
  bootstrapAuc(
    scores.map((score, index) => ({ score, truth: truth[index]! })),
    { resamples: 0 },
  ).value;

describe("a logistic regression", () => {
  test("is where the gradient of its objective is 0, whatever the channels' offsets and scales", () => {
    const { features, truth, rows } = simulate(300, 7, 1, 1);
    const { channels, data } = features;
    for (const l2 of [1, 0.01]) {
      const model = fitLogistic(features, rows, truth, { l2 });
      const mean = (of: (row: number) => number): number => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
      const errors = rows.map((row) => sigmoid(scoreRow(model, features, row)) - Number(truth[row]));
      near(
        mean((row) => errors[row]!),
        0,
        1e-5,
        "by the bias, which is not penalised",
      );
      for (let c = 0; c < channels; c++) {
        const at = (row: number): number => data[row * channels + c]!;
        const middle = mean(at);
        const scale = Math.sqrt(mean((row) => (at(row) - middle) ** 2));
        // Of standardised features the weight is weights[c] · scale.
        const gradient = mean((row) => (errors[row]! * (at(row) - middle)) / scale) + l2 * model.weights[c]! * scale;
        near(gradient, 0, 2e-5, `by weight ${c}, l2 ${l2}`);
      }
    }
  });

  test("finds the coefficients that made the labels, and the same ones from another start", () => {
    const { features, truth, rows } = simulate(6000, 2, 1, 5);
    const model = fitLogistic(features, rows, truth, { l2: 1e-6 });
    // log-odds = x0 + (x1 − 5) / 2 − 1; standard errors are about 0.04, 0.02 and 0.1.
    near(model.weights[0]!, 1, 0.15, "first");
    near(model.weights[1]!, 0.5, 0.08, "second");
    near(model.bias, -3.5, 0.45, "bias");
    const start = { weights: Float64Array.of(-1, 2), bias: 3 };
    const again = fitLogistic(features, rows, truth, { l2: 1e-6, start });
    for (const c of [0, 1]) near(again.weights[c]!, model.weights[c]!, 1e-3, `weight ${c}`);
  });

  test("of a channel that never changes gives no weight, and of separable classes a finite fit", () => {
    const data = Float32Array.of(7, -1, 7, -2, 7, 1, 7, 2);
    const model = fitLogistic({ data, channels: 2 }, [0, 1, 2, 3], [false, false, true, true], { l2: 0.01 });
    assert.equal(model.weights[0], 0);
    assert.ok(model.weights[1]! > 0 && Number.isFinite(model.bias));
  });

  test("rests on a minimiser that finds the bottom of a bowl that is 8,000 times as steep one way as another", () => {
    let calls = 0;
    const found = minimise(new Float64Array(20), (point, gradient) => {
      calls++;
      let sum = 0;
      for (let at = 0; at < 20; at++) {
        const [steep, off] = [(at + 1) ** 3, point[at]! - at];
        sum += (steep * off ** 2) / 2 + off ** 4;
        gradient[at] = steep * off + 4 * off ** 3;
      }
      return sum;
    });
    for (let at = 0; at < 20; at++) near(found[at]!, at, 1e-5, `entry ${at}`);
    assert.ok(calls < 200, `${calls} evaluations`);
  });
});

describe("Platt's scaling", () => {
  test("finds the slope and offset that made the labels of scores, large or small", () => {
    const [normal, random] = [normals(2), generator(3)];
    for (const scale of [1e-3, 1, 1e3]) {
      const scores = Array.from({ length: 20000 }, () => scale * normal());
      const truth = scores.map((score) => random() < sigmoid((2 * score) / scale - 1));
      const { slope, offset } = fitPlatt(scores, truth);
      near(slope * scale, 2, 0.12, "slope");
      near(offset, -1, 0.1, "offset");
    }
  });

  test("stays finite where the scores separate the classes", () => {
    const { slope, offset } = fitPlatt([-2, -1, 1, 2], [false, false, true, true]);
    assert.ok(slope > 0 && Number.isFinite(slope) && Number.isFinite(offset));
  });
});

describe("the best threshold", () => {
  test("has the highest F1 of all cuts between different scores", () => {
    const random = generator(4);
    for (let round = 0; round < 200; round++) {
      const scores = Array.from({ length: 12 }, () => Math.floor(random() * 6) / 6);
      const truth = scores.map((score) => random() < score);
      if (!truth.includes(true)) continue;
      const f1 = (cut: number): number => {
        const hits = truth.filter((yes, index) => yes && scores[index]! >= cut).length;
        return (2 * hits) / (scores.filter((score) => score >= cut).length + truth.filter(Boolean).length);
      };
      const best = Math.max(...scores.map(f1));
      near(f1(bestThreshold(scores, truth)), best, 1e-12, `round ${round}`);
    }
  });
});

describe("groups and folds", () => {
  const text = (prompt: string, response: string, cluster: string | null = null) => ({ prompt, response, cluster });
  const long = "it is a long sentence with many words that somebody has written down here";

  test("keep texts of one cluster, of one prompt, and of nearly the same words together", () => {
    const groups = groupsOf([
      text("first question", "a completely different answer"),
      text("First  question", "no word in common at all"),
      text("second", long),
      text("third", `${long} today`),
      text("fourth", "on its own", "c"),
      text("fifth", "something else entirely", "c"),
      text("sixth", "of these none knows another"),
    ]);
    assert.deepEqual(groups, [0, 0, 1, 1, 2, 2, 3]);
  });

  test("take a prompt that most texts answer for an instruction that keeps nothing together", () => {
    const groups = groupsOf(
      ["one thing", "another matter", "third subject"].map((response) => text("Say it.", response)),
    );
    assert.deepEqual(groups, [0, 1, 2]);
  });

  test("put each group into one fold, all of about the same size, otherwise under another seed", () => {
    const random = generator(9);
    const groups = Array.from({ length: 1000 }, () => Math.floor(random() * 90));
    const folds = foldsOf(groups, 5, 1);
    const foldOf = new Map<number, number>();
    for (const [index, group] of groups.entries()) {
      assert.equal(foldOf.get(group) ?? folds[index], folds[index], `group ${group}`);
      foldOf.set(group, folds[index]!);
    }
    for (let fold = 0; fold < 5; fold++) near(folds.filter((one) => one === fold).length, 200, 25, `fold ${fold}`);
    assert.deepEqual(foldsOf(groups, 5, 1), folds);
    assert.notDeepEqual(foldsOf(groups, 5, 2), folds);
  });
});

describe("a value's probe", () => {
  const foldsFor = (count: number): number[] => Array.from({ length: count }, (_, index) => index % 5);

  test("finds a planted direction: cross-fitted scores rank well and are calibrated", () => {
    const { features, truth, rows } = simulate(1500, 12, 1.5, 21);
    let fits = 0;
    const { scores, probe, thresholds } = trainValue(features, rows, truth, foldsFor(1500), { onFit: () => fits++ });
    assert.equal(fits, fitsOf(5));
    assert.ok(auc(scores, truth) > 0.85, String(auc(scores, truth)));
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    near(mean, truth.filter(Boolean).length / truth.length, 0.02, "mean score");
    const high = scores.flatMap((score, index) => (score > 0.6 && score < 0.8 ? [truth[index]!] : []));
    near(high.filter(Boolean).length / high.length, 0.7, 0.12, `share of yes among ${high.length} scores near 0.7`);
    assert.equal(new Set(thresholds).size, 5);
    // The final probe scores as the cross-fitted ones do, on texts that were never seen.
    const fresh = simulate(1500, 12, 1.5, 77);
    const unseen = fresh.rows.map((row) => scoreRow(probe, fresh.features, row));
    near(auc(unseen, fresh.truth), auc(scores, truth), 0.04, "AUC on new texts");
  });

  test("learns nothing where there is nothing to learn, though it has more channels than texts", () => {
    const { features, rows } = simulate(120, 200, 0, 31);
    const random = generator(32);
    const truth = rows.map(() => random() < 0.5);
    const { scores } = trainValue(features, rows, truth, foldsFor(120));
    near(auc(scores, truth), 0.5, 0.16, "cross-fitted AUC of noise");
  });

  test("is not measured on what it knows of a group: labels by group are out of reach when groups stay together", () => {
    // 40 groups of 10 texts with nearly the same hidden state; a label belongs to the group.
    const [normal, random] = [normals(41), generator(42)];
    const [groups, channels] = [40, 30];
    const centres = Array.from({ length: groups * channels }, () => normal());
    const kinds = Array.from({ length: groups }, () => random() < 0.5);
    const group = (row: number): number => Math.floor(row / 10);
    const data = Float32Array.from(
      { length: groups * 10 * channels },
      (_, at) => centres[group(Math.floor(at / channels)) * channels + (at % channels)]! + 0.01 * normal(),
    );
    const rows = Array.from({ length: groups * 10 }, (_, row) => row);
    const truth = rows.map((row) => kinds[group(row)]!);
    const apart = trainValue({ data, channels }, rows, truth, foldsOf(rows.map(group), 5, 1));
    const mixed = trainValue({ data, channels }, rows, truth, foldsFor(rows.length));
    assert.ok(auc(mixed.scores, truth) > 0.95, `with groups torn apart ${auc(mixed.scores, truth)}`);
    assert.ok(auc(apart.scores, truth) < 0.75, `with groups together ${auc(apart.scores, truth)}`);
  });
});
