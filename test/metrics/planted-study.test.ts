/** A simulated study with a known matrix: the estimator finds it, with the coverage and error rates that it promises. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crosstalkStudy } from "#lib/metrics/crosstalk-study.js";
import { MATRIX, plantedItems, VALUES } from "./support/planted.js";
import { plantedRates } from "./support/planted-rates.js";

describe("a planted study of 5 values on 200 prompts", () => {
  for (const seeds of [3, 5])
    it(`is recovered with ${seeds} seeds: intervals hold the truth, null cells are not found beyond the level`, async () => {
      const studies = 40;
      const rates = await plantedRates({ values: VALUES, seeds, prompts: 200, matrix: MATRIX }, studies, 1000 * seeds);
      // 40 studies of 25 cells: the error of a coverage of 0.95 is 0.007; of on-target cells alone 0.015.
      const { "on target": onTarget, ...others } = rates.coverage;
      for (const [name, share] of Object.entries(others))
        assert.ok(share >= 0.93 && share <= 0.97, `${name}: ${share}`);
      assert.ok(onTarget! >= 0.92 && onTarget! <= 0.98, `on target: ${onTarget}`);
      // 12 null cells of 40 studies: the error of a rate of 0.05 is 0.01.
      assert.ok(rates.nullFoundUnadjusted <= 0.07, `null cells found before adjustment: ${rates.nullFoundUnadjusted}`);
      // Benjamini and Yekutieli hold the false share of what is found below 0.05.
      assert.ok(rates.falseDiscoveryRate <= 0.05, `false discoveries: ${rates.falseDiscoveryRate}`);
      // Every moved cell is 2.5 standard deviations of a run or more away from 0.
      assert.ok(rates.movedFound > 0.6, `moved cells found: ${rates.movedFound}`);
      assert.ok(rates.wrongSign === 0, "a cell was found to move the other way");
      assert.ok(rates.nullCalledEquivalent > 0.5, `null cells shown to be below 0.5: ${rates.nullCalledEquivalent}`);
    });

  it("is recovered against 20 random-subset runs that drift, with max-T", async () => {
    const study = { values: VALUES, seeds: 5, prompts: 200, matrix: MATRIX, nullRuns: 20, drift: -0.7 };
    const studies = 10;
    const rates = await plantedRates(study, studies, 9000);
    assert.deepEqual(rates.methods, ["max-t"]);
    // 10 studies of 25 cells: the error of a coverage of 0.95 is 0.014.
    assert.ok(rates.coverage.moderated! >= 0.92, `${rates.coverage.moderated}`);
    // Each study finds a null cell with probability 0.05 at most: 3 or more of 10 would be a chance of 1 %.
    assert.ok(rates.studiesWithFalseFindings <= 2 / studies, `${rates.studiesWithFalseFindings}`);
    assert.ok(rates.movedFound > 0.6, `moved cells found: ${rates.movedFound}`);
  });

  it("gives the same figures for the same items in another order of runs", async () => {
    const items = [...plantedItems({ values: VALUES, seeds: 3, prompts: 40, matrix: MATRIX }, 4)];
    const cell = async (of: typeof items) => {
      const [study] = await crosstalkStudy(of, { margins: { margin: 0.5 } });
      return study!.cells.find(({ induced, measured }) => induced === "humor" && measured === "violence")!;
    };
    const [forward, backward] = [await cell(items), await cell([...items].reverse())];
    for (const name of ["estimate", "standardError", "low", "p"] as const)
      assert.ok(!(Math.abs(forward.delta[name]! - backward.delta[name]!) > 1e-12), name);
    assert.ok(!(Math.abs(forward.adjustedP! - backward.adjustedP!) > 1e-9));
  });
});
