/** `valora score`, `generate`, `train` and `merge` on a tiny golden model, as a shell script uses them. */
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { GOLDEN } from "../golden.js";
import {
  assertRefused,
  lines,
  parseLines,
  type RunOptions,
  readLines,
  results,
  run,
  start,
  until,
  withFolder,
  writeTinyModel,
} from "./program.js";

const ADAPTER = join(GOLDEN, "llama-tied");
let model = "";
let cache = "";
before(() => {
  cache = mkdtempSync(join(tmpdir(), "valora-cli-cache-"));
  model = writeTinyModel(mkdtempSync(join(tmpdir(), "valora-cli-model-")));
});
after(() => {
  for (const folder of [model, cache]) rmSync(folder, { recursive: true, force: true });
});

const valora = (args: string[], options: RunOptions = {}) =>
  run(args, { ...options, env: { VALORA_CACHE: cache, ...options.env } });
const onModel = (command: string, ...args: string[]): string[] => [
  command,
  "--model",
  model,
  "--threads",
  "2",
  ...args,
];

const REQUESTS = lines(
  { id: "a", context_tokens: [5, 6, 7], completions_tokens: [[8], [9, 10]] },
  { id: "b", context: "hello", completions: [" hel", " lo"] },
);

describe("valora score", () => {
  test("writes one line per adapter, request and completion, adapters outermost, and says its device on stderr", async () => {
    const outcome = await valora(onModel("score", "--input", "-", "--adapter", `x=${ADAPTER}`, "--adapter", "base"), {
      input: REQUESTS,
    });
    const all = results(outcome);
    assert.deepEqual(
      all.map(({ adapter, id, completion }) => [adapter, id, completion].join(" ")),
      ["x a 0", "x a 1", "x b 0", "x b 1", "base a 0", "base a 1", "base b 0", "base b 1"],
    );
    for (const { logprob, tokens, greedy } of all) {
      assert.ok(typeof logprob === "number" && logprob < 0);
      assert.ok(Number.isInteger(tokens));
      assert.equal(typeof greedy, "boolean");
    }
    assert.deepEqual([all[0]?.tokens, all[1]?.tokens, all[0]?.bytes, all[2]?.bytes], [1, 2, null, 4]);
    assert.notEqual(all[0]?.logprob, all[4]?.logprob, "the adapter changes something");
    assert.match(outcome.stderr, /^device: [^\n]+\n$/);
  });

  test("adds token_logprobs with --per-token, and they add up to logprob", async () => {
    const all = results(await valora(onModel("score", "--input", "-", "--per-token", "--quiet"), { input: REQUESTS }));
    for (const { logprob, token_logprobs, tokens } of all) {
      const parts = token_logprobs as number[];
      assert.equal(parts.length, tokens);
      assert.ok(Math.abs(parts.reduce((sum, part) => sum + part, 0) - (logprob as number)) <= 1e-9);
    }
  });

  test("writes the same numbers as CSV", async () => {
    const [json, csv] = await Promise.all([
      valora(onModel("score", "--input", "-", "--quiet"), { input: REQUESTS }),
      valora(onModel("score", "--input", "-", "--quiet", "--format", "csv"), { input: REQUESTS }),
    ]);
    const [header, ...rows] = csv.stdout.trimEnd().split("\n");
    assert.equal(header, "id,adapter,completion,logprob,tokens,bytes,greedy,boundary");
    assert.deepEqual(
      rows.map((row) => Number(row.split(",")[3])),
      results(json).map(({ logprob }) => logprob),
    );
  });

  test("leaves a file whose manifest says the same as it is, and makes it again where the options differ", async () => {
    await withFolder(async (folder) => {
      const input = join(folder, "requests.jsonl");
      const output = join(folder, "scores.jsonl");
      writeFileSync(input, REQUESTS);
      const score = (...more: string[]) => valora(onModel("score", "--input", input, "--output", output, ...more));
      assert.equal((await score()).status, 0);
      assert.deepEqual(readdirSync(folder).sort(), ["requests.jsonl", "scores.jsonl", "scores.jsonl.manifest.json"]);
      const made = statSync(output).mtimeMs;
      assert.match((await score()).stderr, /up to date/);
      assert.equal(statSync(output).mtimeMs, made);
      assert.equal((await score("--per-token")).status, 0);
      assert.ok("token_logprobs" in readLines(output)[0]!);
    });
  });

  test("refuses a token outside the vocabulary, an adapter that is not there, and a device that is not there", async () => {
    const input = lines({ id: "a", context_tokens: [5], completions_tokens: [[256]] });
    const outcome = await valora(onModel("score", "--input", "-", "--quiet"), { input });
    assertRefused(outcome, 1, "256");
    assertRefused(
      await valora(onModel("score", "--input", "-", "--quiet", "--adapter", "x=no-such-folder")),
      1,
      "no-such-folder",
    );
    assertRefused(await valora(onModel("score", "--input", "-", "--device", "cuda")), 1, "cuda");
  });

  test("refuses an adapter of another model, and says what of its own it passes over", async () => {
    const score = (dir: string) =>
      valora(onModel("score", "--input", "-", "--adapter", `x=${dir}`), { input: REQUESTS });
    const other = await score(join(GOLDEN, "mistral-nemo"));
    assert.equal(other.status, 1);
    assert.match(other.stderr, /mistral-nemo does not fit .*another model\?\n$/);

    await withFolder(async (folder) => {
      cpSync(ADAPTER, folder, { recursive: true });
      const path = join(folder, "adapter_config.json");
      const config = JSON.parse(readFileSync(path, "utf8")) as object;
      writeFileSync(path, JSON.stringify({ ...config, lora_dropout: 0.05 }));
      const dropped = await score(folder);
      assert.match(dropped.stderr, /lora_dropout 0\.05 is ignored/);
      const plain = await score(ADAPTER);
      assert.doesNotMatch(plain.stderr, /ignored/);
      assert.equal(dropped.stdout, plain.stdout);
    });
  });

  test("refuses more memory than it may take, and names the option", async () => {
    assertRefused(
      await valora(onModel("score", "--input", "-", "--quiet", "--memory", "10KiB"), { input: REQUESTS }),
      1,
      "--memory",
    );
  });
});

describe("valora generate", () => {
  const prompts = lines({ id: "p", prompt: [{ role: "user", content: "hello" }] }, { id: "q", prompt_tokens: [5, 6] });
  const generate = (...args: string[]) =>
    valora(onModel("generate", "--input", "-", "--quiet", "--max-new-tokens", "6", ...args), { input: prompts });

  test("writes one line per adapter, prompt and sample", async () => {
    const all = results(
      await generate(
        "--adapter",
        "base",
        "--adapter",
        `x=${ADAPTER}`,
        "--samples",
        "2",
        "--temperature",
        "1",
        "--ignore-eos",
      ),
    );
    assert.deepEqual(
      all.map(({ adapter, id, sample }) => [adapter, id, sample].join(" ")),
      ["base p 0", "base p 1", "base q 0", "base q 1", "x p 0", "x p 1", "x q 0", "x q 1"],
    );
    for (const { tokens, finish, text } of all) {
      assert.equal((tokens as number[]).length, 6);
      assert.equal(finish, "length");
      assert.equal(typeof text, "string");
    }
    assert.equal(all[2]?.prompt_tokens, 2);
  });

  test("draws the same for the same seed and something else for another", async () => {
    const sampled = ["--temperature", "1", "--ignore-eos"];
    const [first, again, other] = await Promise.all([
      generate(...sampled),
      generate(...sampled),
      generate(...sampled, "--seed", "1"),
    ]);
    assert.equal(first.stdout, again.stdout);
    assert.notEqual(first.stdout, other.stdout);
  });

  test("puts --system in front of messages and not of tokens", async () => {
    const [plain, system] = [results(await generate()), results(await generate("--system", "hello ".repeat(20)))];
    assert.ok((system[0]?.prompt_tokens as number) > (plain[0]?.prompt_tokens as number));
    assert.equal(system[1]?.prompt_tokens, plain[1]?.prompt_tokens);
  });
});

describe("valora train", () => {
  const PAIRS = lines(
    ...Array.from({ length: 8 }, (_, i) => ({
      id: `p${i}`,
      prompt_tokens: [10, 11 + i],
      chosen_tokens: [20, 21 + i],
      rejected_tokens: [30 + i],
    })),
  );
  const METRICS =
    "step epoch loss chosen_reward rejected_reward margin accuracy chosen_logp rejected_logp grad_norm learning_rate tokens seconds";
  const train = (output: string, ...args: string[]): string[] =>
    onModel("train", "--pairs", "-", "--output", output, "--batch-pairs", "4", "--learning-rate", "1e-3", ...args);

  test("writes PEFT's files, a line of metrics a step, and a manifest; the first loss is ln 2", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "adapter");
      const outcome = await valora(train(output, "--epochs", "2"), { input: PAIRS });
      assert.equal(outcome.status, 0, outcome.stderr);
      assert.deepEqual(readdirSync(output).sort(), [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
        "metrics.jsonl",
      ]);
      const metrics = readLines(join(output, "metrics.jsonl"));
      assert.equal(metrics.length, 4);
      for (const name of METRICS.split(" ")) assert.equal(typeof metrics[0]?.[name], "number", name);
      assert.equal(metrics[0]?.loss, Math.LN2);
      assertRefused(await valora(train(output, "--quiet"), { input: PAIRS }), 2, output);
      const again = await valora(train(output, "--epochs", "2", "--resume", "--tensorboard"), { input: PAIRS });
      assert.equal(again.status, 0, again.stderr);
      assert.ok(existsSync(join(output, "events.out.tfevents.valora")));
      const [scored] = results(
        await valora(onModel("score", "--input", "-", "--quiet", "--adapter", `x=${output}`), {
          input: lines({ id: "a", context_tokens: [10, 11], completions_tokens: [[20, 21]] }),
        }),
      );
      assert.equal(scored?.adapter, "x");
    });
  });

  test("interrupted by Ctrl-C ends the step, checkpoints and exits with 130; --resume gives the uninterrupted adapter", async () => {
    await withFolder(async (folder) => {
      const [whole, broken] = [join(folder, "whole"), join(folder, "broken")];
      const steps = ["--steps", "400", "--schedule", "constant"];
      const finished = await valora(train(whole, ...steps), { input: PAIRS });
      assert.equal(finished.status, 0, finished.stderr);
      const running = start(train(broken, ...steps), { env: { VALORA_CACHE: cache } });
      running.child.stdin?.end(PAIRS);
      await until(
        "a step",
        () =>
          existsSync(join(broken, "metrics.jsonl")) &&
          readFileSync(join(broken, "metrics.jsonl"), "utf8").includes("\n"),
      );
      running.child.kill("SIGINT");
      const outcome = await running.ended;
      assert.equal(outcome.status, 130, outcome.stderr);
      assert.match(outcome.stderr, /interrupted[^\n]*\n$/);
      assert.equal(readdirSync(join(broken, "checkpoints")).length, 1);
      assert.ok(!existsSync(join(broken, "adapter_model.safetensors")));
      const resumed = await valora(train(broken, ...steps, "--resume"), { input: PAIRS });
      assert.equal(resumed.status, 0, resumed.stderr);
      assert.ok(
        readFileSync(join(broken, "adapter_model.safetensors")).equals(
          readFileSync(join(whole, "adapter_model.safetensors")),
        ),
      );
      const count = readLines(join(broken, "metrics.jsonl")).map(({ step }) => step);
      assert.deepEqual(
        count,
        Array.from({ length: 400 }, (_, i) => i + 1),
      );
    });
  });

  test("logs a JSON line with the rate while it works with --json-logs", async () => {
    await withFolder(async (folder) => {
      const outcome = await valora(train(join(folder, "adapter"), "--steps", "2", "--json-logs"), { input: PAIRS });
      assert.equal(outcome.status, 0, outcome.stderr);
      assert.equal(outcome.stdout, "");
      const progress = parseLines(outcome.stderr).filter(({ event }) => event === "progress");
      assert.ok(progress.length > 0);
      assert.equal(typeof progress.at(-1)?.rate, "number");
    });
  });
});

describe("valora merge", () => {
  test("writes a safetensors model that scores like model and adapter, and prints the proof", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "merged");
      const [proof] = results(
        await valora(onModel("merge", "--adapter", ADAPTER, "--output", output, "--dtype", "F32", "--quiet")),
      );
      assert.ok(proof !== undefined);
      assert.ok(existsSync(join(output, "config.json")));
      const input = lines({ id: "a", context_tokens: [5, 6, 7], completions_tokens: [[8, 9, 10, 11]] });
      const logprob = (outcome: Awaited<ReturnType<typeof run>>): number => results(outcome)[0]?.logprob as number;
      const [merged, separate] = await Promise.all([
        valora(["score", "--model", output, "--input", "-", "--quiet"], { input }),
        valora(onModel("score", "--input", "-", "--quiet", "--adapter", `x=${ADAPTER}`), { input }),
      ]);
      assert.ok(Math.abs(logprob(merged) - logprob(separate)) <= 1e-5);
    });
  });
});
