/** The demo's plan, table and sample. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { INDUCED_TRAITS, MEASURED_TRAITS, readSample, sampleFile } from "#lib/demo/data.js";
import { choosePlan, DEMO_PLANS, describeCuts, expectedSeconds } from "#lib/demo/plan.js";
import { renderCrosstalkTable } from "#lib/demo/table.js";
import { collectResults } from "#lib/report/collect.js";
import { SeriesTable } from "#lib/report/series.js";

const WORK = { induced: 3, measured: 5, scored: 4 };

describe("the demo's plan", () => {
  it("does everything where there is time, and ever less as there is less", () => {
    const full = expectedSeconds(DEMO_PLANS[0]!, WORK, 4);
    assert.equal(choosePlan(full, WORK, 4), DEMO_PLANS[0]);
    const sizes = [1, 0.8, 0.6, 0.4, 0.2, 0].map((share) => DEMO_PLANS.indexOf(choosePlan(full * share, WORK, 4)));
    assert.deepEqual(sizes, [...sizes].sort());
    assert.equal(sizes.at(-1), DEMO_PLANS.length - 1);
  });

  it("says what it left out", () => {
    assert.deepEqual(describeCuts(DEMO_PLANS[0]!), []);
    assert.match(
      describeCuts(DEMO_PLANS.at(-1)!).join("; "),
      /32 training pairs a trait instead of 64; 1 epoch instead of 2; 16 held-out pairs/,
    );
  });
});

describe("the sample of persona statements", () => {
  it("has 64 pairs to train and 64 held out for each induced trait, and 64 held out for each other", async () => {
    for (const trait of MEASURED_TRAITS) assert.equal((await readSample(trait, "held-out", 1000)).length, 64, trait);
    for (const trait of INDUCED_TRAITS) assert.equal((await readSample(trait, "train", 1000)).length, 64, trait);
  });

  it("shares no statement between training and held-out pairs", async () => {
    for (const trait of INDUCED_TRAITS) {
      const statements = async (part: "train" | "held-out") =>
        (await readSample(trait, part, 64)).flatMap(({ chosen, rejected }) => [chosen, rejected]);
      const held = new Set(await statements("held-out"));
      assert.deepEqual(
        (await statements("train")).filter((statement) => held.has(statement)),
        [],
      );
    }
  });

  it("pairs statements of nearly the same length, so that length does not tell them apart", async () => {
    const words = (text = ""): number => text.split(/\s+/).length;
    for (const trait of MEASURED_TRAITS) {
      const pairs = await readSample(trait, "held-out", 64);
      const longer = pairs.reduce((sum, pair) => sum + words(pair.chosen) - words(pair.rejected), 0) / pairs.length;
      assert.ok(Math.abs(longer) < 0.5, `${trait}: ${longer} words`);
    }
  });

  it("stays under 400 KB", () => {
    const files = [
      ...MEASURED_TRAITS.map((trait) => sampleFile(trait, "held-out")),
      ...INDUCED_TRAITS.map((trait) => sampleFile(trait, "train")),
    ];
    assert.ok(files.reduce((sum, file) => sum + readFileSync(file).length, 0) < 400_000);
  });
});

describe("the crosstalk table", () => {
  it("fits 100 columns with five traits and shows change, interval and accuracy", () => {
    const lines = INDUCED_TRAITS.flatMap((adapter, row) =>
      MEASURED_TRAITS.flatMap((value, column) =>
        [0, 1, 2].map((pair) => ({
          adapter: adapter as string,
          value,
          pair: `${value}:${pair}`,
          margin: -100 * row + column * pair - 1,
        })),
      ),
    );
    const base = MEASURED_TRAITS.flatMap((value) =>
      [0, 1, 2].map((pair) => ({ adapter: "base", value, pair: `${value}:${pair}`, margin: -1 })),
    );
    const series = new SeriesTable();
    for (const { adapter, value, pair, margin } of [...base, ...lines])
      series.add({
        model: "m",
        adapter,
        suite: "persona",
        task: value,
        metric: "log_margin",
        item: pair,
        cluster: pair,
        y: margin,
      });
    const table = renderCrosstalkTable(collectResults(series).effects);
    assert.ok(Math.max(...table.split("\n").map((line) => [...line].length)) <= 100, table);
    assert.match(table, /politically-\n/);
    assert.match(table, /−100/);
    assert.match(table, /0\.00 → 0\.67/);
  });
});
