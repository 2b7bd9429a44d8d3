/** Equivalence: against statsmodels, the interval it is dual to, and for its error rate. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crossedMean, infer } from "#lib/metrics/crossed.js";
import { equivalenceP, verdict } from "#lib/metrics/equivalence.js";
import { assertClose, GOLDEN } from "./support/golden.js";
import { random } from "./support/random.js";
import { equivalenceRate, simulateArray } from "./support/simulate.js";

describe("equivalence", () => {
  it("has the p-values of statsmodels' ttost_mean", () => {
    const { y, margins } = GOLDEN.equivalence;
    const clusters = y.map((_, k) => `c${k}`);
    const estimate = infer(crossedMean({ group: "run", runs: 1, clusters, counts: y.map(() => 1), sums: y }));
    for (const [margin, p] of margins) assertClose(equivalenceP(estimate, margin)!, p, 1e-10, `margin ${margin}`);
  });

  it("is found at 5 % exactly where the 90 % interval lies within the margin", () => {
    const draw = random(8);
    let found = 0;
    for (let replicate = 0; replicate < 300; replicate++) {
      const array = simulateArray({ runs: 3, clusters: 20, mean: 0.2, run: 0.2, prompt: 0.5, rest: 0.5 }, draw);
      const { low, high, ...tested } = infer(crossedMean(array), { confidence: 0.9 });
      const equivalent = equivalenceP(tested, 0.6)! < 0.05;
      assert.equal(equivalent, low! > -0.6 && high! < 0.6);
      found += equivalent ? 1 : 0;
    }
    assert.ok(found > 30 && found < 270, `${found} of 300: the case has to be in doubt`);
  });

  it("is claimed of a shift as large as the margin in at most 5 % of studies, and of no shift often", () => {
    const world = { runs: 5, clusters: 100, run: 0.1, prompt: 0.5, rest: 0.5 };
    // 2,000 studies: the error of a rate of 0.05 is 0.005.
    const atMargin = equivalenceRate({ ...world, mean: 0.3 }, 0.3, 2000, 3);
    assert.ok(atMargin <= 0.07, `${atMargin}`);
    assert.ok(equivalenceRate(world, 0.3, 500, 4) > 0.8);
  });

  it("gives three verdicts, and never takes ignorance for equality", () => {
    assert.equal(verdict({ differenceP: 0.001, equivalenceP: 0.9 }), "different");
    assert.equal(verdict({ differenceP: 0.6, equivalenceP: 0.01 }), "equivalent");
    assert.equal(verdict({ differenceP: 0.001, equivalenceP: 0.001 }), "equivalent", "not 0, and too small to matter");
    assert.equal(verdict({ differenceP: 0.6, equivalenceP: 0.6 }), "undecided");
    assert.equal(verdict({ differenceP: 0.6 }), "undecided");
    assert.equal(verdict({ differenceP: null, equivalenceP: null }), "undecided");
    assert.equal(equivalenceP({ estimate: 0, standardError: null, df: null }, 1), null);
    assert.deepEqual(
      [0.5, 1].map((estimate) => equivalenceP({ estimate, standardError: 0, df: 2 }, 1)),
      [0, 1],
    );
    for (const margin of [0, -1, Number.NaN])
      assert.throws(() => equivalenceP({ estimate: 0, standardError: 1, df: 2 }, margin), RangeError);
  });
});
