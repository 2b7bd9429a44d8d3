/** The demo's plans, table and sample. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { type PreferencePair, readPairs } from "#lib/data/pairs.js";
import { changesOf, choosePlan, DEMO_PLANS, describeCuts } from "#lib/demo/plan.js";
import { renderCrosstalkTable } from "#lib/demo/table.js";
import { collectResults } from "#lib/report/collect.js";
import { SeriesTable } from "#lib/report/series.js";
import { readStudy } from "#lib/study/read-study.js";
import { ROOT } from "../golden.js";

const INDUCED = ["agreeableness", "narcissism", "neuroticism"];
const MEASURED = [...INDUCED, "conscientiousness", "politically-conservative"];

const sampleFile = (trait: string, part: "train" | "held-out") => join(ROOT, `data/persona/${trait}.${part}.jsonl`);

async function readSample(trait: string, part: "train" | "held-out"): Promise<PreferencePair[]> {
  const pairs: PreferencePair[] = [];
  for await (const pair of readPairs(sampleFile(trait, part))) pairs.push(pair);
  return pairs;
}

describe("the demo's plan", () => {
  it("does everything where there is time, and ever less as there is less", async () => {
    // A machine that needs as many seconds as there are pairs to train on.
    const seconds = async ({ trainPairs, epochs }: (typeof DEMO_PLANS)[number]) => trainPairs * epochs;
    const sizes: number[] = [];
    for (const limit of [1000, 128, 127, 63, 31, 0])
      sizes.push(DEMO_PLANS.indexOf((await choosePlan(limit, seconds)).plan));
    assert.deepEqual(sizes, [0, 0, 2, 3, 4, 4]);
    assert.equal((await choosePlan(100, seconds)).expectedSeconds, 64);
  });

  it("is the study smoke at its largest, and says what it left out of it", async () => {
    const smoke = await readStudy("smoke");
    const whole = await readStudy("smoke", { changes: changesOf(DEMO_PLANS[0]!) });
    assert.deepEqual(whole.study, smoke.study);
    assert.deepEqual(describeCuts(DEMO_PLANS[0]!), []);
    const least = await readStudy("smoke", { changes: changesOf(DEMO_PLANS.at(-1)!) });
    assert.deepEqual(least.study.pairs, { train: 32, "held-out": 16, seed: 0 });
    assert.deepEqual([least.study.training.epochs, least.study.kl.prompts, least.study.arms], [1, 0, ["induce"]]);
    assert.deepEqual(parse(least.text).pairs, { train: 32, "held-out": 16 });
    assert.match(
      describeCuts(DEMO_PLANS.at(-1)!).join("; "),
      /32 training pairs a trait instead of 64; 1 epoch instead of 2; 16 held-out pairs .*; no divergence; no controls/,
    );
  });

  it("takes its traits from the sample", async () => {
    const [source] = (await readStudy("smoke")).study.data;
    assert.ok(source?.source === "pairs");
    assert.deepEqual(
      source.values.map(({ value }) => value),
      MEASURED,
    );
    assert.deepEqual(
      source.values.filter(({ train }) => train !== undefined).map(({ value }) => value),
      INDUCED,
    );
  });
});

describe("the sample of persona statements", () => {
  it("has 64 pairs to train and 64 held out for each induced trait, and 64 held out for each other", async () => {
    for (const trait of MEASURED) assert.equal((await readSample(trait, "held-out")).length, 64, trait);
    for (const trait of INDUCED) assert.equal((await readSample(trait, "train")).length, 64, trait);
  });

  it("shares no statement between training and held-out pairs", async () => {
    for (const trait of INDUCED) {
      const statements = async (part: "train" | "held-out") =>
        (await readSample(trait, part)).flatMap(({ chosen, rejected }) => [chosen, rejected]);
      const held = new Set(await statements("held-out"));
      assert.deepEqual(
        (await statements("train")).filter((statement) => held.has(statement)),
        [],
      );
    }
  });

  it("pairs statements of nearly the same length, so that length does not tell them apart", async () => {
    const words = (text = ""): number => text.split(/\s+/).length;
    for (const trait of MEASURED) {
      const pairs = await readSample(trait, "held-out");
      const longer = pairs.reduce((sum, pair) => sum + words(pair.chosen) - words(pair.rejected), 0) / pairs.length;
      assert.ok(Math.abs(longer) < 0.5, `${trait}: ${longer} words`);
    }
  });

  it("stays under 400 KB", () => {
    const files = [
      ...MEASURED.map((trait) => sampleFile(trait, "held-out")),
      ...INDUCED.map((trait) => sampleFile(trait, "train")),
    ];
    assert.ok(files.reduce((sum, file) => sum + readFileSync(file).length, 0) < 400_000);
  });
});

describe("the crosstalk table", () => {
  it("fits 100 columns with five traits and shows change, interval and accuracy", () => {
    const lines = INDUCED.flatMap((adapter, row) =>
      MEASURED.flatMap((value, column) =>
        [0, 1, 2].map((pair) => ({
          adapter: adapter as string,
          value,
          pair: `${value}:${pair}`,
          margin: -100 * row + column * pair - 1,
        })),
      ),
    );
    const base = MEASURED.flatMap((value) =>
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
