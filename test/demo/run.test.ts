/** The demo itself, as small as it gets, on the real model: what it writes, what it keeps, what it refuses to touch. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { type DemoResult, runDemo } from "#lib/demo/run.js";
import { openModel } from "#lib/engine/open.js";
import { UsageError } from "#lib/errors.js";
import { pullModel } from "#lib/models/pull.js";
import { readLines, SMOLLM2, withFolder } from "../engine/support.js";

const VIEW = { note() {}, progress: () => ({ update() {}, stop() {} }) };

function demo(output: string): Promise<DemoResult> {
  // So little time that the smallest plan is taken.
  return runDemo({
    ...{ output, minutes: 0.01, seed: 0, model: SMOLLM2, device: "auto", compute: "float32", view: VIEW },
    openModel: (ref) => openModel(ref.model),
  });
}

describe("the demo", () => {
  before(() => pullModel(SMOLLM2));

  it("moves each trait it induces, writes what its table derives from, and a second run does nothing again", async () => {
    await withFolder(async (folder) => {
      const first = await demo(folder);
      assert.equal(first.reused, 0);
      const induced = [...new Set(first.cells.map(({ value }) => value))];
      for (const { value, low } of first.cells.filter(({ onTarget }) => onTarget))
        assert.ok(low! > 0, `${value}: ${low}`);
      assert.equal(first.cells.length, induced.length * 5);

      // The mean change of a cell, once more and by hand.
      type Item = { adapter: string; task: string; metric: string; item: string; step?: number; y: number };
      const all = readLines<Item>(join(folder, "items.jsonl")).filter(({ metric }) => metric === "log_margin");
      const last = Math.max(...all.map(({ step = 0 }) => step));
      const margins = all.filter(({ step = last }) => step === last);
      for (const { value, task: measured, mean, items } of first.cells) {
        const of = (name: string) => margins.filter(({ adapter, task }) => adapter === name && task === measured);
        const base = new Map(of("base").map(({ item, y }) => [item, y]));
        const changes = of(`${value}/induce/seed-0`).map(({ item, y }) => y - base.get(item)!);
        assert.equal(changes.length, items);
        assert.ok(Math.abs(changes.reduce((sum, change) => sum + change, 0) / changes.length - mean) < 1e-9);
      }
      assert.deepEqual(
        first.answers.map(({ adapter }) => adapter),
        ["base", ...induced],
      );

      const page = readFileSync(first.report, "utf8");
      const shown = page.replaceAll("&#39;", "'").replaceAll("&quot;", '"');
      for (const { text } of first.answers) assert.ok(shown.includes(text.slice(0, 40)), text);

      const second = await demo(folder);
      assert.deepEqual([second.ran, second.reused], [0, first.ran]);
      assert.deepEqual([second.cells, second.answers], [first.cells, first.answers]);
      assert.equal(readFileSync(second.report, "utf8"), page);
    });
  });

  it("refuses a folder that holds other work or another study, and leaves it as it is", async () => {
    await withFolder(async (folder) => {
      const refused = (what: RegExp) =>
        assert.rejects(demo(folder), (error) => error instanceof UsageError && what.test(error.message));
      writeFileSync(join(folder, "notes.txt"), "mine");
      await refused(/it holds notes.txt and no study; choose another folder/);
      assert.deepEqual(readdirSync(folder), ["notes.txt"]);
      writeFileSync(join(folder, "study.yaml"), "name: mine\n");
      await refused(/it holds another study; choose another folder/);
      assert.equal(readFileSync(join(folder, "study.yaml"), "utf8"), "name: mine\n");
    });
  });
});
