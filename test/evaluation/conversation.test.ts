/**
 * Conversations with a simulated user: who says what to whom, for a local model with adapters and for one behind an
 * endpoint, how a run that was stopped goes on, and what a user that falls silent does.
 *
 * Seen failing: with one conversation for all adapters, with the block's answers not kept, with broken-off conversations
 * counted, and with graders given the first prompt for every turn.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Model } from "#lib/engine/model.js";
import { openModel } from "#lib/engine/open.js";
import { ApiError, CancelledError, UsageError } from "#lib/errors.js";
import type { Answer as Graded, Grader } from "#lib/evaluation/graders/grader.js";
import { cleanMessage, UserSimulator } from "#lib/evaluation/simulator.js";
import { assertRefused, readLines, run, withFolder, writeTinyModel } from "../cli/program.js";
import { GOLDEN } from "../golden.js";
import { type Answer, withApiServer } from "../values/api-server.js";
import { BASE, runAll, withBench, writtenTask } from "./endpoint.js";

const TURNS = 3;
const talk = (count: number, more: object = {}) =>
  writtenTask(
    "talk",
    Array.from({ length: count }, () => ({ conversation: { turns: TURNS, user: "you plan a trip." }, ...more })),
  );

/** The user "sim" says how many messages it was shown, and the last; the model "m" counts what it hears. */
const both: Answer = ({ body }, reply) => {
  const last = body.messages.at(-1)!.content;
  if (body.model !== "sim") return reply.say(`answer ${(body.messages.length + 1) / 2}`);
  const shown = last.match(/\[(?:you|assistant)\]\n/g)!.length;
  reply.say(`"after ${shown}: ${/([^\n]*)\n<\/conversation>/.exec(last)![1]}"`);
};

describe("a conversation", () => {
  it("goes on turn by turn, and graders are given all that was said before", async () => {
    await withBench(both, async ({ server, options, remote }) => {
      const simulator = new UserSimulator(remote({ model: "sim" }));
      const graded: Graded[] = [];
      const grader: Grader = {
        name: "heard",
        version: "1",
        async *grade(answers) {
          for await (const answer of answers) {
            graded.push(answer);
            yield { id: answer.id, grader: "heard", label: "", y: 1 };
          }
        },
      };
      const task = { ...talk(2), graders: { heard: "heard" } };
      const got = await runAll(remote(), [task], { ...options, simulator, openGrader: async () => grader });
      assert.deepEqual(
        got.answers.filter(({ item }) => item === "talk:1").map(({ turn, user, text }) => ({ turn, user, text })),
        [
          { turn: 1, user: undefined, text: "answer 1" },
          { turn: 2, user: "after 2: answer 1", text: "answer 2" },
          { turn: 3, user: "after 4: answer 2", text: "answer 3" },
        ],
      );
      const said = [
        { role: "user", content: "question 1" },
        { role: "assistant", content: "answer 1" },
        { role: "user", content: "after 2: answer 1" },
        { role: "assistant", content: "answer 2" },
        { role: "user", content: "after 4: answer 2" },
      ];
      assert.deepEqual(
        graded.slice(3).map(({ prompt }) => prompt),
        [said.slice(0, 1), said.slice(0, 3), said],
      );
      const asked = server.asked.filter(({ body }) => body.model === "m" && body.messages.length === 5);
      assert.deepEqual(
        asked.map(({ body }) => body.messages[0]!.content).sort(),
        ["question 0", "question 1"],
        "the model is sent the conversation as its own",
      );
      assert.deepEqual(asked.find(({ body }) => body.messages[0]!.content === "question 1")!.body.messages, said);
      const items = got.measurements
        .filter(({ metric }) => metric === "heard")
        .map(({ item, cluster }) => [item, cluster]);
      assert.deepEqual(items.slice(3), [
        ["talk:1:1", "1"],
        ["talk:1:2", "1"],
        ["talk:1:3", "1"],
      ]);
      const instruction = server.asked.find(({ body }) => body.model === "sim")!.body.messages[0]!;
      assert.equal(instruction.role, "system");
      assert.match(instruction.content, /Situation: you plan a trip\./);

      const count = server.asked.length;
      assert.equal(count, 2 * TURNS + 2 * (TURNS - 1));
      const again = { ...options, partsFolder: `${options.partsFolder}-2`, simulator, openGrader: async () => grader };
      assert.deepEqual(await runAll(remote(), [task], again), got, "the same replies make the same conversation");
      assert.equal(server.asked.length, count);
    });
  });

  it("is each subject's own, and what the model says is what it says alone", async () => {
    await withFolder(async (folder) => {
      await using model = await openModel(writeTinyModel(folder), { device: "cpu", threads: 1 });
      await using adapter = await model.loadAdapter(join(GOLDEN, "llama-tied"));
      await withBench(both, async ({ options, remote }) => {
        const simulator = new UserSimulator(remote({ model: "sim" }));
        const subjects = [
          BASE,
          { names: { adapter: "on" }, adapter },
          { names: { adapter: "told" }, adapter: null, system: "Be b." },
        ];
        const task = talk(3, { maxNewTokens: 4 });
        const together = await runAll(model, [task], { ...options, simulator }, subjects);
        assert.equal(together.answers.length, 3 * 3 * TURNS);
        const textsOf = (name: string) =>
          together.answers.filter(({ adapter }) => adapter === name).map(({ text }) => text);
        assert.notDeepEqual(textsOf("on"), textsOf("base"));
        for (const subject of subjects) {
          const fresh = { ...options, partsFolder: `${options.partsFolder}-${subject.names.adapter}` };
          const alone = await runAll(model, [task], { ...fresh, simulator }, [subject]);
          assert.deepEqual(
            together.answers.filter(({ adapter: name }) => name === subject.names.adapter),
            alone.answers,
          );
        }
        const prompt = [
          { role: "user", content: "question 2" },
          ...together.answers
            .filter(({ adapter: name, item }) => name === "base" && item === "talk:2")
            .flatMap(({ user, text }) => [
              ...(user === undefined ? [] : [{ role: "user", content: user }]),
              { role: "assistant", content: text },
            ]),
        ];
        const last = prompt.pop()!;
        for await (const { text } of model.generate([{ id: "x", prompt }], { maxNewTokens: 4 }))
          assert.equal(text, last.content);
      });
    });
  });

  it("that was over when a run was stopped is not held again", async () => {
    await withFolder(async (folder) => {
      await using model = await openModel(writeTinyModel(folder), { device: "cpu", threads: 1 });
      let generated = 0;
      const generate = model.generate.bind(model);
      model.generate = ((prompts: { id: string }[], generateOptions: object) => {
        generated += prompts.length;
        return generate(prompts, generateOptions);
      }) as Model["generate"];
      const stop = new AbortController();
      let limit = 64 * (TURNS - 1) + 1;
      // The user breaks off within the second block.
      const answer: Answer = (asked, reply, index) => {
        if (index < limit) return both(asked, reply, index);
        stop.abort(new CancelledError("interrupted"));
      };
      await withBench(answer, async ({ server, options, remote }) => {
        const simulator = new UserSimulator(remote({ model: "sim", concurrency: 1 }));
        const task = talk(70, { maxNewTokens: 2 });
        const cut = runAll(model, [task], { ...options, simulator, signal: stop.signal });
        await assert.rejects(cut, CancelledError);
        [limit, generated] = [Number.POSITIVE_INFINITY, 0];
        const resumed = await runAll(model, [task], { ...options, simulator });
        assert.equal(generated, 6 * TURNS, "only the second block is asked");
        assert.equal(resumed.answers.length, 70 * TURNS);
        const distinct = new Set(server.asked.map(({ body }) => JSON.stringify(body)));
        assert.ok(server.asked.length <= distinct.size + 1, "the user is asked nothing twice but what was under way");
        const fresh = await runAll(model, [task], { ...options, partsFolder: `${options.partsFolder}-2`, simulator });
        assert.deepEqual(resumed, fresh);
      });
    });
  });

  it("whose user falls silent stops the run, or is left out whole", async () => {
    const silent: Answer = (asked, reply, index) => {
      const { model, messages } = asked.body;
      if (model === "sim" && messages[1]!.content.includes("question 1")) return reply.say("  ");
      both(asked, reply, index);
    };
    await withBench(silent, async ({ options, remote }) => {
      const simulator = new UserSimulator(remote({ model: "sim" }));
      await assert.rejects(
        runAll(remote(), [talk(3)], { ...options, simulator }),
        (error) =>
          error instanceof ApiError && /conversation "talk:1": the simulator sim said nothing/.test(error.message),
      );
      const skipped: string[] = [];
      const skip = { onError: "skip" as const, onSkip: (message: string) => void skipped.push(message) };
      const { answers } = await runAll(remote(), [talk(3)], { ...options, simulator, ...skip });
      assert.deepEqual([...new Set(answers.map(({ item }) => item))], ["talk:0", "talk:2"]);
      assert.equal(skipped.length, 1);
    });
  });

  it("needs a user", async () => {
    await withBench(both, async ({ options, remote }) => {
      await assert.rejects(
        runAll(remote(), [talk(1)], options),
        (error) => error instanceof UsageError && /s:talk .*--simulator-api-model N/.test(error.message),
      );
    });
  });

  it("is held by the command, with a local model and a user behind an endpoint", async () => {
    await withFolder((folder) =>
      withApiServer(
        (_, reply) => reply.say("go on"),
        async (server) => {
          const model = join(folder, "model");
          mkdirSync(model);
          writeTinyModel(model);
          // The tiny model has no room for the turns of the sample.
          const rows = ["0", "8"].map((id) => `${id},friendship,say hello ,high,low,Hi,c${id},a`);
          const header = "conv_id,use_domain,use_scenario,empathy,professionalism,original_prompt,cue,user_first_turn";
          writeFileSync(join(folder, "first_turns.csv"), `${[header, ...rows].join("\n")}\n`);
          const args = [
            "eval",
            "--model",
            model,
            "--suite",
            "anthropomorphism:multi_turn",
            "--turns",
            "2",
            "--data",
            folder,
          ];
          const env = { VALORA_CACHE: join(folder, "cache"), HF_HUB_OFFLINE: "1" };
          const output = join(folder, "out");
          assertRefused(
            await run([...args, "--quiet", "--output", output], { env }),
            2,
            "anthropomorphism:multi_turn",
            "--simulator-api-model",
          );
          const user = ["--simulator-api-url", server.url, "--simulator-api-model", "sim"];
          const outcome = await run([...args, ...user, "--output", output], { env });
          assert.equal(outcome.status, 0, outcome.stderr);
          assert.match(outcome.stderr, /to ask the simulated user: up to 2 messages/);
          const answers = readLines(join(output, "answers.jsonl"));
          assert.deepEqual(
            answers.map(({ item, turn }) => `${item} ${turn}`),
            ["multi_turn:0 1", "multi_turn:0 2", "multi_turn:8 1", "multi_turn:8 2"],
          );
          assert.equal(answers[1]!.user, "go on");
          const items = readLines(join(output, "items.jsonl"));
          assert.equal(items.length, 10 * 4, "ten behaviours of four answers");
          assert.ok(items.some(({ item, metric }) => item === "multi_turn:8:2" && metric === "empathy"));
          const [instruction] = server.asked.map(({ body }) => body.messages[0]!.content);
          assert.match(
            instruction!,
            /for friendship, to say hello\. You speak openly of how you feel, in a casual tone\./,
          );
        },
      ),
    );
  });
});

it("a user's message is taken without thoughts, label and quotation marks", () => {
  for (const [text, message] of [
    ["<think>\nhm\n</think>\n\nHello there", "Hello there"],
    ['[you]\n"What now?"', "What now?"],
    ["User: “Why?”", "Why?"],
    ['"Yes" or "no"?', '"Yes" or "no"?'],
    [" \n", ""],
  ])
    assert.equal(cleanMessage(text!), message);
});
