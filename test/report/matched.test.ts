/**
 * Crosstalk at an equal divergence, on items whose trajectories are known.
 *
 * Seen failing: with the shift read at the last checkpoint, and with a row that came less far carried on beyond its end.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { EvaluationItem } from "#lib/evaluation/item.js";
import { collectResults } from "#lib/report/collect.js";
import { matchAtKl } from "#lib/report/matched.js";
import { SeriesTable } from "#lib/report/series.js";

/** How far a value's runs come in nats of KL by the last step, and what a nat does to each measured value. */
const RUNS: Record<string, { end: number; perNat: Record<string, number> }> = {
  calm: { end: 2, perNat: { calm: 10, bold: -1 } },
  bold: { end: 4, perNat: { calm: 2, bold: 6 } },
  kind: { end: 3, perNat: { calm: 1, bold: 0 } },
  shy: { end: 0.5, perNat: { calm: 3, bold: 3 } },
};
const STEPS = [10, 20, 40];
const ITEMS = 12;

function simulate(withDivergence = true): SeriesTable {
  const table = new SeriesTable();
  const add = (item: Partial<EvaluationItem> & Pick<EvaluationItem, "y" | "item">): void =>
    table.add({
      model: "m",
      suite: "preferences",
      metric: "log_margin",
      cluster: item.item,
      task: "calm",
      ...item,
    } as EvaluationItem);
  for (const task of ["calm", "bold"])
    for (let item = 0; item < ITEMS; item++) add({ adapter: "base", task, item: `${task} ${item}`, y: item });
  for (const [value, { end, perNat }] of Object.entries(RUNS))
    for (const seed of [1, 2, 3])
      for (const step of STEPS) {
        const names = { adapter: `${value}/induce/seed-${seed}`, value, arm: "induce", seed, step };
        // Not linear in steps; the shift is linear in KL, and seeds and items scatter about it evenly.
        const kl = end * (step / 40) ** 2;
        const luck = 1 + 0.05 * (seed - 2);
        for (const task of ["calm", "bold"])
          for (let item = 0; item < ITEMS; item++) {
            const scatter = 1 + (item % 2 === 0 ? 0.2 : -0.2);
            add({ ...names, task, item: `${task} ${item}`, y: item + perNat[task]! * kl * luck * scatter });
          }
        for (let item = 0; withDivergence && item < 4; item++)
          add({ ...names, suite: "divergence", task: "sampled", metric: "kl", item: `kl ${item}`, y: kl });
      }
  return table;
}

describe("crosstalk at an equal KL", () => {
  it("is read where three quarters of the rows come, along each run, and says of the others how far they came", () => {
    const results = collectResults(simulate());
    const final = results.effects.filter((effect) => effect.final && effect.place === "matrix");
    assert.equal(final.length, 8);
    const matched = matchAtKl(final, results)!;
    assert.equal(matched.kl, 2);
    for (const { value, task, shift } of matched.cells) {
      if (value === "shy") {
        assert.equal(shift, "a run of it came no farther than 0.50 nats");
        continue;
      }
      assert.ok(typeof shift !== "string", shift as string);
      const truth = 2 * RUNS[value]!.perNat[task]!;
      assert.ok(
        Math.abs(shift.mean - truth) < 0.02 * Math.abs(truth) + 1e-9,
        `${value} → ${task}: ${shift.mean}, not ${truth}`,
      );
      assert.ok(shift.low! <= truth && truth <= shift.high!, `${shift.low} to ${shift.high} holds ${truth}`);
      assert.equal(shift.adjusted! < 0.05, truth !== 0, `${value} → ${task}: p ${shift.p}, adjusted ${shift.adjusted}`);
    }
  });

  it("is not there where no divergence was measured", () => {
    const results = collectResults(simulate(false));
    assert.equal(
      matchAtKl(
        results.effects.filter(({ final }) => final),
        results,
      ),
      null,
    );
  });
});
