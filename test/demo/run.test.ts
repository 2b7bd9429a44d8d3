/** The demo itself, as small as it gets, on the real model: what it writes, what it keeps, what it refuses to touch. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { type DemoResult, runDemo } from "#lib/demo/run.js";
import { openModel } from "#lib/engine/open.js";
import { UsageError } from "#lib/errors.js";
import { pullModel } from "#lib/models/pull.js";
import { readLines, SMOLLM2, withFolder } from "../engine/support.js";

const VIEW = { note() {}, progress: () => ({ update() {}, stop() {} }) };

function demo(output: string): Promise<DemoResult> {
  return openModel(SMOLLM2).then(async (model) => {
    await using _ = model;
    // So little time that the smallest plan is taken.
    return await runDemo(model, { output, minutes: 0.01, seed: 0, view: VIEW });
  });
}

describe("the demo", () => {
  before(() => pullModel(SMOLLM2));

  it("moves each trait it induces, writes what its table derives from, and a second run does nothing again", async () => {
    await withFolder(async (folder) => {
      const first = await demo(folder);
      assert.deepEqual(first.reused, []);
      const induced = [...new Set(first.cells.map(({ value }) => value))];
      for (const { value, low } of first.cells.filter(({ onTarget }) => onTarget))
        assert.ok(low! > 0, `${value}: ${low}`);
      assert.equal(first.cells.length, induced.length * 5);

      // The mean change of a cell, once more and by hand.
      const margins = readLines<{ adapter: string; task: string; metric: string; item: string; y: number }>(
        join(folder, "items.jsonl"),
      ).filter(({ metric }) => metric === "log_margin");
      for (const { value, task: measured, mean, items } of first.cells) {
        const of = (name: string) => margins.filter(({ adapter, task }) => adapter === name && task === measured);
        const base = new Map(of("base").map(({ item, y }) => [item, y]));
        const changes = of(value).map(({ item, y }) => y - base.get(item)!);
        assert.equal(changes.length, items);
        assert.ok(Math.abs(changes.reduce((sum, change) => sum + change, 0) / changes.length - mean) < 1e-9);
      }
      assert.deepEqual(
        first.answers.map(({ adapter }) => adapter),
        ["base", ...induced],
      );

      const second = await demo(folder);
      assert.deepEqual(second.reused, [...induced.map((trait) => `adapter ${trait}`), "scores", "answers"]);
      assert.deepEqual(second.cells, first.cells);

      // A damaged part is made again, and comes out the same.
      const scores = readFileSync(join(folder, "items.jsonl"));
      writeFileSync(join(folder, "items.jsonl"), scores.subarray(0, scores.length - 5));
      const third = await demo(folder);
      assert.ok(!third.reused.includes("scores"), third.reused.join());
      assert.deepEqual(readFileSync(join(folder, "items.jsonl")), scores);
    });
  });

  it("refuses a folder that holds other work, and leaves it as it is", async () => {
    await withFolder(async (folder) => {
      mkdirSync(join(folder, "adapters/agreeableness"), { recursive: true });
      writeFileSync(join(folder, "adapters/agreeableness/notes.txt"), "mine");
      await assert.rejects(
        demo(folder),
        (error) => error instanceof UsageError && /holds other work/.test(error.message),
      );
      assert.deepEqual(readdirSync(folder), ["adapters"]);
      assert.equal(readFileSync(join(folder, "adapters/agreeableness/notes.txt"), "utf8"), "mine");
    });
  });
});
