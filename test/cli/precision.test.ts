/** `valora precision` as a shell script uses it. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertRefused, lines, run, withFolder } from "./program.js";

const LABELLED = lines(
  { id: "a", response: "I'm so sorry to hear that.", labels: ["empathy"] },
  { id: "b", response: "It is illegal to keep dogs.", labels: ["legality"] },
  { id: "c", response: "I'm so sorry to hear that, it hurts.", labels: [] },
  { id: "d", response: "I feel with you.", labels: ["empathy"], cluster: "c" },
);

const precision = (...args: string[]) =>
  run(["precision", "--input", "-", "--extractor", "lexicon", "--quiet", ...args], { input: LABELLED });

describe("valora precision", () => {
  test("prints figures for the values that people labelled, and names the others as unvalidated", async () => {
    const { status, stdout, stderr } = await precision();
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^empathy +4 +2 +\d/m);
    assert.match(stdout, /^legality +4 +1 +1 +100\.0 \(\d+–100\) +100\.0/m);
    assert.match(stdout, /unvalidated.*: .*honesty/);
    assert.doesNotMatch(stdout, /^honesty/m);
  });

  test("writes CSV and JSON, the same figures in both, to a file that appears when it is complete", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out.json");
      assert.equal((await precision("--format", "json", "--output", output)).status, 0);
      const report = JSON.parse(readFileSync(output, "utf8"));
      assert.equal(report.extractor, "lexicon@1");
      assert.equal(report.unvalidated.length, 13);
      const csv = (await precision("--format", "csv")).stdout.trim().split("\n");
      const [head, ...rows] = csv.map((line) => line.split(","));
      assert.equal(rows.length, 15);
      for (const { value, texts, found, scores } of report.values) {
        const row = rows.find(([name]) => name === value)!;
        const cell = (column: string) => row[head!.indexOf(column)];
        assert.deepEqual([cell("status"), cell("texts"), cell("found")], ["validated", String(texts), String(found)]);
        assert.equal(Number(cell("recall")), Number(scores.recall.value.toPrecision(6)));
      }
      assert.equal(rows.filter((row) => row[1] === "unvalidated").length, 13);
    });
  });

  test("takes a sample, a threshold and chosen values", async () => {
    const sampled = JSON.parse((await precision("--limit", "2", "--format", "json")).stdout);
    assert.equal(sampled.texts, 2);
    const strict = JSON.parse(
      (await precision("--threshold", "1", "--value", "empathy", "--value", "humor", "--format", "json")).stdout,
    );
    assert.deepEqual(
      [strict.values.map(({ value }: { value: string }) => value), strict.unvalidated],
      [["empathy"], ["humor"]],
    );
    assert.equal(strict.values[0].found, 0);
    assert.equal(strict.values[0].scores.precision.value, null);
  });

  test("says in one sentence what is missing, and leaves no file", async () => {
    await withFolder(async (folder) => {
      assertRefused(await run(["precision", "--extractor", "lexicon"]), 2, "--input");
      assertRefused(await precision("--value", "humor"), 2, "humor");
      assertRefused(await precision("--limit", "0"), 2, "--limit");
      const judge = ["precision", "--input", "-", "--extractor", "judge", "--quiet"];
      assertRefused(await run(judge, { input: LABELLED }), 2, "--model");
      assertRefused(await run(["precision", "--input", folder, "--extractor", "lexicon"]), 1, "arguments-SPLIT.tsv");
      const output = join(folder, "out.csv");
      const broken = ["precision", "--input", "-", "--extractor", "lexicon", "--output", output];
      writeFileSync(join(folder, "x"), "");
      assertRefused(await run(broken, { input: `${LABELLED}{"id":"e"}\n` }), 1, "line 5");
      assert.ok(!existsSync(output));
    });
  });
});
