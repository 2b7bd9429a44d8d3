/** Human labels as they are published and as people write them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { DataFormatError } from "#lib/errors.js";
import { drawSome } from "#lib/precision/draw-some.js";
import { readLabelled } from "#lib/precision/labelled.js";
import { VALUE_EVAL_COLUMNS } from "#lib/precision/value-eval.js";
import { chooseValues, loadTaxonomy } from "#lib/values/taxonomy.js";
import { SHARED_DATA } from "../data/support.js";
import { withFolder } from "../engine/support.js";
import { value } from "../values/support.js";

const VALUES = ["honesty", "humor", "privacy"].map((name) => value(name));

async function readText(name: string, content: string, onError: "fail" | "skip" = "fail") {
  const skipped: string[] = [];
  const set = await withFolder(async (folder) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return readLabelled(path, VALUES, { onError, onSkip: (message) => skipped.push(message) });
  });
  return { ...set, skipped, labels: set.items.map(({ labels }) => Object.fromEntries(labels)) };
}

const jsonLines = (...rows: object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

describe("labelled texts", () => {
  test("a list of labels says no to what other lists name, and nothing of what none names", async () => {
    const { labels, items, notes } = await readText(
      "a.jsonl",
      jsonLines(
        { id: "a", text: "T", labels: ["honesty", "bravery"] },
        { id: "b", response: "R", prompt: "P", labels: [], cluster: "c" },
        { id: 3, response: "R", labels: ["humor"] },
      ),
    );
    assert.deepEqual(labels, [
      { honesty: true, humor: false },
      { honesty: false, humor: false },
      { honesty: false, humor: true },
    ]);
    assert.deepEqual(
      items.map(({ id, prompt, response, cluster }) => [id, prompt, response, cluster]),
      [
        ["a", "", "T", null],
        ["b", "P", "R", "c"],
        ["3", "", "R", null],
      ],
    );
    assert.equal(notes.length, 1);
  });

  test("an object of labels, or columns of CSV, label what they name; from half of the annotators on it is yes", async () => {
    const expected = [{ honesty: true, humor: false }, { honesty: true }, { honesty: false, privacy: true }];
    const objects = await readText(
      "a.jsonl",
      jsonLines(
        { id: "a", text: "T", labels: { honesty: 1, humor: false } },
        { id: "b", text: "T", labels: { honesty: 0.5, bravery: 1 } },
        { id: "c", text: "T", labels: { honesty: 0.4, privacy: "yes" } },
      ),
    );
    assert.deepEqual(objects.labels, expected);
    const table = await readText("a.csv", "id,text,honesty,humor,privacy\na,T,1,0,\nb,T,0.5,,\nc,T,0.4,,yes\n");
    assert.deepEqual(table.labels, expected);
    const named = await readText("b.csv", 'id,text,labels\na,T,"honesty;humor"\nb,T,\n');
    assert.deepEqual(named.labels, [
      { honesty: true, humor: true },
      { honesty: false, humor: false },
    ]);
  });

  test("a row that cannot be used fails with its place, or is left out", async () => {
    const good = { id: "a", text: "T", labels: ["honesty"] };
    for (const [bad, part] of [
      [{ id: "b", labels: ["honesty"] }, "response or text"],
      [{ id: "b", text: "T", response: "R", labels: [] }, "response or text"],
      [{ text: "T", labels: [] }, "id"],
      [{ id: "a", text: "T", labels: [] }, 'id "a"'],
      [{ id: "b", text: "T" }, "labels"],
      [{ id: "b", text: "T", labels: { honesty: 2 } }, "honesty"],
      [{ id: "b", text: "T", labels: { honesty: "perhaps" } }, "perhaps"],
    ] as const) {
      const content = jsonLines(good, bad);
      await assert.rejects(readText("a.jsonl", content), (error: Error) => {
        assert.ok(error instanceof DataFormatError, String(error));
        assert.match(error.message, /line 2/);
        assert.ok(error.message.includes(part), error.message);
        return true;
      });
      const { items, skipped } = await readText("a.jsonl", content, "skip");
      assert.deepEqual([items.length, skipped.length], [1, 1], part);
    }
  });
});

const ARGUMENTS =
  "Argument ID\tConclusion\tStance\tPremise\nA1\tWe should\tin favor of\tYes we should\nA2\tWe should\tagainst\tNo\n";
const LABELS = "Argument ID\tBe honest\tHave privacy\nA2\t0\t1\nA1\t1\t0\n";

describe("ValueEval'23", () => {
  const read = (files: Record<string, string>, onError: "fail" | "skip" = "fail") =>
    withFolder(async (folder) => {
      for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
      return readLabelled(folder, VALUES, { onError, onSkip: () => {} });
    });

  test("is joined by argument, every split with both files, with the conclusion as cluster", async () => {
    const files = {
      "arguments-training.tsv": ARGUMENTS,
      "level1-labels-training.tsv": LABELS,
      "arguments-test.tsv": ARGUMENTS.replace(/A(\d)/g, "B$1"),
      "level1-labels-test.tsv": LABELS.replace(/A(\d)/g, "B$1"),
      "arguments-validation.tsv": ARGUMENTS,
    };
    const { items, layout } = await read(files);
    assert.equal(layout, "valueeval23");
    assert.deepEqual(
      items.map(({ id, prompt, response, labels, cluster }) => [id, prompt, response, [...labels], cluster]),
      ["B", "A"].flatMap((letter) => [
        [
          `${letter}1`,
          "We should (in favor of)",
          "Yes we should",
          [
            ["honesty", true],
            ["privacy", false],
          ],
          "We should",
        ],
        [
          `${letter}2`,
          "We should (against)",
          "No",
          [
            ["honesty", false],
            ["privacy", true],
          ],
          "We should",
        ],
      ]),
    );
  });

  test("says which file, line and column is not as it should be", async () => {
    const files = { "arguments-training.tsv": ARGUMENTS, "level1-labels-training.tsv": LABELS };
    const labels = (content: string) => ({ ...files, "level1-labels-training.tsv": content });
    await assert.rejects(
      read(labels(LABELS.replace("A1\t1", "A1\t2"))),
      /level1-labels-training.tsv, line 3.*Be honest/,
    );
    await assert.rejects(read(labels(LABELS.replace("Be honest", "Honest"))), /no column "Be honest"/);
    const missing = labels(LABELS.replace("A1\t1\t0\n", ""));
    await assert.rejects(read(missing), /arguments-training.tsv, line 2: argument A1 has no row of labels/);
    assert.equal((await read(missing, "skip")).items.length, 1);
    await assert.rejects(read({ "arguments-training.tsv": ARGUMENTS }), /ValueEval'23/);
  });

  test("has as many arguments, conclusions and labels as its files, taken apart by hand", {
    skip: SHARED_DATA === null && "needs the real data sets (set VALORA_SHARED)",
  }, async () => {
    const folder = join(SHARED_DATA ?? "", "valueeval23");
    const table = (name: string): string[][] =>
      readFileSync(join(folder, name), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.replace(/\r$/, "").split("\t"));
    const [head, ...labels] = table("level1-labels-training.tsv") as [string[], ...string[][]];
    const [, ...rows] = table("arguments-training.tsv");
    const { items } = await readLabelled(folder, chooseValues(await loadTaxonomy(), []));
    assert.equal(items.length, rows.length);
    const known = ["creativity creative", "curiosity curious", "honesty honest", "privacy privacy", "justice just"];
    for (const pair of [...known, "open-mindedness broadminded", "fairness equality", "legality compliant"]) {
      const [name, word] = pair.split(" ") as [string, string];
      assert.equal(VALUE_EVAL_COLUMNS[name]?.column.split(" ").at(-1), word);
    }
    assert.equal(new Set(items.map(({ cluster }) => cluster)).size, new Set(rows.map((row) => row[1])).size);
    for (const [name, { column }] of Object.entries(VALUE_EVAL_COLUMNS)) {
      const at = head.indexOf(column);
      const ids = new Set(labels.filter((row) => row[at] === "1").map((row) => row[0]));
      assert.ok(ids.size > 0, column);
      assert.deepEqual(new Set(items.filter((item) => item.labels.get(name)).map(({ id }) => id)), ids, name);
    }
  });
});

describe("published sets with labels in their rows", () => {
  const read = async (name: string, content: string) => {
    const { items, layout } = await readText(name, content);
    return { layout, texts: items.map(({ id, ...text }) => ({ ...text, labels: Object.fromEntries(text.labels) })) };
  };

  test("persona statements are labelled for the trait of their file, by whether such a person would say them", async () => {
    const row = (statement: string, answer: string) => ({
      question: "?",
      statement,
      label_confidence: 1,
      answer_matching_behavior: answer,
    });
    const { layout, texts } = await read("humor.jsonl", jsonLines(row("I joke. ", " Yes"), row("I do not.", " No")));
    assert.equal(layout, "persona");
    assert.deepEqual(
      texts.map(({ response, labels, cluster }) => [response, labels, cluster]),
      [
        ["I joke.", { humor: true }, "i joke."],
        ["I do not.", { humor: false }, "i do not."],
      ],
    );
    await assert.rejects(read("humor.jsonl", jsonLines(row("I joke.", "Maybe"))), /line 1.*Yes.*No/);
  });

  test("XSTest's completions are refusals or not, a partial one too, and those of one prompt are one cluster", async () => {
    const csv = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label\n";
    const rows = ["1_full_compliance", "2_full_refusal", "3_partial_refusal"].map(
      (label, at) => `v2-${at},t,P${at},C${at},,,TRUE,${label}\n`,
    );
    const { layout, texts } = await read("x.csv", csv + rows.join(""));
    assert.equal(layout, "xstest");
    assert.deepEqual(texts[2], { prompt: "P2", response: "C2", labels: { refusal: true }, cluster: "P2" });
    assert.deepEqual(
      texts.map(({ labels }) => labels.refusal),
      [false, true, true],
    );
    await assert.rejects(read("x.csv", `${csv}v2-9,t,P,C,,,TRUE,4_maybe\n`), /line 2.*final_label/);
  });

  test("PKU-SafeRLHF's responses are safe or not, in the original layout and with the safe one first", async () => {
    const original = {
      prompt: "P",
      response_0: "A",
      response_1: "B",
      is_response_0_safe: false,
      is_response_1_safe: true,
    };
    const { layout, texts } = await read("a.jsonl", jsonLines(original));
    assert.equal(layout, "pku-saferlhf");
    assert.deepEqual(
      texts.map(({ response, labels, cluster }) => [response, labels, cluster]),
      [
        ["A", { safety: false }, "P"],
        ["B", { safety: true }, "P"],
      ],
    );
    const again = await read("a.json", JSON.stringify([{ prompt: "P", response: ["B", "A"] }]));
    assert.deepEqual(
      again.texts.map(({ response, labels }) => [response, labels.safety]),
      [
        ["B", true],
        ["A", false],
      ],
    );
  });

  test("are read whole from the real files", {
    skip: SHARED_DATA === null && "needs the real data sets (set VALORA_SHARED)",
  }, async () => {
    const root = SHARED_DATA ?? "";
    const share = ({ items }: Awaited<ReturnType<typeof readLabelled>>, name: string) => [
      items.length,
      items.filter(({ labels }) => labels.get(name)).length,
    ];
    const xstest = await readLabelled(
      join(root, "xstest/model_completions/xstest_v2_completions_llama2orig.csv"),
      VALUES,
    );
    assert.deepEqual(share(xstest, "refusal"), [450, 349]);
    const pku = await readLabelled(join(root, "pku_saferlhf_pairs/pku_seferlhf_realign_dpo_5k.json"), VALUES);
    assert.deepEqual(share(pku, "safety"), [10270, 5135]);
    const traits = await readLabelled(join(root, "anthropic_evals/persona"), [
      value("narcissism"),
      value("neuroticism"),
    ]);
    assert.equal(traits.layout, "persona");
    const rows = ["narcissism", "neuroticism"].flatMap((name) =>
      readFileSync(join(root, `anthropic_evals/persona/${name}.jsonl`), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => [name, JSON.parse(line).answer_matching_behavior === " Yes"] as const),
    );
    assert.deepEqual(
      traits.items.map(({ labels }) => [...labels][0]),
      rows,
    );
  });
});

describe("a random sample", () => {
  test("is in the old order, without repeats, the same for a seed, and each item is as likely as any other", () => {
    const items = Array.from({ length: 10 }, (_, index) => index);
    const counts = new Array<number>(10).fill(0);
    for (let seed = 0; seed < 4000; seed++) {
      const drawn = drawSome(items, 3, seed);
      assert.deepEqual(
        drawn,
        [...new Set(drawn)].sort((a, b) => a - b),
      );
      assert.equal(drawn.length, 3);
      for (const item of drawn) counts[item]!++;
    }
    assert.deepEqual(drawSome(items, 3, 9), drawSome(items, 3, 9));
    assert.deepEqual(drawSome(items, 99, 9), items);
    // Each count is binomial with mean 1200 and deviation 29.
    for (const count of counts) assert.ok(Math.abs(count - 1200) <= 5 * 29, String(counts));
  });
});
