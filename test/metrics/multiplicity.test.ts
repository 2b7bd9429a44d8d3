/** Families of tests: adjusted p-values against statsmodels and multtest, and error rates on simulated truth. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { countRelabellings, relabelledMaxT, stepDownMaxT } from "#lib/metrics/max-t.js";
import { benjaminiYekutieli, holm } from "#lib/metrics/multiplicity.js";
import { assertClose, GOLDEN } from "./support/golden.js";
import { random } from "./support/random.js";
import { maxTErrorRate } from "./support/simulate.js";

describe("adjusted p-values", () => {
  it("are those of statsmodels, ties included", () => {
    const { p, holm: byHolm, by } = GOLDEN.adjusted;
    for (const [index, value] of holm(p).entries()) assertClose(value, byHolm[index]!, 1e-12, `Holm ${index}`);
    for (const [index, value] of benjaminiYekutieli(p).entries()) assertClose(value, by[index]!, 1e-12, `BY ${index}`);
  });

  it("of one test are its own, of none are none; what is no p-value is refused", () => {
    assert.deepEqual([holm([0.03]), benjaminiYekutieli([0.03])], [[0.03], [0.03]]);
    assert.deepEqual([holm([]), benjaminiYekutieli([])], [[], []]);
    for (const bad of [-0.1, 1.1, Number.NaN]) {
      assert.throws(() => holm([0.5, bad]), RangeError);
      assert.throws(() => benjaminiYekutieli([bad]), RangeError);
    }
  });
});

/** Columns of an array as rows. */
const transposed = (rows: number[][]): number[][] => rows[0]!.map((_, column) => rows.map((row) => row[column]!));

describe("max-T", () => {
  it("has the adjusted p-values of multtest's mt.maxT over all relabellings", () => {
    const { cells, induced, adjusted } = GOLDEN.maxT;
    const runs = transposed(cells);
    const made = relabelledMaxT(runs.slice(0, induced), runs.slice(induced));
    for (const [cell, p] of made.entries()) assertClose(p, adjusted[cell]!, 1e-9, `cell ${cell}`);
  });

  it("steps down: the largest among the cells not yet rejected is what counts", () => {
    const nulls = [
      [5, 1, 0],
      [0, 3, 0],
      [1, 1, 2],
      [0, 0, 1],
    ];
    // Ordered 4, 2, 1.5: maxima over all three 5, 3, 2, 1; over the last two 1, 3, 2, 1; over the last 0, 0, 2, 1.
    assert.deepEqual(stepDownMaxT([4, -2, 1.5], nulls), [0.25, 0.5, 0.5]);
  });

  it("counts relabellings, draws the same ones for the same seed, and never says 0", () => {
    assert.deepEqual(
      [countRelabellings(3, 23), countRelabellings(5, 25), countRelabellings(1, 21)],
      [1771, 53_130, 21],
    );
    const draw = random(2);
    const runs = Array.from({ length: 25 }, () => [draw.normal(), draw.normal()]);
    const once = relabelledMaxT(runs.slice(0, 5), runs.slice(5), { most: 500, seed: 1 });
    assert.deepEqual(relabelledMaxT(runs.slice(0, 5), runs.slice(5), { most: 500, seed: 1 }), once);
    assert.notDeepEqual(relabelledMaxT(runs.slice(0, 5), runs.slice(5), { most: 500, seed: 2 }), once);
    const apart = runs.slice(0, 5).map((row) => row.map((value) => value + 1000));
    assert.deepEqual(relabelledMaxT(apart, runs.slice(5), { most: 500 }), [1 / 500, 1 / 500]);
    assert.deepEqual(relabelledMaxT([[1], [1]], [[1], [1], [1]]), [1], "nothing varies");
  });

  it("finds anything that is not there in at most 5 % of studies, beside cells that do move", () => {
    // 300 studies; the error of a rate of 0.05 is 0.013, and two of them are allowed for.
    const rate = maxTErrorRate({ rows: 4, runs: 3, nullRuns: 20, columns: 5, moved: 2 }, 300, 77);
    assert.ok(rate <= 0.05 + 2 * 0.013, `${rate}`);
    assert.ok(rate > 0, "a rate of 0 would mean that nothing can be found");
  });
});
