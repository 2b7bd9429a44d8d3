/** `valora label` as a shell script uses it. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { assertRefused, lines, parseLines, readLines, results, run, withFolder } from "./program.js";

const PAIRS = lines(
  { id: "a", prompt: "My dog died.", chosen: "I'm so sorry to hear that.", rejected: "It is illegal to keep dogs." },
  { id: "b", prompt: [{ role: "user", content: "Hi" }], chosen: "Hello there.", rejected: "Hello!", note: 7 },
);

describe("valora label", () => {
  test("adds values, scores and extractor to every pair, and says what it found", async () => {
    const outcome = await run(["label", "--input", "-", "--extractor", "lexicon"], { input: PAIRS });
    const [first, second] = results(outcome);
    assert.deepEqual(first?.values, { chosen: ["empathy"], rejected: ["legality"] });
    assert.equal(first?.extractor, "lexicon@1");
    assert.deepEqual(first?.scores, { chosen: { empathy: 0.7 }, rejected: { legality: 0.7 } });
    assert.equal(second?.note, 7);
    assert.match(outcome.stderr, /2 pairs labelled by lexicon@1/);
    assert.match(outcome.stderr, /empathy +1 +0 +1\n/);
  });

  test("writes a file that appears when it is complete, with a manifest, and is made again only where something changed", async () => {
    await withFolder(async (folder) => {
      const input = join(folder, "pairs.jsonl");
      const output = join(folder, "labelled.jsonl");
      const label = (...more: string[]) =>
        run(["label", "--input", input, "--extractor", "lexicon", "--output", output, ...more]);
      writeFileSync(input, PAIRS);
      assert.equal((await label()).status, 0);
      assert.equal(readLines(output).length, 2);
      const manifest = JSON.parse(readFileSync(`${output}.manifest.json`, "utf8"));
      assert.equal(manifest.command, "label");
      assert.equal(manifest.options.extractor, "lexicon@1");
      assert.match(manifest.sha256.extractor, /^[0-9a-f]{64}$/);
      const made = statSync(output).mtimeMs;
      assert.match((await label()).stderr, /up to date/);
      assert.equal(statSync(output).mtimeMs, made);
      assert.doesNotMatch((await label("--threshold", "0.9")).stderr, /up to date/);
      assert.deepEqual(readLines(output)[0]?.values, { chosen: [], rejected: [] });

      writeFileSync(input, `${PAIRS}{"id":"c"}\n`);
      const before = readFileSync(output, "utf8");
      assertRefused(
        await run(["label", "--input", input, "--extractor", "lexicon", "--output", output, "--quiet"]),
        1,
        "line 3",
      );
      assert.equal(readFileSync(output, "utf8"), before, "the old file stays as it was");
      const fresh = join(folder, "fresh", "out.jsonl");
      await run(["label", "--input", input, "--extractor", "lexicon", "--output", fresh]);
      assert.ok(!existsSync(fresh));
      assert.deepEqual(readdirSync(join(folder, "fresh")), []);
      const skipping = await label("--on-error", "skip");
      assert.equal(skipping.status, 0);
      assert.match(skipping.stderr, /left out: 1/);
    });
  });

  test("looks only for the values of --value, and for those of a user's file", async () => {
    await withFolder(async (folder) => {
      const values = join(folder, "mine.yaml");
      writeFileSync(values, "values: [{name: greeting, definition: x, lexicon: {strong: [hello]}}]");
      const outcome = await run(
        [
          "label",
          "--input",
          "-",
          "--extractor",
          "lexicon",
          "--values",
          values,
          "--value",
          "greeting",
          "--value",
          "legality",
        ],
        { input: PAIRS },
      );
      assert.deepEqual(
        results(outcome).map((pair) => pair.values),
        [
          { chosen: [], rejected: ["legality"] },
          { chosen: ["greeting"], rejected: ["greeting"] },
        ],
      );
    });
  });

  test("takes labels from a file, and several inputs in order", async () => {
    await withFolder(async (folder) => {
      const [one, two, labels] = ["one.jsonl", "two.jsonl", "labels.csv"].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      writeFileSync(one, PAIRS);
      writeFileSync(two, lines({ id: "z", prompt: "Q", chosen: "Hello!", rejected: "Hello there." }));
      writeFileSync(
        labels,
        "response,value,label\nHello there.,empathy,1\nHello!,empathy,0\nI'm so sorry to hear that.,empathy,1\nIt is illegal to keep dogs.,empathy,no\n",
      );
      const outcome = await run([
        "label",
        "--input",
        one,
        "--input",
        two,
        "--extractor",
        "file",
        "--labels",
        labels,
        "--quiet",
      ]);
      assert.deepEqual(
        results(outcome).map(({ id, values }) => [id, values]),
        [
          ["a", { chosen: ["empathy"], rejected: [] }],
          ["b", { chosen: ["empathy"], rejected: [] }],
          ["z", { chosen: [], rejected: ["empathy"] }],
        ],
      );
    });
  });

  test("counts planted attributes", async () => {
    const outcome = await run(["label", "--input", "-", "--extractor", "attributes", "--quiet"], { input: PAIRS });
    assert.deepEqual(
      parseLines(outcome.stdout).map((pair) => pair.values),
      [
        { chosen: [], rejected: [] },
        { chosen: ["longer"], rejected: ["exclamation"] },
      ],
    );
  });

  test("says in one sentence what is missing", async () => {
    const label = (...args: string[]) => run(["label", "--input", "-", "--quiet", ...args], { input: PAIRS });
    assertRefused(await label(), 2, "--extractor");
    assertRefused(await run(["label", "--extractor", "lexicon"]), 2, "--input");
    assertRefused(await label("--extractor", "file"), 2, "--labels");
    assertRefused(await label("--extractor", "lexicon", "--value", "kindnes"), 2, "kindnes", "empathy");
    assertRefused(await label("--extractor", "lexicon", "--value", "longer"), 2, "longer");
    assertRefused(await label("--extractor", "lexicon", "--threshold", "2"), 2, "--threshold");
    assertRefused(await label("--extractor", "lexicon", "--values", "/nowhere.yaml"), 1, "/nowhere.yaml");
  });
});
