/**
 * Every parser of outside files, on thousands of damaged ones: each is read, or refused with one sentence. Seen failing:
 * a run's state.json without its identity ended in a TypeError, a NaN in the weights became a result of null, and a
 * config.json's whole list stood in the message.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fuzz } from "./harness.js";
import { TARGETS } from "./targets.js";

describe("damaged files", () => {
  for (const [name, { cases }] of Object.entries(TARGETS)) {
    test(`${name}: each of ${cases} damaged ones is read, or refused with one sentence that says where`, async (t) => {
      const report = await fuzz(name);
      t.diagnostic(`${report.accepted} read, ${report.rejected} refused, slowest ${report.slowest.toFixed(0)} ms`);
      assert.equal(report.cases, cases);
      assert.equal(report.bad, 0, `${report.bad} of ${cases}:\n${report.problems.join("\n")}`);
      assert.ok(report.rejected > 0, "nothing was refused: the damage does not reach this parser");
    });
  }

  test("there are thousands of cases", () => {
    const total = Object.values(TARGETS).reduce((sum, { cases }) => sum + cases, 0);
    assert.ok(total >= 4000, `${total} cases`);
  });
});
