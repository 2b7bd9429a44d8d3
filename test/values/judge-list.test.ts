/** The judge's list mode: how an answer is taken apart, and what becomes of its names. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { GenerationPrompt } from "#lib/engine/generate.js";
import type { Model } from "#lib/engine/model.js";
import { DataFormatError } from "#lib/errors.js";
import { openExtractor } from "#lib/values/extractors.js";
import { NameFinder } from "#lib/values/judge/names.js";
import { chooseValues, loadTaxonomy } from "#lib/values/taxonomy.js";
import { exchange, value } from "./support.js";

const VALUES = [
  { ...value("open-mindedness"), synonyms: ["openness", "tolerance"] },
  { ...value("humor"), synonyms: ["humour", "wit"] },
  { ...value("honesty"), synonyms: ["truth", "openness"] },
];

describe("a list of values", () => {
  const finder = new NameFinder(VALUES);
  const find = (answer: string) => {
    const { found, unknown } = finder.find(answer);
    return [[...found].sort(), unknown];
  };

  test("is found by names and synonyms, however it is written", () => {
    for (const answer of [
      "honesty, humor",
      "Honesty, Humour.",
      "1. Honesty\n2. Humor",
      "- **Honesty**: it tells the truth about lies\n- **Humor** (a joke)",
      "* honesty\n* wit",
      "Values: truth and humor",
      "“Honesty”; 'humour'",
      "The value of honesty, and humor!",
      "• Honesty – said openly\n• Humor - jokes",
    ])
      assert.deepEqual(find(answer), [["honesty", "humor"], []], answer);
    assert.deepEqual(find("Open Mindedness"), [["open-mindedness"], []]);
  });

  test("gives a synonym of two values to the first, counts a value once, and keeps what it does not know", () => {
    assert.deepEqual(find("openness, humor, wit, Transparency, clarity"), [
      ["humor", "open-mindedness"],
      ["transparency", "clarity"],
    ]);
    assert.deepEqual(find("The response is about how to bake bread"), [[], ["(a sentence)"]]);
    for (const empty of ["", " \n", "...", ", ,"]) assert.deepEqual(find(empty), [[], []], empty);
  });

  test("names of the taxonomy and their synonyms are of one value each", async () => {
    const values = chooseValues(await loadTaxonomy(), []);
    const owners = new Map<string, string>();
    for (const { name, synonyms = [] } of values) {
      assert.ok(synonyms.length > 0, name);
      for (const word of [name, ...synonyms]) {
        assert.equal(owners.get(word), undefined, `${word} of ${name} and ${owners.get(word)}`);
        owners.set(word, name);
        assert.deepEqual([...new NameFinder(values).find(word).found], [name]);
      }
    }
  });
});

/** A model that answers by the response it is shown. */
function fakeModel(answers: Record<string, string>) {
  const asked: GenerationPrompt[] = [];
  let disposed = 0;
  const model = {
    name: "fake",
    chatTemplate: { source: "template" },
    device: { compute: "float32" },
    hash: async () => "0".repeat(64),
    async *generate(prompts: GenerationPrompt[], { onSkip }: { onSkip: (reason: string) => void }) {
      for (const prompt of prompts) {
        asked.push(prompt);
        const [{ content }] = prompt.prompt as unknown as [{ content: string }];
        const known = Object.keys(answers).find((response) => content.includes(`[Response]\n${response}\n`));
        if (known === undefined) onSkip(`prompt "${prompt.id}" is too long`);
        else yield { id: prompt.id, text: answers[known]! };
      }
    },
    dispose: async () => {
      disposed++;
    },
  };
  return { model: model as unknown as Model, asked, disposals: () => disposed };
}

describe("the judge in list mode", () => {
  test("scores 1 what is named, says what it did not know, and which response it could not be asked about", async () => {
    const { model, asked, disposals } = fakeModel({ "I lied.": "honesty, remorse", "Ha.": "wit", "Hm.": "" });
    const notes: string[] = [];
    const judge = await openExtractor("judge", {
      values: VALUES,
      judgeMode: "list",
      openModel: async () => model,
      onNote: (note) => notes.push(note),
    });
    assert.equal(judge.name, "judge-list@1");
    const batch = [exchange("I lied."), exchange("too long"), exchange("Ha."), exchange("Hm.")];
    const [first, second, third, fourth] = await judge.score(batch, VALUES, {});
    assert.deepEqual(first, { honesty: 1 });
    assert.ok(second instanceof DataFormatError);
    assert.match(second.message, /p, chosen.* too long/);
    assert.deepEqual([third, fourth], [{ humor: 1 }, {}]);
    const content = (asked[0]!.prompt as { content: string }[])[0]!.content;
    assert.match(content, /\[Prompt\]\nQ\n\n\[Response\]\nI lied\.\n\n\[Question\]\nName the values/);
    for (const { name } of VALUES) assert.ok(!content.includes(name), "the question is open-ended");
    assert.deepEqual(await judge.score([exchange("I lied.")], [VALUES[1]!], {}), [{}]);
    await judge.dispose();
    await judge.dispose();
    assert.ok(disposals() >= 1);
    assert.deepEqual(notes, [
      "judge: of 4 answers 1 name nothing; 2 names are of no value that was looked for: remorse (2)",
    ]);
  });

  test("asks under other cache keys when synonyms change", async () => {
    const open = async (synonyms: string[]) =>
      openExtractor("judge", {
        values: [{ ...value("humor"), synonyms }],
        judgeMode: "list",
        openModel: async () => fakeModel({}).model,
      });
    assert.notDeepEqual((await open(["wit"])).settings, (await open(["fun"])).settings);
  });
});
