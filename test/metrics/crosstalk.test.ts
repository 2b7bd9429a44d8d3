/** The crosstalk matrix on margins whose answer is known. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crosstalkMatrix, type PairMargin } from "#lib/metrics/crosstalk.js";

function margins(adapter: string, value: string, list: number[]): PairMargin[] {
  return list.map((margin, index) => ({ adapter, value, pair: `${value}:${index}`, margin }));
}

describe("crosstalkMatrix", () => {
  const base = [...margins("base", "kind", [-1, 1, -3, 3]), ...margins("base", "vain", [2, 2, -2, -2])];
  const trained = [...margins("kind", "kind", [4, 6, 2, 8]), ...margins("kind", "vain", [1, -1, -3, -5])];

  it("gives each cell the mean paired change and the accuracy before and after", () => {
    const { induced, measured, cells } = crosstalkMatrix([...base, ...trained]);
    assert.deepEqual([induced, measured], [["kind"], ["kind", "vain"]]);
    const [own, other] = cells;
    assert.equal(own!.delta.mean, 5);
    assert.deepEqual([own!.delta.low, own!.delta.high], [5, 5], "every pair moved by 5");
    assert.deepEqual([own!.accuracyBefore, own!.accuracyAfter, own!.accuracyDelta.mean], [0.5, 1, 0.5]);
    assert.equal(other!.delta.mean, -2);
    assert.ok(other!.delta.low < -2 && other!.delta.high > -2 && other!.delta.high < 0);
    assert.deepEqual([other!.accuracyBefore, other!.accuracyAfter], [0.5, 0.25]);
  });

  it("does not depend on the order of the lines", () => {
    const mixed = [...base, ...[...trained].reverse()];
    const cell = (of: PairMargin[]) => crosstalkMatrix(of).cells.find(({ measured }) => measured === "vain");
    assert.deepEqual(cell(mixed), cell([...base, ...trained]));
  });

  it("refuses a missing pair, a pair given twice, and a missing untrained model", () => {
    assert.throws(
      () => crosstalkMatrix([...base, ...trained.slice(1)]),
      /kind has 3 pairs of kind, the untrained model 4/,
    );
    assert.throws(() => crosstalkMatrix([...base, ...trained, trained[0]!]), /appears twice under kind/);
    assert.throws(() => crosstalkMatrix(trained), /untrained model/);
  });
});
