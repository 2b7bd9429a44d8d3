/**
 * Models behind an endpoint, as a server on this machine: what is sent, what is kept, what is asked again, what is refused.
 *
 * Seen failing: without the store of replies, without a look at what is under way, with one reply for all samples,
 * without redaction, without a refused part's other name, with any number of requests at a time, with log-probabilities
 * planned, and with one key for all hosts.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ApiError, CancelledError, UsageError } from "#lib/errors.js";
import type { Task } from "#lib/evaluation/task.js";
import { assertRefused, readLines, run, withFolder } from "../cli/program.js";
import { type Answer, withApiServer } from "../values/api-server.js";
import { BASE, runAll, withBench, writtenTask } from "./endpoint.js";

/** Repeats the last message. */
const echo: Answer = ({ body }, reply) => reply.say(`you said ${body.messages.at(-1)!.content}`, "stop", 3);
const TEN = writtenTask(
  "ten",
  Array.from({ length: 10 }, () => ({})),
);

describe("a model behind an endpoint", () => {
  it("is sent messages, the limit and the stops, and its answers are measured", async () => {
    await withBench(echo, async ({ server, options, remote }) => {
      const tasks = [
        writtenTask("chat", [{ maxNewTokens: 7, stop: ["said"] }]),
        writtenTask("raw", [{ prompt: "2 + 2 =" }]),
      ];
      const subjects = [{ ...BASE, system: "Be brief." }];
      const { answers, measurements } = await runAll(remote(), tasks, options, subjects);
      assert.deepEqual(server.asked[0]!.body, {
        model: "m",
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "question 0" },
        ],
        temperature: 0,
        max_tokens: 7,
        stop: ["said"],
      });
      assert.deepEqual(server.asked[1]!.body.messages, [{ role: "user", content: "2 + 2 =" }]);
      assert.deepEqual(
        answers.map(({ text, tokens, finish }) => ({ text, tokens, finish })),
        [
          { text: "you ", tokens: 3, finish: "stop" },
          { text: "you said 2 + 2 =", tokens: 3, finish: "stop" },
        ],
      );
      assert.deepEqual(
        measurements.map(({ item, y }) => [item, y]),
        [
          ["chat:0", 4],
          ["raw:0", 16],
        ],
      );
    });
  });

  it("is asked by as many requests at a time as it may be, and its answers keep the order of the questions", async () => {
    const slow: Answer = async (asked, reply, index) => {
      await new Promise((resolve) => setTimeout(resolve, index % 3 === 0 ? 40 : 5));
      echo(asked, reply, index);
    };
    await withBench(slow, async ({ server, options, remote }) => {
      const { answers } = await runAll(remote({ concurrency: 3 }), [TEN], options);
      assert.deepEqual(
        answers.map(({ text }) => text),
        Array.from({ length: 10 }, (_, index) => `you said question ${index}`),
      );
      assert.equal(server.peak(), 3);
    });
  });

  it("is not asked twice what it answered before a run was stopped, nor anything of a task that is finished", async () => {
    const stop = new AbortController();
    let stopped = false;
    const answer: Answer = (asked, reply, index) => {
      // The seventh request never gets its answer.
      if (index < 6 || stopped) return echo(asked, reply, index);
      stopped = true;
      stop.abort(new CancelledError("interrupted"));
    };
    await withBench(answer, async ({ server, options, remote }) => {
      const cut = runAll(remote({ concurrency: 1 }), [TEN], { ...options, signal: stop.signal });
      await assert.rejects(cut, CancelledError);
      assert.equal(server.asked.length, 7);
      const { answers } = await runAll(remote(), [TEN], options);
      assert.equal(answers.length, 10);
      assert.equal(server.asked.length, 7 + 4, "the six that were answered are known");
      await runAll(remote(), [TEN], options);
      assert.equal(server.asked.length, 7 + 4);
      await runAll(remote({ model: "other" }), [TEN], options);
      assert.equal(server.asked.length, 7 + 4 + 10, "another model is asked anew");
    });
  });

  it("is asked once where two questions are the same, and once for each sample that is drawn", async () => {
    let count = 0;
    const counted: Answer = (_, reply) => reply.say(`answer ${count++}`);
    await withBench(counted, async ({ server, options, remote }) => {
      const same = { prompt: "the same" };
      const greedy = await runAll(remote(), [writtenTask("greedy", [same, same])], options);
      assert.deepEqual(
        greedy.answers.map(({ text }) => text),
        ["answer 0", "answer 0"],
      );
      const drawn = await runAll(remote(), [writtenTask("drawn", [{ ...same, temperature: 1, samples: 3 }])], options);
      assert.equal(new Set(drawn.answers.map(({ text }) => text)).size, 3);
      const seeds = server.asked.slice(1).map(({ body }) => body.seed);
      assert.equal(seeds.length, 3);
      assert.equal(new Set(seeds).size, 3);
      for (const seed of seeds) assert.ok(Number.isInteger(seed) && seed! >= 0 && seed! < 2 ** 31, `${seed}`);
      assert.equal(server.asked[0]!.body.seed, undefined, "nothing is drawn at temperature 0");
    });
  });

  it("has a refused part of the request left out or renamed, and is told of it once", async () => {
    const picky: Answer = ({ body }, reply) => {
      const refuse = (message: string): void => reply.status(400, { error: { message } });
      if (body.max_tokens !== undefined)
        return refuse("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.");
      if (body.seed !== undefined) return refuse("Unknown field: seed");
      reply.say(`limit ${body.max_completion_tokens}`);
    };
    await withBench(picky, async ({ options, remote }) => {
      const notes: string[] = [];
      const model = remote({ onNote: (note) => notes.push(note), concurrency: 4 });
      const drawn = writtenTask(
        "drawn",
        Array.from({ length: 8 }, () => ({ temperature: 1 })),
      );
      const { answers } = await runAll(model, [drawn], options);
      assert.deepEqual([...new Set(answers.map(({ text }) => text))], ["limit 16"]);
      assert.equal(notes.length, 2);
      assert.match(notes[0]!, /"max_tokens": asking with "max_completion_tokens"/);
      assert.match(notes[1]!, /"seed": asking without it/);
    });
  });

  it("stops the run at a prompt that it refuses, and names it; or the prompt is left out", async () => {
    const filter: Answer = (asked, reply, index) => {
      if (!asked.body.messages.at(-1)!.content.endsWith("4")) return echo(asked, reply, index);
      reply.status(400, { error: { message: "content policy" } });
    };
    await withBench(filter, async ({ options, remote }) => {
      await assert.rejects(
        runAll(remote(), [TEN], options),
        (error) => error instanceof ApiError && /prompt "ten:4": .*400 \(content policy\)/.test(error.message),
      );
      const skipped: string[] = [];
      const { answers, measurements } = await runAll(remote(), [TEN], {
        ...options,
        onError: "skip",
        onSkip: (message) => skipped.push(message),
      });
      assert.equal(answers.length, 9);
      assert.equal(measurements.length, 9);
      assert.equal(skipped.length, 1);
      assert.match(skipped[0]!, /ten:4/);
    });
  });

  it("is asked for no log-probabilities, in one sentence that names what wants them", async () => {
    const likelihood = (name: string, group?: string): Task => ({
      suite: "s",
      name,
      about: "",
      source: "own",
      version: "1",
      ...(group === undefined ? {} : { group }),
      *load() {
        yield { kind: "likelihood", id: "q", cluster: "q", requests: [], read: () => ({}) };
      },
    });
    await withBench(echo, async ({ server, options, remote }) => {
      await assert.rejects(
        runAll(remote(), [TEN, likelihood("one"), likelihood("two", "many"), likelihood("three", "many")], options),
        (error) =>
          error instanceof UsageError && error.message.startsWith("s:one, s:many: read from log-probabilities"),
      );
      assert.equal(server.asked.length, 0);
    });
  });
});

describe("valora eval at an endpoint", () => {
  const KEY = "sk-test-5512aa";

  it("makes the evaluation folder, in which the key is nowhere, though the server repeat it", async () => {
    const leaky: Answer = (_, reply) => reply.say(`I am sorry, but I cannot help with that, ${KEY}.`);
    await withFolder((folder) =>
      withApiServer(leaky, async (server) => {
        const output = join(folder, "out");
        const args = ["eval", "--api-url", server.url, "--api-model", "m", "--suite", "safety:advbench"];
        const cache = join(folder, "cache");
        const env = { VALORA_CACHE: cache, HF_HUB_OFFLINE: "1", VALORA_API_KEY: KEY };
        const first = await run([...args, "--limit", "3", "--output", output, "--json-logs"], { env });
        assert.equal(first.status, 0, first.stderr);
        assert.deepEqual(
          server.asked.map(({ authorization }) => authorization),
          Array(3).fill(`Bearer ${KEY}`),
        );
        const items = readLines(join(output, "items.jsonl"));
        assert.deepEqual(
          items.map(({ model, adapter, metric, grader, y }) => ({ model, adapter, metric, grader, y })),
          Array(3).fill({ model: "m", adapter: "base", metric: "refusal", grader: "refusal-match", y: 1 }),
        );
        for (const place of [output, cache])
          for (const name of readdirSync(place, { recursive: true }).map(String)) {
            if (!/\.(json|jsonl|csv)$/.test(name)) continue;
            assert.ok(!readFileSync(join(place, name), "utf8").includes(KEY), `the key is in ${name}`);
          }
        assert.ok(!first.stderr.includes(KEY));
        assert.match(first.stderr, /"requests":3,"tokens_in":\d+,"tokens_out":384/);
        const { device, options } = JSON.parse(readFileSync(join(output, "manifest.json"), "utf8")) as {
          device: object;
          options: Record<string, unknown>;
        };
        assert.deepEqual(device, { kind: "api", url: `${server.url}/chat/completions`, model: "m" });
        assert.equal(options["api-model"], "m");
        const again = await run([...args, "--limit", "3", "--output", output], { env });
        assert.match(again.stderr, /up to date/);
        assert.equal(server.asked.length, 3);
      }),
    );
  });

  it("sends a grader's key to the grader's host, and no other key there", async () => {
    const judge: Answer = (_, reply) => reply.say('{"refusal": 0.9}');
    await withFolder((folder) =>
      withApiServer(echo, (server) =>
        withApiServer(judge, async (other) => {
          const args = [
            "eval",
            "--api-url",
            server.url,
            "--api-model",
            "m",
            "--suite",
            "safety:advbench",
            "--limit",
            "2",
          ];
          const env = { VALORA_CACHE: join(folder, "cache"), HF_HUB_OFFLINE: "1", VALORA_API_KEY: KEY };
          const grader = ["--grader", "refusal-api", "--grader-api-url", other.url, "--grader-api-model", "j"];
          const without = await run([...args, ...grader, "--output", join(folder, "a")], { env });
          assert.equal(without.status, 0, without.stderr);
          assert.equal(server.asked.length, 2);
          assert.deepEqual(
            other.asked.map(({ authorization, body }) => [authorization, body.model]),
            Array(2).fill([undefined, "j"]),
          );
          const own = { ...env, VALORA_GRADER_API_KEY: "sk-grader", VALORA_CACHE: join(folder, "other") };
          const withOwn = await run([...args, ...grader, "--output", join(folder, "b")], { env: own });
          assert.equal(withOwn.status, 0, withOwn.stderr);
          assert.equal(other.asked.at(-1)!.authorization, "Bearer sk-grader");
          assert.equal(server.asked.at(-1)!.authorization, `Bearer ${KEY}`);
        }),
      ),
    );
  });

  it("is refused in one sentence", async () => {
    const args = ["eval", "--quiet", "--output", "/nowhere/x", "--api-url", "http://127.0.0.1:9/v1"];
    const env = { HF_HUB_OFFLINE: "1" };
    const whole = [...args, "--api-model", "m"];
    assertRefused(await run([...args, "--suite", "safety"], { env }), 2, "--api-model");
    assertRefused(await run([...whole, "--suite", "safety:advbench", "--adapter", "a=b"], { env }), 2, "--adapter a");
    assertRefused(
      await run([...whole, "--suite", "safety:advbench", "--suite", "qa:mmlu", "--suite", "persona"], { env }),
      2,
      "qa:mmlu, persona:traits: ",
    );
    assertRefused(
      await run([...whole, "--suite", "anthropomorphism:multi_turn", "--limit", "1"], { env }),
      2,
      "--simulator-api-model",
    );
  });
});
