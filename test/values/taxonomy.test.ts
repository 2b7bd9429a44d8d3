/** The taxonomy that ships, and users' own files. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { DataFormatError, FileError, UsageError, type ValoraError } from "#lib/errors.js";
import { openLexicon } from "#lib/values/lexicon/extractor.js";
import { chooseValues, loadTaxonomy } from "#lib/values/taxonomy.js";
import { ROOT } from "../golden.js";
import { withFolder } from "../temporary-folder.js";
import { exchange } from "./support.js";

/** As the study lists them (arXiv 2605.07925). */
const FIFTEEN = [
  "empathy, creativity, honesty, curiosity, fairness, personalization, legality, engagement, privacy, open-mindedness",
  "humor, justice, discretion, deception, violence",
]
  .join(", ")
  .split(", ");

async function withFile<T>(text: string, body: (path: string) => Promise<T>): Promise<T> {
  return withFolder((folder) => {
    const path = join(folder, "mine.yaml");
    writeFileSync(path, text);
    return body(path);
  });
}

describe("the taxonomy that ships", () => {
  test("has the study's fifteen values, each Social, Protective or Personal, with a lexicon", async () => {
    const values = chooseValues(await loadTaxonomy(), []);
    assert.deepEqual(
      values.map(({ name }) => name),
      FIFTEEN,
    );
    for (const { name, category } of values) {
      assert.ok(["Social", "Protective", "Personal"].includes(category ?? ""), name);
      assert.ok(existsSync(join(ROOT, "data/lexicon", `${name}.yaml`)), name);
    }
    const valence = (wanted: string) => values.filter((value) => value.valence === wanted).map(({ name }) => name);
    assert.deepEqual(valence("negative"), ["deception", "violence"]);
    for (const name of ["engagement", "creativity"]) assert.ok(valence("neutral").includes(name));
  });

  test("names only values that it has as related or opposed", async () => {
    const { values } = await loadTaxonomy();
    const names = new Set(values.map(({ name }) => name));
    for (const { name, related, opposed } of values) {
      for (const other of [...related, ...opposed]) assert.ok(names.has(other) && other !== name, `${name}: ${other}`);
      assert.ok(!related.some((other) => opposed.includes(other)), name);
    }
  });

  test("has the five categories of Values in the Wild, a trait for every persona file, and the planted attributes", async () => {
    const taxonomy = await loadTaxonomy();
    assert.deepEqual(
      taxonomy.categories.map(({ name }) => name),
      ["Practical", "Epistemic", "Social", "Protective", "Personal"],
    );
    const traits = new Set(
      readdirSync(join(ROOT, "data/persona")).flatMap((file) => /^(.+)\.(train|held-out)\./.exec(file)?.[1] ?? []),
    );
    assert.deepEqual(new Set(chooseValues(taxonomy, [], "trait").map(({ name }) => name)), traits);
    assert.deepEqual(
      chooseValues(taxonomy, [], "attribute").map(({ name }) => name),
      ["longer", "list-format", "exclamation"],
    );
  });
});

describe("a user's file of values", () => {
  test("adds a value, with a lexicon of its own", async () => {
    await withFile(
      `values:
  - name: thrift
    definition: The response urges to save.
    lexicon:
      families: {money: [money, cash, pocket money]}
      strong: ["~save [your] @money"]
`,
      async (path) => {
        const taxonomy = await loadTaxonomy(path);
        assert.equal(taxonomy.values.at(-1)?.name, "thrift");
        const [thrift] = chooseValues(taxonomy, ["thrift"]);
        const lexicon = await openLexicon([thrift!]);
        const [yes, no] = await lexicon.score(
          [exchange("By saving your pocket money."), exchange("By spending money.")],
          [thrift!],
          {},
        );
        assert.deepEqual([yes, no], [{ thrift: 0.7 }, {}]);
      },
    );
  });

  test("replaces a value by name, in its place", async () => {
    await withFile("values: [{name: empathy, definition: Something else.}]", async (path) => {
      const { values } = await loadTaxonomy(path);
      assert.equal(values[0]?.name, "empathy");
      assert.equal(values[0]?.definition, "Something else.");
      assert.equal(values.length, (await loadTaxonomy()).values.length);
    });
  });

  test("is refused with file and line where it is wrong", async () => {
    const cases: [text: string, line: number, part: string][] = [
      ["values:\n  - name: a\n    definition: x\n  - name: b b\n    definition: x\n", 4, "name"],
      ["values:\n  - name: a\n    definition: x\n  - name: a\n    definition: y\n", 4, "twice"],
      ["values:\n  - name: a\n    definition: x\n    categorie: Social\n", 4, "categorie"],
      ["values:\n  - name: a\n    definition: x\n    category: Sozial\n", 4, "category"],
      ["values:\n  - definition: x\n", 2, "name"],
      ["values:\n  - name: a\n    definition: x\n    lexicon:\n      strong: [7]\n", 5, "strong"],
      ["values:\n  - name: [a\n", 3, "not valid YAML"],
      ["- 7\n", 1, ""],
      ["", 1, ""],
    ];
    for (const [text, line, part] of cases) {
      await withFile(text, async (path) => {
        await assert.rejects(
          loadTaxonomy(path),
          (error: ValoraError) =>
            error instanceof DataFormatError &&
            error.message.startsWith(`${path}, line ${line}: `) &&
            error.message.includes(part),
          text,
        );
      });
    }
    await assert.rejects(loadTaxonomy("/nowhere/at/all.yaml"), FileError);
  });

  test("may hold patterns that make no sense, which are named when they are used", async () => {
    await withFile('values: [{name: odd, definition: x, lexicon: {strong: ["(a"]}}]', async (path) => {
      const odd = chooseValues(await loadTaxonomy(path), ["odd"]);
      await assert.rejects(openLexicon(odd), /"odd".*"\(a".*not closed/);
    });
  });

  test("needs a lexicon where the lexicon extractor is to find its value", async () => {
    await withFile("values: [{name: thrift, definition: x}]", async (path) => {
      const thrift = chooseValues(await loadTaxonomy(path), ["thrift"]);
      await assert.rejects(openLexicon(thrift), (error) => error instanceof UsageError && /thrift/.test(error.message));
    });
  });

  test("is not asked for values that nobody knows", async () => {
    const taxonomy = await loadTaxonomy();
    assert.throws(
      () => chooseValues(taxonomy, ["kindnes"]),
      (error) => error instanceof UsageError && /kindnes/.test(error.message),
    );
  });
});
