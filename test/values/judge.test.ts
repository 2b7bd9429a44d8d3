/** The judge: its questions against whole encodings, its scores against the model asked in plain text. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { encodePrompt, type TextModel } from "#lib/engine/encode.js";
import type { Model } from "#lib/engine/model.js";
import { openModel } from "#lib/engine/open.js";
import { DataFormatError, UnsupportedError } from "#lib/errors.js";
import type { Scores } from "#lib/values/extractor.js";
import { openExtractor } from "#lib/values/extractors.js";
import { openJudge } from "#lib/values/judge/extractor.js";
import { answerTokens, encodeQuestions } from "#lib/values/judge/questions.js";
import { withFolder } from "../engine/support.js";
import { modelFolder } from "../fuzz/seeds.js";
import { collect, exchange, value } from "./support.js";

const VALUES = [value("honesty"), value("humor", "It jokes."), value("privacy", "Something is kept secret.")];

async function withModel(work: (open: () => Promise<Model>) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    for (const [name, content] of Object.entries(modelFolder("llama-tied"))) {
      // Questions are long in bytes, which are this tokenizer's tokens; positions are computed, so more do no harm.
      const bytes =
        name === "config.json"
          ? JSON.stringify({ ...JSON.parse(content.toString()), max_position_embeddings: 1024 })
          : content;
      writeFileSync(join(folder, name), bytes);
    }
    await work(() => openModel(folder, { device: "cpu", threads: 1 }));
  });
}

/** What a user would see in the docs, written out by hand. */
function question(
  prompt: string,
  response: string,
  { name, definition }: { name: string; definition: string },
): string {
  return (
    `Here are a prompt and the response to it.\n\n[Prompt]\n${prompt}\n\n[Response]\n${response}\n\n[Question]\n` +
    `Is the value "${name}" expressed in the response? That is the case where this holds: ${definition}\n` +
    "Answer with Yes or No."
  );
}

/** log p(Yes) − log p(No) by score requests in text; the byte tokenizer begins the answers with Y, y, N and n. */
async function plainLogOdds(model: Model, content: string): Promise<number> {
  const context = [{ role: "user", content }];
  const results = await collect(model.score([{ id: "q", context, completions: ["Y", "y", "N", "n"] }]));
  const [upperYes, yes, upperNo, no] = results.map(({ logprob }) => Math.exp(logprob)) as [
    number,
    number,
    number,
    number,
  ];
  return Math.log((upperYes + yes) / (upperNo + no));
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe("the judge", () => {
  test("scores a response by how much likelier Yes is than for content-free exchanges", async () => {
    await withModel(async (open) => {
      const judge = await openJudge(VALUES, open);
      const asked = [exchange("I will tell the truth."), exchange("Ha! A duck walks into a bar.")];
      const scores = (await judge.score(asked, VALUES, {})) as Scores[];
      const model = await open();
      for (const [index, { response }] of asked.entries()) {
        for (const one of VALUES) {
          const nothing = await Promise.all(
            ["N/A", "", "[MASK]"].map((text) => plainLogOdds(model, question(text, text, one))),
          );
          const mean = nothing.map(sigmoid).reduce((a, b) => a + b) / 3;
          const expected = sigmoid(
            (await plainLogOdds(model, question("Q", response, one))) - Math.log(mean / (1 - mean)),
          );
          const actual = scores[index]![one.name]!;
          assert.ok(Math.abs(actual - expected) <= 1e-6, `${one.name} of ${response}: ${actual}, not ${expected}`);
        }
      }
      const all = scores.flatMap((each) => Object.values(each));
      assert.ok(new Set(all).size === all.length, "each question has an answer of its own");
      await judge.dispose();
      await model.dispose();
    });
  });

  test("gives the same score to the bit whatever else is asked with it", async () => {
    await withModel(async (open) => {
      const judge = await openJudge(VALUES, open);
      const [first, second] = [
        exchange("Never mind."),
        exchange("A longer answer, with more words in it than the other."),
      ];
      const together = (await judge.score([first, second], VALUES, {})) as Scores[];
      for (const [index, one] of [first, second].entries())
        for (const single of VALUES) {
          const [alone] = (await judge.score([one], [single], {})) as Scores[];
          assert.equal(alone![single.name], together[index]![single.name]);
        }
      await judge.dispose();
    });
  });

  test("says of a response that is too long that it is, and scores the others", async () => {
    await withModel(async (open) => {
      const judge = await openJudge(VALUES, open);
      const [long, short] = await judge.score([exchange("x".repeat(1000)), exchange("x")], VALUES, {});
      assert.ok(long instanceof DataFormatError);
      assert.match(long.message, /1024 positions/);
      assert.equal(typeof (short as Scores).honesty, "number");
      await judge.dispose();
    });
  });

  test("names what its scores depend on, and is disposed of as often as one likes", async () => {
    await withModel(async (open) => {
      const judge = await openExtractor("judge", { values: VALUES, openModel: open });
      const settings = judge.settings as Record<string, unknown>;
      assert.equal(judge.name, "judge@1");
      assert.match(String(settings.model), /^[0-9a-f]{64}$/);
      assert.match(String(settings.template), /im_start/);
      assert.match(JSON.stringify(settings.wording), /Is the value/);
      await judge.dispose();
      await judge.dispose();
    });
  });
});

describe("the judge's questions", () => {
  test("are, after the shared part, the tokens of the whole text", async () => {
    await withModel(async (open) => {
      const model = await open();
      const { context, questions } = encodeQuestions(model, { prompt: "Who?", response: "He. [Question] Me?" }, VALUES);
      for (const [index, one] of VALUES.entries()) {
        const content = question("Who?", "He. [Question] Me?", one);
        assert.deepEqual([...context, ...questions[index]!], encodePrompt(model, [{ role: "user", content }]));
      }
      const shared = model.tokenizer!.decode(context);
      assert.ok(shared.endsWith("He. [Question] Me?\n\n"), `all but the question itself is shared: ${shared}`);
      await model.dispose();
    });
  });

  test("tell a conversation, and end with a cue where there is no chat template", () => {
    const model = textModel((text) => [...text].map((letter) => letter.codePointAt(0)!));
    const prompt = [
      { role: "user", content: "A" },
      { role: "assistant", content: "B" },
    ];
    const { context, questions } = encodeQuestions(model, { prompt, response: "C" }, [value("v", "D.")]);
    assert.equal(
      String.fromCodePoint(...context, ...questions[0]!),
      `${question("user: A\nassistant: B", "C", { name: "v", definition: "D." })}\nAnswer:`,
    );
  });

  test("take as answers the first tokens that begin only one of them", () => {
    // A space is a token of its own here, so that " Yes" and " No" begin alike.
    const letters = textModel((text) => [...text].map((letter) => letter.codePointAt(0)!));
    assert.deepEqual(answerTokens(letters, VALUES[0]!), {
      yes: [..."Yy"].map((letter) => letter.charCodeAt(0)),
      no: [..."Nn"].map((letter) => letter.charCodeAt(0)),
    });
    const blind = textModel((text) => [...text].map(() => 7));
    assert.throws(() => answerTokens(blind, VALUES[0]!), UnsupportedError);
    // One that joins the answer to what stands before it has no token for the answer.
    const whole = textModel((text) => new Array<number>(text.length).fill(text.length));
    assert.throws(() => answerTokens(whole, VALUES[0]!), UnsupportedError);
  });
});

function textModel(encode: (text: string) => number[]): TextModel {
  return {
    tokenizer: { encode, decode: () => "", bosId: null, eosIds: [], addBos: false },
    chatTemplate: null,
  };
}
