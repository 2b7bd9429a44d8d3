/** Training and using a probe as a shell script does, on a tiny random model. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { generator } from "../curation/support.js";
import { assertRefused, lines, results, run, withFolder, writeTinyModel } from "./program.js";

const random = generator(11);
const word = (letters: string): string =>
  Array.from({ length: 3 + Math.floor(4 * random()) }, () => letters[Math.floor(random() * letters.length)]).join("");
const words = (letters: string): string => Array.from({ length: 4 }, () => word(letters)).join(" ");
/** Its letters are the value: what a byte's embedding can show. */
const funny = (is: boolean): string => words(is ? "hajokyz" : "mnbvcxw");

const LABELLED = lines(
  ...Array.from({ length: 120 }, (_, index) => {
    const is = index % 3 === 0;
    return { id: `t${index}`, prompt: `Q${index}`, response: funny(is), labels: is ? ["humor"] : ["privacy"] };
  }),
);

describe("valora label --train-probe", () => {
  test("makes a probe that finds the value in texts it has not seen, and says how well", async () => {
    await withFolder(async (folder) => {
      const model = writeTinyModel(folder);
      const [labelled, probe] = [join(folder, "labelled.jsonl"), join(folder, "humor.probe.json")];
      writeFileSync(labelled, LABELLED);
      const train = ["label", "--train-probe", labelled, "--model", model, "--layer", "1", "--output", probe];
      const trained = await run([...train, "--value", "humor", "--value", "honesty"]);
      assert.equal(trained.status, 0, trained.stderr);
      assert.match(trained.stdout, /^humor +120 +40 +\d+ +/m);
      assert.match(trained.stderr, /cross-fitted: 120 groups of texts in 5 folds, hidden states after layer 1 of 3/);
      const file = JSON.parse(readFileSync(probe, "utf8"));
      const [value] = file.values;
      assert.deepEqual([file.layer, file.model.channels, file.values.length, value.name], [1, 64, 1, "humor"]);
      assert.equal(value.weights.length, 64);
      assert.ok(value.figures.auc.value > 0.9, JSON.stringify(value.figures));
      assert.equal(
        readFileSync(probe, "utf8").split("\n").length,
        JSON.stringify({ ...file, values: [] }, null, 2).split("\n").length + 3,
      );

      const pairs = lines(
        ...Array.from({ length: 20 }, (_, index) => ({
          id: `n${index}`,
          prompt: `N${index}`,
          chosen: funny(true),
          rejected: funny(false),
        })),
        { id: "empty", prompt: "E", chosen: "", rejected: "x" },
      );
      const use = ["--extractor", "probe", "--probe", probe, "--model", model];
      const label = ["label", "--input", "-", "--format", "pairs", ...use, "--quiet", "--on-error", "skip"];
      const env = { VALORA_CACHE: folder };
      const found = results(await run(label, { input: pairs, env })) as {
        values: { chosen: string[]; rejected: string[] };
      }[];
      assert.equal(found.length, 20);
      const right = found.filter(({ values }) => values.chosen.length === 1 && values.rejected.length === 0).length;
      assert.ok(right >= 15, `${right} of 20`);
      const refused = await run(label.slice(0, -2), { input: pairs, env });
      assert.match(refused.stderr, /empty, chosen \(\d+\)": the response is empty/);

      const precision = (input: string, ...args: string[]) =>
        run(["precision", "--input", "-", ...args, "--probe", probe, "--model", model, "--format", "json"], {
          input,
          env,
        });
      assertRefused(await precision(LABELLED, "--extractor", "probe", "--quiet"), 2, "was trained on all texts");
      const fresh = lines(
        ...Array.from({ length: 30 }, (_, index) => ({
          id: `f${index}`,
          response: funny(index < 10),
          labels: index < 10 ? ["humor"] : [],
        })),
        { id: "seen by its prompt", prompt: "Q7", response: "new words", labels: [] },
      );
      for (const extractor of ["probe", "lexicon"]) {
        const report = await precision(fresh, "--extractor", extractor);
        assert.match(report.stderr, /1 texts are left out/);
        assert.equal(JSON.parse(report.stdout).texts, 30, extractor);
      }

      const again = await run([...train, "--value", "humor", "--value", "honesty"]);
      assert.match(again.stderr, /is up to date/);
    });
  });

  test("learns from pairs with values, as valora label writes them", async () => {
    await withFolder(async (folder) => {
      const [labelled, probe] = [join(folder, "pairs.jsonl"), join(folder, "p.json")];
      const rows = Array.from({ length: 40 }, (_, index) => ({
        id: `p${index}`,
        prompt: `Q${index}`,
        chosen: funny(index % 2 === 0),
        rejected: funny(index % 2 === 1),
        values: index % 2 === 0 ? { chosen: ["humor"], rejected: [] } : { chosen: [], rejected: ["humor"] },
      }));
      writeFileSync(labelled, lines(...rows));
      const args = [
        "label",
        "--train-probe",
        labelled,
        "--model",
        writeTinyModel(folder),
        "--output",
        probe,
        "--quiet",
      ];
      const trained = await run(args);
      assert.equal(trained.status, 0, trained.stderr);
      const { training, values } = JSON.parse(readFileSync(probe, "utf8"));
      assert.deepEqual([training.layout, training.texts, training.groups], ["pairs", 80, 40]);
      assert.deepEqual([values[0].texts, values[0].positives], [80, 40]);
      assert.ok(values[0].figures.auc.value > 0.85);
    });
  });

  test("says in one sentence what is missing or does not fit, and leaves no file", async () => {
    await withFolder(async (folder) => {
      const model = writeTinyModel(folder);
      const [labelled, probe] = [join(folder, "l.jsonl"), join(folder, "p.json")];
      writeFileSync(labelled, LABELLED);
      const train = ["label", "--train-probe", labelled, "--quiet"];
      assertRefused(await run([...train, "--output", probe]), 2, "--model");
      assertRefused(await run([...train, "--model", model]), 2, "--output");
      assertRefused(await run([...train, "--model", model, "--output", probe, "--layer", "4"]), 2, "from 0 to 3");
      const few = await run([...train, "--model", model, "--output", probe, "--limit", "12"]);
      assertRefused(few, 1, "label more texts");
      const none = await run([...train, "--model", model, "--output", probe, "--value", "empathy"]);
      assertRefused(none, 2, "labels for none of empathy");
      assertRefused(
        await run([...train, "--input", labelled, "--model", model, "--output", probe]),
        2,
        "leave out --input",
      );
      assertRefused(await run(["label", "--input", labelled, "--extractor", "lexicon", "--limit", "3"]), 2, "--limit");
      assertRefused(await run(["label", "--output", probe, "--quiet"]), 2, "--input is required");
      assertRefused(await run(["label", "--input", "-", "--quiet"]), 2, "--extractor is required");
      const use = ["label", "--input", labelled, "--extractor", "probe", "--model", model, "--quiet"];
      assertRefused(await run(use), 2, "--probe");
      assertRefused(await run([...use, "--probe", labelled]), 1, "no probe");
      assert.ok(!existsSync(probe));
    });
  });
});

describe("valora precision --export-csv and --import", () => {
  test("make a table and its key, and compare what annotators filled in", async () => {
    await withFolder(async (folder) => {
      const path = (name: string): string => join(folder, name);
      const rows = Array.from({ length: 30 }, (_, index) => ({
        id: `p${index}`,
        prompt: "Q",
        chosen: `chosen ${index}`,
        rejected: `rejected ${index}`,
        values: { chosen: ["humor"], rejected: index % 2 === 0 ? ["empathy"] : [] },
      }));
      writeFileSync(path("l.jsonl"), lines(...rows));
      const key = ["--key", path("key.jsonl")];
      const made = await run([
        "precision",
        "--input",
        path("l.jsonl"),
        "--export-csv",
        path("t.csv"),
        ...key,
        "--per-value",
        "10",
      ]);
      assert.equal(made.status, 0, made.stderr);
      assert.match(made.stderr, /20 items in .*t\.csv, 4 labels each/);
      const entries = readFileSync(path("key.jsonl"), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line));
      const table = (answer: (entry: { target: string; labels: string[] }, index: number) => string): string =>
        `item,picked\n${entries.map((entry, index) => `${entry.item},${answer(entry, index)}\n`).join("")}`;
      writeFileSync(
        path("a.csv"),
        table(({ target, labels }) => String(labels.indexOf(target) + 1)),
      );
      writeFileSync(
        path("b.csv"),
        table(({ target }, index) => (index < 10 ? target : "none")),
      );
      const read = ["precision", "--import", path("a.csv"), "--import", path("b.csv"), ...key];
      const table1 = await run(read);
      assert.equal(table1.status, 0, table1.stderr);
      assert.match(table1.stdout, /any of them \(union\) +20 +100\.0 \(84–100\)/);
      assert.match(table1.stdout, /all of them \(intersection\) +10 +100\.0/);
      const report = JSON.parse((await run([...read, "--format", "json"])).stdout);
      assert.deepEqual(
        report.annotators.map(({ precision }: { precision: { hits: { value: number } } }) => precision.hits.value),
        [1, 0.5],
      );
      const csv = (await run([...read, "--format", "csv"])).stdout.trim().split("\n");
      assert.deepEqual(
        csv.map((line) => line.split(",")[0]),
        ["value", "empathy", "humor", "all"],
      );

      assertRefused(await run(["precision", "--import", path("a.csv")]), 2, "--key");
      assertRefused(await run(["precision", "--export-csv", path("u.csv"), "--input", path("l.jsonl")]), 2, "--key");
      assertRefused(await run(["precision", "--quiet"]), 2, "--input");
      writeFileSync(path("bad.csv"), "item,picked\nitem-01,9\n");
      assertRefused(await run(["precision", "--import", path("bad.csv"), ...key]), 1, "bad.csv, line 2");
      assert.ok(!existsSync(path("u.csv")));
    });
  });
});
