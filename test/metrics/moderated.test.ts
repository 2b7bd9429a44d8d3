/** Moderated variances: against limma, and for coverage where cells' variances really vary as the model says. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fitVariancePrior, moderate } from "#lib/metrics/moderated.js";
import { assertClose, GOLDEN } from "./support/golden.js";
import { moderatedCoverage } from "./support/simulate.js";

describe("moderated variances", () => {
  it("have limma's prior and posterior (squeezeVar), a variance of 0 included", () => {
    for (const { df, priorDf, priorVariance, variances, posterior } of GOLDEN.squeezeVar) {
      const prior = fitVariancePrior(variances.map((variance) => ({ variance, df })));
      if (priorDf === null) assert.equal(prior.df, Number.POSITIVE_INFINITY);
      else assertClose(prior.df, priorDf, 1e-6, "d0");
      assertClose(prior.variance, priorVariance, 1e-6, "s0²");
      for (const [g, variance] of variances.entries())
        assertClose(moderate({ variance, df }, prior).variance, posterior[g]!, 1e-6, `s̃² of cell ${g}`);
    }
  });

  it("pool fully where variances do not differ beyond chance, and not at all with too few cells", () => {
    const alike = Array.from({ length: 20 }, () => ({ variance: 2, df: 4 }));
    const prior = fitVariancePrior(alike);
    assert.equal(prior.df, Number.POSITIVE_INFINITY);
    assert.deepEqual(moderate({ variance: 9, df: 4 }, prior), { variance: prior.variance, df: prior.df });
    assert.deepEqual(fitVariancePrior(alike.slice(0, 9)), { df: 0, variance: 0 });
    assert.deepEqual(moderate({ variance: 9, df: 4 }, { df: 0, variance: 0 }), { variance: 9, df: 4 });
    assert.throws(() => fitVariancePrior([{ variance: -1, df: 2 }]), RangeError);
    assert.throws(() => fitVariancePrior([{ variance: Number.NaN, df: 2 }]), RangeError);
  });

  it("give intervals that hold the truth in 93 to 97 % and are shorter with 3 runs", () => {
    // 400 studies of 20 cells, whose true variances have 8 degrees of freedom: the error of a coverage of 0.95 is 0.0025.
    const world = { runs: 3, clusters: 100, run: 0.3, prompt: 1, rest: 1, cells: 20, priorDf: 8 };
    const { plain, moderated } = moderatedCoverage(world, 400, 5);
    for (const { held, replicates } of [plain, moderated]) {
      const share = held / replicates;
      assert.ok(share >= 0.93 && share <= 0.97, `${share}`);
    }
    assert.ok(moderated.width < 0.8 * plain.width, `${moderated.width} against ${plain.width}`);
  });
});
