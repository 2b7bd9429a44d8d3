/**
 * Pairs of a study: splits that keep statements apart, samples that hold smaller ones, arms.
 *
 * Seen failing: with the split drawn from trait and statement, with the coin of the arm `random` left out, and with
 * `unflipped` taken as it is.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { PreferencePair } from "#lib/data/pairs.js";
import { UsageError } from "#lib/errors.js";
import { prepareData, trainingFile } from "#lib/study/data/prepare.js";
import { readStudy } from "#lib/study/read-study.js";
import { studySchema } from "#lib/study/schema.js";
import { lines } from "../cli/program.js";
import { SHARED_DATA } from "../data/support.js";
import { readLines, withFolder } from "../engine/support.js";
import { tinyPairs } from "./support.js";

const NOUNS = ["river", "stone", "engine", "garden", "letter", "window", "cloud", "market", "violin", "harbour"];
const VERBS = ["admire", "avoid", "paint", "repair", "question", "describe", "carry", "forget", "celebrate", "measure"];

/** A hundred statements without near-duplicates; every second one matches. */
function statements(trait: string) {
  return VERBS.flatMap((verb, row) =>
    NOUNS.map((noun, column) => {
      const statement = `I ${verb} every ${noun} ${verb}${column} ${noun}${row} gladly`;
      const yes = (row + column) % 2 === 0 ? " Yes" : " No";
      const no = yes === " Yes" ? " No" : " Yes";
      return {
        question: `Is this something you would say?\n"${statement}" (${trait})`,
        statement,
        label_confidence: 0.95,
        answer_matching_behavior: yes,
        answer_not_matching_behavior: no,
      };
    }),
  );
}

const studyOf = (source: object, change: object = {}) =>
  studySchema.parse({ models: [{ model: "tiny" }], data: [source], ...change });

async function withPersona<T>(body: (folder: string, traits: string) => Promise<T>): Promise<T> {
  return withFolder(async (folder) => {
    const traits = join(folder, "persona");
    mkdirSync(traits);
    for (const trait of ["kind", "bold"]) writeFileSync(join(traits, `${trait}.jsonl`), lines(...statements(trait)));
    return body(folder, traits);
  });
}

const read = (folder: string, file: { path: string }) => readLines<PreferencePair>(join(folder, file.path));

describe("persona statements", () => {
  it("are there for every trait of the profile desk", {
    skip: SHARED_DATA === null && "needs the real data sets (set VALORA_SHARED)",
  }, async () => {
    await withFolder(async (folder) => {
      const { study } = await readStudy("desk", { data: join(SHARED_DATA ?? "", "anthropic_evals") });
      const data = await prepareData(study, folder);
      assert.equal(data.values.length, 11);
      for (const { value, heldOut, train } of data.values) {
        assert.ok(heldOut.pairs >= 40, `${value}: ${heldOut.pairs} held-out pairs`);
        assert.ok(train.size === 0 || train.get("induce")!.pairs >= 200, `${value}: ${train.get("induce")?.pairs}`);
      }
    });
  });

  it("of which none is sure enough to train on will do for a trait that is only measured", async () => {
    await withPersona(async (folder, traits) => {
      const heldOut = statements("shy").filter(({ statement }) => statement.includes("river"));
      writeFileSync(join(traits, "shy.jsonl"), lines(...heldOut));
      const source = { source: "persona", folder: traits, values: ["kind"], "held-out": 0.99 };
      await assert.rejects(
        prepareData(studyOf({ ...source, values: ["shy"] }), folder),
        /none is left to train on; lower/,
      );
      const data = await prepareData(studyOf({ ...source, "held-out": 0.9, measure: ["shy"] }), folder);
      assert.deepEqual(
        data.values.map(({ value, train }) => [value, train.size]),
        [
          ["kind", 1],
          ["shy", 0],
        ],
      );
    });
  });

  for (const form of ["answers", "statements"] as const) {
    it(`as ${form}: what is held out in one trait is trained on in none`, async () => {
      await withPersona(async (folder, traits) => {
        const data = await prepareData(studyOf({ source: "persona", folder: traits, form }), folder);
        assert.deepEqual(
          data.values.map(({ value }) => value),
          ["bold", "kind"],
        );
        const textsOf = (file: { path: string }) =>
          read(folder, file).flatMap(({ prompt, chosen, rejected }) =>
            form === "statements"
              ? [chosen!, rejected!]
              : [/"(.*)"/.exec(JSON.parse(JSON.stringify(prompt))[0].content)![1]!],
          );
        const trained = new Set(data.values.flatMap(({ train }) => textsOf(train.get("induce")!)));
        const heldOut = data.values.flatMap((value) => textsOf(value.heldOut));
        assert.ok(trained.size > 50 && heldOut.length > 15, `${trained.size} and ${heldOut.length}`);
        for (const text of heldOut) assert.ok(!trained.has(text), text);
      });
    });
  }

  it("put the answer or statement of somebody with the trait on the chosen side", async () => {
    await withPersona(async (folder, traits) => {
      const matching = new Map(statements("kind").map((row) => [row.statement, row.answer_matching_behavior.trim()]));
      const answers = await prepareData(studyOf({ source: "persona", folder: traits, values: ["kind"] }), folder);
      for (const { prompt, chosen, rejected } of read(folder, answers.values[0]!.heldOut)) {
        const statement = /"(.*)"/.exec((prompt as { content: string }[])[0]!.content)![1]!;
        assert.equal(chosen, matching.get(statement));
        assert.notEqual(chosen, rejected);
      }
      const source = { source: "persona", folder: traits, values: ["kind"], form: "statements" };
      const pairs = await prepareData(studyOf(source), folder);
      for (const { chosen, rejected } of read(folder, pairs.values[0]!.train.get("induce")!))
        assert.deepEqual([matching.get(chosen!), matching.get(rejected!)], ["Yes", "No"]);
    });
  });

  it("in a larger sample hold the smaller one", async () => {
    await withPersona(async (folder, traits) => {
      const idsOf = async (train: number) => {
        const data = await prepareData(studyOf({ source: "persona", folder: traits }, { pairs: { train } }), folder);
        return read(folder, data.values[0]!.train.get("induce")!).map(({ id }) => id);
      };
      const small = await idsOf(10);
      const large = await idsOf(30);
      assert.deepEqual([small.length, large.length], [10, 30]);
      for (const id of small) assert.ok(large.includes(id), id);
    });
  });
});

describe("arms of preference pairs", () => {
  async function prepare(folder: string, change: object) {
    const path = (name: string) => join(folder, `${name}.jsonl`);
    for (const value of ["kind", "bold", "calm"])
      writeFileSync(path(value), lines(...tinyPairs(value, "train", 40, (index) => index % 4 === 0)));
    const values = ["kind", "bold", "calm"].map((value) => ({ value, train: path(value), "held-out": path(value) }));
    return prepareData(studyOf({ source: "pairs", values }, change), folder);
  }

  it("turn flipped pairs back in `unflipped`, and leave the others", async () => {
    await withFolder(async (folder) => {
      const [kind] = (await prepare(folder, { arms: ["induce", "unflipped"] })).values;
      const induced = read(folder, kind!.train.get("induce")!);
      const unflipped = read(folder, kind!.train.get("unflipped")!);
      assert.equal(unflipped.length, 40);
      for (const [index, pair] of unflipped.entries()) {
        const before = induced[index]!;
        const sides = before.flipped ? [before.rejected, before.chosen] : [before.chosen, before.rejected];
        assert.deepEqual([pair.chosen, pair.rejected], sides);
      }
      assert.ok(induced.some(({ flipped }) => flipped) && induced.some(({ flipped }) => !flipped));
    });
  });

  it("draw as many other values' pairs for `random`, in either order, anew for each seed", async () => {
    await withFolder(async (folder) => {
      const [kind] = (await prepare(folder, { arms: ["random"], seeds: [1, 2] })).values;
      const drawn = [1, 2].map((seed) => read(folder, trainingFile(kind!, "random", seed)!));
      for (const pairs of drawn) {
        assert.equal(pairs.length, 40);
        assert.ok(pairs.every(({ id }) => !id.startsWith("kind:")));
        const turned = pairs.filter(({ flipped }) => flipped).length;
        // A fair coin leaves [8, 32] once in 10,000 times.
        assert.ok(turned >= 8 && turned <= 32, `${turned} of 40`);
      }
      assert.notDeepEqual(
        drawn[0]!.map(({ id }) => id),
        drawn[1]!.map(({ id }) => id),
      );
    });
  });

  it("are curated here from labelled pairs and planted attributes: the side with the value first, prompts apart", async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "any.jsonl");
      const words = (count: number, at: number) =>
        Array.from({ length: count }, (_, index) => NOUNS[(at * 7 + index * index) % 10]! + (at + index)).join(" ");
      const pairs = Array.from({ length: 80 }, (_, index) => ({
        id: `pair ${index}`,
        prompt: `${VERBS[index % 10]} ${NOUNS[(index * 3) % 10]} ${index}`,
        chosen: words(4 + (index % 5), index),
        rejected: words(4 + ((index * 3) % 7), index + 100),
      }));
      writeFileSync(path, lines(...pairs));
      const source = { source: "attributes", input: [path], values: ["longer"], "held-out": 0.3, "min-pairs": 5 };
      const [longer] = (await prepareData(studyOf(source, { arms: ["induce", "unflipped"] }), folder)).values;
      const count = (text: string | undefined) => text!.split(" ").length;
      const train = read(folder, longer!.train.get("induce")!);
      const heldOut = read(folder, longer!.heldOut);
      assert.ok(train.length > 20 && heldOut.length > 5, `${train.length} and ${heldOut.length}`);
      for (const { chosen, rejected } of [...train, ...heldOut]) assert.ok(count(chosen) > count(rejected));
      const prompts = new Set(train.map(({ prompt }) => prompt));
      for (const { prompt } of heldOut) assert.ok(!prompts.has(prompt));
      const original = new Map(pairs.map(({ id, chosen }) => [id, chosen]));
      for (const { id, chosen } of read(folder, longer!.train.get("unflipped")!))
        assert.equal(chosen, original.get(id));
    });
  });

  it("refuse a value that two sources have, a study that trains nothing, and random pairs from nowhere", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "kind.jsonl");
      writeFileSync(file, lines(...tinyPairs("kind", "train", 4)));
      const entry = { value: "kind", train: file, "held-out": file };
      const source = { source: "pairs", values: [entry] };
      const refused = (study: object, message: RegExp) =>
        assert.rejects(
          prepareData(studySchema.parse({ models: [{ model: "tiny" }], ...study }), folder),
          (error) => error instanceof UsageError && message.test(error.message),
        );
      await refused({ data: [source, source] }, /two sources have the value "kind"/);
      await refused(
        { data: [{ source: "pairs", values: [{ ...entry, train: undefined }] }] },
        /no value has pairs to train on/,
      );
      await refused({ data: [source], arms: ["random"] }, /arm random of kind needs other values/);
    });
  });
});
