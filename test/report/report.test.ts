/** From items to tables: numbers against what is known, blanks, bad input, and sizes. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "csv-parse/sync";
import { DataFormatError, FileError } from "#lib/errors.js";
import type { EvaluationItem } from "#lib/evaluation/item.js";
import { collectResults, type Results } from "#lib/report/collect.js";
import { rowAt, scriptJson, toColumns } from "#lib/report/page-data.js";
import { SeriesTable } from "#lib/report/series.js";
import { writeReport } from "#lib/report/write-report.js";
import { withFolder } from "../temporary-folder.js";
import { LARGE, SMALL, truth, writeSimulatedStudy } from "./simulated-study.js";

type Row = Record<string, string>;

function table(folder: string, name: string): Row[] {
  return parse(readFileSync(join(folder, "tables", `${name}.csv`)), { columns: true });
}

function item(partial: Partial<EvaluationItem>): EvaluationItem {
  return {
    model: "m",
    adapter: "base",
    suite: "persona",
    task: "kind",
    metric: "log_margin",
    item: "1",
    cluster: "1",
    y: 0,
    ...partial,
  };
}

function collect(items: readonly EvaluationItem[]): Results {
  const series = new SeriesTable();
  for (const each of items) series.add(each);
  return collectResults(series);
}

describe("a report of a simulated study", () => {
  it("finds the planted matrix, keeps controls apart, and leaves cells without support blank", async () => {
    await withFolder(async (folder) => {
      await writeSimulatedStudy(folder, { ...SMALL, steps: [64], prompts: 4 });
      await writeReport(folder);
      const rows = table(folder, "crosstalk").filter(({ metric }) => metric === "log_margin");
      assert.equal(rows.length, SMALL.arms.length * SMALL.values.length * (SMALL.values.length + 1));
      for (const row of rows) {
        // Doses end at 1 − exp(−2.5), a system prompt at 1; a run's own shift has a standard deviation of about 0.85.
        const dose = row.arm === "system" ? 1 : 1 - Math.exp(-2.5);
        const wanted = truth(row.induced!, row.measured!, row.arm!) * dose;
        const error = Math.abs(Number(row.delta) - wanted);
        assert.ok(error < 4, `${row.induced} → ${row.measured}, ${row.arm}: ${row.delta}, planted ${wanted}`);
        assert.ok(Number(row.ci_low) < Number(row.delta) && Number(row.delta) < Number(row.ci_high));
        if (row.induced === row.measured && row.arm === "induce") {
          assert.equal(row.verdict, "different");
          assert.equal(Number(row.per_unit).toFixed(3), "1.000");
        }
      }
      // What the control arm moves is noise here, so that beyond it lies what was planted.
      for (const row of rows.filter(({ arm }) => arm === "induce")) {
        const control = rows.find(
          (each) => each.arm === "flipped-random" && each.induced === row.induced && each.measured === row.measured,
        )!;
        assert.equal(row.control, "flipped-random");
        assert.ok(Math.abs(Number(row.beyond) - (Number(row.delta) - Number(control.delta))) < 1e-4, row.beyond);
        assert.ok(Number(row.beyond_low) < Number(row.beyond) && Number(row.beyond) < Number(row.beyond_high));
      }
      const random = rows.filter(({ arm }) => arm === "random");
      const blanks = random.filter((row) => row.per_unit === "" && /zero/.test(row.per_unit_blank!));
      const unsupported = random.filter((row) => {
        const target = random.find((each) => each.induced === row.induced && each.measured === row.induced)!;
        return Number(target.ci_low) <= 0 && Number(target.ci_high) >= 0;
      });
      assert.deepEqual(blanks, unsupported);
      assert.ok(blanks.length > 0, "some control did not move its target");
    });
  });

  it("gives every table as CSV and JSON with the same numbers, and names them in the page", async () => {
    await withFolder(async (folder) => {
      await writeSimulatedStudy(folder, { ...SMALL, pairs: 8, prompts: 8 });
      const { tables, page } = await writeReport(folder, { output: join(folder, "out") });
      const markup = readFileSync(page, "utf8");
      const known = [
        "crosstalk",
        "dose",
        "safety",
        "grader-agreement",
        "anthropomorphism",
        "sycophancy",
        "qa",
        "controls",
        "runs",
        "extractor",
        "label-overlap",
      ];
      for (const name of known) assert.ok(tables.includes(name), `${name} is not among ${tables.join(", ")}`);
      for (const name of tables) {
        const csv = table(join(folder, "out"), name);
        const json = JSON.parse(readFileSync(join(folder, "out/tables", `${name}.json`), "utf8")) as {
          rows: Record<string, unknown>[];
        };
        assert.ok(csv.length > 0, name);
        assert.deepEqual(
          csv,
          json.rows.map((row) =>
            Object.fromEntries(Object.entries(row).map(([key, value]) => [key, value === null ? "" : String(value)])),
          ),
        );
        assert.ok(markup.includes(`<code>${name}</code>`), name);
      }
      assert.equal(existsSync(join(folder, "report.html")), false);
    });
  });

  it("of 15 × 15 cells and five seeds stays under 5 MB", { timeout: 180_000 }, async () => {
    await withFolder(async (folder) => {
      await writeSimulatedStudy(folder, LARGE);
      const { bytes, items } = await writeReport(folder);
      assert.ok(items > 100_000, String(items));
      assert.ok(bytes < 5e6, String(bytes));
    });
  });
});

describe("collecting items", () => {
  const moved = { adapter: "a", value: "kind", step: 4 };

  it("pairs by item, averages samples, and leaves out what the untrained model was not asked", () => {
    const { effects } = collect([
      item({ item: "1", y: 1 }),
      item({ item: "1", sample: 1, y: 3 }),
      item({ item: "2", cluster: "2", y: 10 }),
      item({ ...moved, item: "1", y: 5 }),
      item({ ...moved, item: "2", cluster: "2", y: 11 }),
      item({ ...moved, item: "3", cluster: "3", y: 1000 }),
    ]);
    assert.equal(effects.length, 1);
    const [effect] = effects;
    assert.equal(effect!.mean, 2);
    assert.deepEqual([effect!.before, effect!.after, effect!.items], [6, 8, 2]);
    assert.equal(effect!.onTarget, true);
    assert.equal(effect!.arm, "induce");
  });

  it("takes the last checkpoint of each value and arm for its matrix, and the others for the curve", () => {
    const { effects } = collect([
      item({ y: 0 }),
      item({ ...moved, y: 1 }),
      item({ ...moved, step: 8, y: 2 }),
      item({ ...moved, arm: "random", adapter: "r", step: 2, y: 3 }),
    ]);
    assert.deepEqual(
      effects.map(({ arm, step, final, mean }) => [arm, step, final, mean]),
      [
        ["induce", 4, false, 1],
        ["induce", 8, true, 2],
        ["random", 2, true, 3],
      ],
    );
  });

  it("takes the suite of expressed values as a matrix, whose columns are its metrics", () => {
    const expressed = { suite: "values", task: "expression", grader: "values-lexicon:kind", metric: "kind" };
    const { effects, primary } = collect([
      item({ ...expressed, y: 0 }),
      item({ ...expressed, ...moved, y: 1 }),
      item({ ...expressed, metric: "vain", grader: "values-lexicon:vain", y: 1 }),
      item({ ...expressed, ...moved, metric: "vain", grader: "values-lexicon:vain", y: 1 }),
    ]);
    assert.deepEqual(
      effects.map(({ task, onTarget, unit, mean }) => [task, onTarget, unit, mean]),
      [
        ["kind", true, "share", 1],
        ["vain", false, "share", 0],
      ],
    );
    assert.deepEqual(primary, { suite: "values", metric: "expressed", grader: "values-lexicon" });
  });

  it("gives what a study varies in training an arm of its own", () => {
    const run = { value: "kind", arm: "induce", seed: 0, step: 4, y: 1 };
    const { arms, effects } = collect([
      item({}),
      item({ ...run, adapter: "kind/induce/seed-0/beta-0.1" }),
      item({ ...run, adapter: "kind/induce/seed-0/beta-0.3", y: 3 }),
    ]);
    assert.deepEqual(arms, ["induce, beta-0.1", "induce, beta-0.3"]);
    assert.deepEqual(
      effects.map(({ mean, seeds }) => [mean, seeds]),
      [
        [1, 1],
        [3, 1],
      ],
    );
  });

  it("says what is missing where there is no untrained model, or nothing to compare with it", () => {
    assert.throws(
      () => collect([item({ ...moved })]),
      (error) => error instanceof DataFormatError && /untrained/.test(error.message),
    );
    assert.throws(
      () => collect([item({})]),
      (error) => error instanceof DataFormatError && /no induced model/.test(error.message),
    );
  });
});

describe("what a report reads", () => {
  it("tells values that an extractor found, and nobody checked, from those that came with their labels", async () => {
    await withFolder(async (folder) => {
      const items = ["1", "2"].flatMap((name) => [
        item({ suite: "preferences", item: name, cluster: name }),
        item({ suite: "preferences", item: name, cluster: name, adapter: "a", y: 1 }),
      ]);
      writeFileSync(join(folder, "items.jsonl"), items.map((each) => `${JSON.stringify(each)}\n`).join(""));
      for (const [source, isExtracted] of [
        ["persona", false],
        ["curated", true],
      ] as const) {
        writeFileSync(join(folder, "study.yaml"), `name: mine\ndata: [{source: ${source}}]\n`);
        const { page } = await writeReport(folder);
        const text = readFileSync(page, "utf8");
        assert.equal(text.includes("No measure of the extractor"), isExtracted, source);
        assert.equal(text.includes("Extractor quality"), isExtracted, source);
      }
    });
  });

  it("is named with file and line where it is not what it should be", async () => {
    await withFolder(async (folder) => {
      await assert.rejects(
        writeReport(folder),
        (error) => error instanceof FileError && /no items\.jsonl/.test(error.message),
      );
      const good = JSON.stringify(item({}));
      writeFileSync(join(folder, "items.jsonl"), `${good}\n${JSON.stringify({ ...item({}), y: "high" })}\n`);
      await assert.rejects(
        writeReport(folder),
        (error) => error instanceof DataFormatError && /items\.jsonl, line 2: y: /.test(error.message),
      );
      writeFileSync(join(folder, "items.jsonl"), `${good}\n${JSON.stringify(item({ adapter: "a", y: 1 }))}\n`);
      writeFileSync(join(folder, "examples.jsonl"), '{"item": "1"}\n');
      await assert.rejects(
        writeReport(folder),
        (error) => error instanceof DataFormatError && /examples\.jsonl, line 1: .*prompt/.test(error.message),
      );
      assert.equal(existsSync(join(folder, "report.html")), false);
    });
  });
});

describe("data in the page", () => {
  it("cannot close its element, whatever texts it holds, and comes back as it was", () => {
    const value = { text: "</script><!-- \u2028 & '\"", list: [1, null] };
    const text = scriptJson(value);
    assert.ok(!/[<>\u2028\u2029]/.test(text));
    assert.deepEqual(JSON.parse(text), value);
  });

  it("keeps rows as columns and gives each row back", () => {
    const rows = [
      { a: "x", b: 1, c: null },
      { a: "y", b: 0.25, c: "z" },
      { a: "x", b: null, c: null },
    ];
    const columns = toColumns(rows);
    assert.deepEqual(columns.texts.a!.values, ["x", "y"]);
    rows.forEach((row, index) => {
      assert.deepEqual(rowAt(columns, index), row);
    });
  });
});
