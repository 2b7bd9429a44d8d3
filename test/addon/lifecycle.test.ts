/**
 * The addon outlives whatever JavaScript does to it: programs that end mid-work, workers that are terminated, models
 * that are collected or disposed of with work in hand.
 *
 * Seen failing: with the exit handler's join left out, the first exits end in SIGSEGV or hang; with the environment's
 * hook left out, the terminated workers do; with the engine not held by its tasks, the collected model does; with Ref
 * and Unref left out, the idle model hangs or the promise is lost.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { native } from "#lib/native.js";
import { ADAMW, forestOf, LONG, LORA, LOSS, openTiny, pairOf, SHORT } from "./tiny-model.js";

const PROGRAM = fileURLToPath(new URL("./lifecycle-program.js", import.meta.url));

/** Runs a program of lifecycle-program.ts to its end; a hang is a failure. */
async function run(name: string) {
  const child = spawn(process.execPath, ["--expose-gc", PROGRAM, name], { stdio: ["ignore", "pipe", "pipe"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), 120_000);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data) => {
    stdout += data;
  });
  child.stderr.on("data", (data) => {
    stderr += data;
  });
  const [code, signal] = await once(child, "close");
  clearTimeout(timer);
  return { code, signal, stdout, stderr };
}

const coded = (code: string) => (error: unknown) => error instanceof Error && "code" in error && error.code === code;

describe("a program that ends while a model works", () => {
  for (const name of [
    "exit while scoring",
    "exit while training",
    "exit while opening",
    "exit from progress",
    "exit while workers score",
  ]) {
    it(`ends at once with its own code: ${name}`, async () => {
      const { code, signal, stderr } = await run(name);
      assert.deepEqual({ code, signal, stderr }, { code: 7, signal: null, stderr: "" });
    });
  }

  it("ends as Node does after an uncaught exception", async () => {
    const { code, signal, stderr } = await run("uncaught exception while scoring");
    assert.deepEqual({ code, signal }, { code: 1, signal: null });
    assert.match(stderr, /nobody catches this/);
  });
});

describe("a worker that ends while a model works", () => {
  for (const name of ["terminate workers that score", "terminate workers that train", "exit from workers that score"]) {
    it(`leaves the process and its other models whole: ${name}`, async () => {
      const { code, signal, stdout, stderr } = await run(name);
      assert.deepEqual(
        { code, signal, stdout, stderr },
        { code: 0, signal: null, stdout: "still works: 7\n", stderr: "" },
      );
    });
  }
});

describe("the event loop", () => {
  it("does not wait for an idle model", async () => {
    const { code, stdout } = await run("leave a model idle");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "idle reference\n" });
  });

  it("waits for a promise that is not settled", async () => {
    const { code, stdout } = await run("wait for nothing but a promise");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "settled\n" });
  });
});

describe("a model that JavaScript has forgotten", () => {
  it("settles the promise of its last work", async () => {
    const { code, stdout } = await run("forget a model that works");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "scores 796\n" });
  });

  it("may be collected while it works", async () => {
    const { code, stdout } = await run("collect a model that works");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "scores 796, collected true\n" });
  });

  it("may be collected with a trainer that works", async () => {
    const { code, stdout } = await run("collect a trainer that works");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "pairs 1\n" });
  });

  it("leaves no thread behind", { skip: process.platform !== "linux" }, async () => {
    const { code, stdout } = await run("forget many models");
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "threads left: 0\n" });
  });
});

describe("dispose", () => {
  it("cancels the work in hand, refuses what waits, and refuses every later call", async () => {
    const model = await openTiny();
    const adapter = await model.createAdapter(LORA);
    const trainer = await model.createTrainer(adapter, { recompute: "auto" });
    const inHand = model.score(LONG);
    const waiting = [model.score(SHORT), model.exportAdapter(adapter), trainer.clear()];
    const started = new Promise((resolve) => setTimeout(resolve, 50));
    await started;
    const disposed = model.dispose();
    await assert.rejects(inHand, coded("ERR_CANCELLED"));
    for (const promise of waiting) await assert.rejects(promise, coded("ERR_DISPOSED"));
    await disposed;
    await assert.rejects(model.score(SHORT), coded("ERR_DISPOSED"));
    await assert.rejects(model.createAdapter(LORA), coded("ERR_DISPOSED"));
    await assert.rejects(trainer.step(ADAMW), coded("ERR_DISPOSED"));
    assert.throws(
      () =>
        model.plan({
          job: "score",
          rows: 8,
          targetRows: 8,
          trees: 1,
          longestPath: 8,
          recompute: false,
          sequences: 0,
          cacheRows: 0,
        }),
      coded("ERR_DISPOSED"),
    );
    trainer.dispose();
    await Promise.all([model.dispose(), model.dispose()]);
  });

  it("of a trainer lets its queued work finish and refuses later calls", async () => {
    const model = await openTiny();
    const adapter = await model.createAdapter(LORA);
    const trainer = await model.createTrainer(adapter, { recompute: "auto" });
    const queued = trainer.accumulate(pairOf(adapter, 8), LOSS);
    trainer.dispose();
    trainer.dispose();
    assert.equal((await queued).loss.length, 1);
    await assert.rejects(trainer.step(ADAMW), coded("ERR_DISPOSED"));
    assert.equal((await model.score(SHORT)).logprobs.length, 7);
    await model.dispose();
  });
});

describe("cancel", () => {
  it("ends work in hand and work that waits, and leaves the next work alone", async () => {
    const model = await openTiny();
    const before = await model.score(SHORT);
    const first = native.createCancel();
    const second = native.createCancel();
    const inHand = model.score(LONG, first);
    const waiting = model.score(LONG, second);
    const next = model.score(SHORT);
    await new Promise((resolve) => setTimeout(resolve, 50));
    second.cancel();
    first.cancel();
    await assert.rejects(inHand, coded("ERR_CANCELLED"));
    await assert.rejects(waiting, coded("ERR_CANCELLED"));
    assert.deepEqual(await next, before);
    await model.dispose();
  });

  it("of work that is done, or done twice, does nothing", async () => {
    const model = await openTiny();
    const cancel = native.createCancel();
    await model.score(SHORT, cancel);
    cancel.cancel();
    cancel.cancel();
    assert.equal((await model.score(SHORT)).logprobs.length, 7);
    await model.dispose();
  });
});

describe("queued work", () => {
  it("runs on copies of its arguments", async () => {
    const model = await openTiny();
    const expected = await model.score(SHORT);
    const forest = forestOf(1, 8);
    const blocker = model.score(forestOf(2, 100));
    const promise = model.score(forest);
    forest.tokens.fill(-1);
    forest.spans.fill(99);
    forest.targets.fill(-5);
    structuredClone(forest.adapters.buffer, { transfer: [forest.adapters.buffer as ArrayBuffer] });
    await blocker;
    assert.deepEqual(await promise, expected);
    await model.dispose();
  });

  it("settles in the order it was asked for", async () => {
    const model = await openTiny();
    const order: number[] = [];
    await Promise.all([3, 1, 2].map((rows, i) => model.score(forestOf(rows, 20)).then(() => order.push(i))));
    assert.deepEqual(order, [0, 1, 2]);
    await model.dispose();
  });

  it("rejects with what its progress function throws", async () => {
    const model = await openTiny();
    const request = {
      prompts: [Int32Array.of(1, 2, 3)],
      adapters: Int32Array.of(0),
      samples: 1,
      maxNewTokens: 300,
      temperature: 0,
      topK: 0,
      topP: 1,
      seed: 0,
      streams: Int32Array.of(0),
      stopTokens: new Int32Array(),
    };
    const failure = new RangeError("the caller's own");
    await assert.rejects(
      model.generate(request, undefined, () => {
        throw failure;
      }),
      (error) => error === failure,
    );
    const heard: number[] = [];
    await model.generate(request, undefined, (tokens) => heard.push(tokens));
    assert.notEqual(heard.length, 0);
    assert.deepEqual(
      heard,
      [...heard].sort((a, b) => a - b),
    );
    await model.dispose();
  });
});
