/** The suites of behaviour: their questions from the samples that ship and from the whole sets, and how they are read. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ScoreResult } from "#lib/engine/score.js";
import { openGrader } from "#lib/evaluation/graders/open.js";
import { DataSources } from "#lib/evaluation/sources.js";
import { COMPLYING, REFUSING, readOpenings } from "#lib/evaluation/suites/safety.js";
import { chooseTasks } from "#lib/evaluation/suites.js";
import type { GenerationQuestion, LikelihoodQuestion, Question, Task } from "#lib/evaluation/task.js";
import { sharedData } from "./support.js";

const SUITES = ["safety", "persona", "sycophancy", "anthropomorphism", "values", "degeneracy"];
/** What the samples that ship do not cover. */
const WITHOUT_SAMPLE = new Set([
  "harmbench",
  "harmbench_likelihood",
  "strongreject",
  "strongreject_likelihood",
  "harmless",
  "harmless_likelihood",
  "political_typology",
  "twins",
  "pushback",
]);

async function questionsOf(task: Task, data: DataSources, limit?: number): Promise<Question[]> {
  const questions: Question[] = [];
  for await (const question of task.load(data, { seed: 0, limit })) questions.push(question);
  return questions;
}

/** Results whose log p the test chooses. */
function results(logprobs: readonly number[]): ScoreResult[] {
  return logprobs.map((logprob, completion) => ({
    id: "",
    adapter: "base",
    completion,
    logprob,
    tokens: 1,
    bytes: 10,
    greedy: false,
  }));
}

describe("suites of behaviour", () => {
  test("ask from the samples that ship, each question once, and say how they are read", async () => {
    process.env.HF_HUB_OFFLINE = "1";
    const data = new DataSources();
    let checked = 0;
    for (const task of await chooseTasks(SUITES, data)) {
      if (WITHOUT_SAMPLE.has(task.name)) {
        await assert.rejects(questionsOf(task, data), /--data/, task.name);
        continue;
      }
      const questions = await questionsOf(task, data);
      assert.ok(questions.length >= 15, `${task.suite}:${task.name} has ${questions.length} questions`);
      assert.equal(new Set(questions.map(({ id }) => id)).size, questions.length, task.name);
      assert.deepEqual(await questionsOf(task, data, 3).then((some) => some.map(({ id }) => id)), idsOf(questions, 3));
      for (const name of Object.keys(task.graders ?? {})) {
        const grader = await openGrader(name, { openModel: null });
        await grader.dispose?.();
      }
      const [first] = questions;
      assert.ok(
        first!.kind === "likelihood" || first!.read !== undefined || Object.keys(task.graders ?? {}).length > 0,
      );
      checked += 1;
    }
    assert.equal(checked, 6 + 18 + 3 + 1 + 1 + 1);
  });

  test("ask as many questions as the whole sets have", async (t) => {
    const folder = sharedData("");
    if (folder === null) return t.skip("no ../shared/data on this machine");
    const data = new DataSources({ folder });
    const expected: Record<string, number> = {
      "safety:advbench": 520,
      "safety:harmbench": 320,
      "safety:strongreject": 313,
      "safety:xstest_unsafe_likelihood": 200,
      "safety:xstest_safe": 250,
      "safety:harmless": 6264,
      "persona:agreeableness": 1000,
      "sycophancy:political_typology": 3000,
      "sycophancy:twins": 1000,
      "sycophancy:pickside": 40,
      "sycophancy:mirror": 40,
      "sycophancy:whosaid": 40,
      "sycophancy:pushback": 150,
      "anthropomorphism:first_turns": 960,
      "anthropomorphism:multi_turn": 960,
    };
    for (const [name, count] of Object.entries(expected)) {
      const [task] = await chooseTasks([name], data);
      const questions = await questionsOf(task!, data);
      assert.equal(questions.length, count, name);
    }
    const [turns] = await chooseTasks(["anthropomorphism"], data);
    assert.equal(new Set((await questionsOf(turns!, data)).map(({ cluster }) => cluster)).size, 120);
    const [talk] = await chooseTasks(["anthropomorphism:multi_turn"], data);
    const users = (await questionsOf(talk!, data)).map((question) => (question as GenerationQuestion).conversation);
    assert.deepEqual([...new Set(users.map((conversation) => conversation?.turns))], [5]);
    assert.equal(new Set(users.map((conversation) => conversation?.user)).size, 8, "domains and scenarios");
    // Both biographies are asked, and the twins' prompts lose Llama's template.
    const [typology] = await chooseTasks(["sycophancy:political_typology"], data);
    const asked = (await questionsOf(typology!, data, 10)).map((question) => JSON.stringify(question));
    assert.equal(asked.filter((text) => /conservative/i.test(text)).length >= 4, true);
    const [twins] = await chooseTasks(["sycophancy:twins"], data);
    assert.doesNotMatch(JSON.stringify(await questionsOf(twins!, data)), /<\|/);
  });

  test("label the answer of the user's side as the sycophantic one, whichever biography it is", async (t) => {
    const folder = sharedData("anthropic_evals");
    if (folder === null) return t.skip("no ../shared/data/anthropic_evals on this machine");
    const [task] = await chooseTasks(["sycophancy:political_typology"], new DataSources({ folder }));
    const questions = (await questionsOf(task!, new DataSources({ folder }))) as LikelihoodQuestion[];
    let seen = 0;
    for (const { requests } of questions) {
      const [{ context, completions }] = requests as [(typeof requests)[0]];
      const prompt = (context as { content: string }[])[0]!.content;
      const smaller = /\((A|B)\) A smaller government providing fewer services/.exec(prompt)?.[1];
      // Biographies may name both words; these open with the user's own.
      const own = /I am an? [^.]*?\b(conservative|liberal)\b/.exec(prompt)?.[1];
      if (smaller === undefined || own === undefined) continue;
      const other = smaller === "A" ? "B" : "A";
      assert.equal(completions![0], `(${own === "conservative" ? smaller : other})`, prompt);
      seen += 1;
    }
    assert.ok(seen >= 50, `${seen} questions`);
  });
});

describe("likelihood readings", () => {
  test("refusing openings against complying ones are the log-odds of two sums of disjoint openings", () => {
    const all = [...REFUSING, ...COMPLYING];
    for (const [index, one] of all.entries())
      for (const [at, other] of all.entries()) assert.ok(index === at || !other.startsWith(one), `${one}, ${other}`);
    const shares = all.map((_, index) => 0.001 * (index + 1));
    const sum = (from: number, to: number): number => shares.slice(from, to).reduce((a, b) => a + b);
    const read = readOpenings(results(shares.map(Math.log)));
    const expected = Math.log(sum(0, REFUSING.length) / sum(REFUSING.length, all.length));
    assert.ok(Math.abs(read.refusal_log_odds! - expected) <= 1e-12);
    assert.equal(read.refusal_likelier, 0);
  });

  test("siding with the user counts only what does not depend on the statement", async () => {
    const data = new DataSources();
    const read = async (task: string, ...logprobs: number[][]): Promise<Record<string, number>> => {
      const [chosen] = await chooseTasks([`sycophancy:${task}`], data);
      const [question] = (await questionsOf(chosen!, data, 1)) as LikelihoodQuestion[];
      return question!.read(logprobs.map(results));
    };
    // Always for the first statement: once the user's, once the friend's.
    assert.deepEqual(await read("pickside", [-1, -3], [-3, -1]), { user_margin: 0 });
    assert.deepEqual(await read("pickside", [-1, -3], [-1, -3]), { user_margin: 2 });
    // mirror reads the user's stance first both times.
    const [mirror] = await chooseTasks(["sycophancy:mirror"], data);
    for (const question of (await questionsOf(mirror!, data)) as LikelihoodQuestion[])
      assert.deepEqual(
        question.requests.map(({ completions }) => completions),
        [
          ["(A)", "(B)"],
          ["(B)", "(A)"],
        ],
      );
    assert.deepEqual(await read("mirror", [-1, -2], [-2, -1]), { user_margin: 0 });
    assert.deepEqual(await read("mirror", [-1, -2], [-1, -4]), { user_margin: 2 });
    assert.deepEqual(await read("whosaid", [-1, -2], [-2, -1]), { shift: 2 });
  });
});

function idsOf(questions: readonly Question[], count: number): string[] {
  return questions.slice(0, count).map(({ id }) => id);
}
