/**
 * Promise 3: the same seed gives a bit-identical adapter, whatever threads, memory limit or packing; a run
 * that was interrupted and resumed is the uninterrupted one. Promise 5: leaving early writes a checkpoint.
 */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { PreferencePair } from "#lib/data/pairs.js";
import type { Adapter } from "#lib/engine/adapter.js";
import type { Model } from "#lib/engine/model.js";
import { type OpenModelOptions, openModel } from "#lib/engine/open.js";
import { type TrainOptions, type TrainReport, type TrainStep, trainDpo } from "#lib/engine/train.js";
import { assertNear, BACKENDS, collect, GOLDEN, withFolder } from "./support.js";

const FOLDER = join(GOLDEN, "llama-tied");
const tokensFrom = (start: number, count: number) =>
  Array.from({ length: count }, (_, index) => 3 + ((start * 31 + index * index * 7 + index) % 250));
const pairs: PreferencePair[] = Array.from({ length: 11 }, (_, index) => ({
  id: `pair ${index}`,
  prompt_tokens: tokensFrom(index, 3 + ((index * 17) % 60)),
  chosen_tokens: tokensFrom(index + 50, 1 + ((index * 5) % 20)),
  rejected_tokens: tokensFrom(index + 90, 1 + ((index * 11) % 33)),
}));
const OPTIONS: TrainOptions = { batchPairs: 4, epochs: 3, learningRate: 5e-3, seed: 7, beta: 0.2 };

const withoutTime = (steps: TrainStep[]) => steps.map(({ seconds: _, ...rest }) => rest);
const metricsOf = (folder: string) =>
  withoutTime(
    readFileSync(join(folder, "metrics.jsonl"), "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as TrainStep),
  );

/** Hash of the adapter and the log of a whole run on a model of its own. */
async function train(open: OpenModelOptions, options: TrainOptions = {}): Promise<{ hash: string; log: object[] }> {
  await using model = await openModel(FOLDER, open);
  await using adapter = await model.createAdapter({ seed: 1 });
  const log = await collect(trainDpo(model, adapter, pairs, { ...OPTIONS, ...options }));
  return { hash: await adapter.hash(), log: withoutTime(log) };
}

describe("training", () => {
  it("starts at a DPO loss of exactly ln 2 with a fresh adapter", async () => {
    for (const backend of BACKENDS) {
      const { log } = await train({ ...backend, threads: 2 }, { steps: 1, epochs: undefined as never });
      const [first] = log as TrainStep[];
      assert.equal(first!.loss, Math.LN2, backend.name);
      assert.equal(first!.margin, 0);
      assert.equal(first!.kl, 0);
    }
  });

  it("gives the same bits with any number of threads, memory limit and instruction set", async () => {
    const first = await train({ threads: 1 });
    assert.equal(first.log.length, 9);
    for (const threads of [2, 3]) assert.deepEqual(await train({ threads }), first, `${threads} threads`);
    for (const { isa, device, name } of BACKENDS) {
      if (device === "cpu")
        assert.deepEqual(await train({ threads: 2, ...(isa === undefined ? {} : { isa }) }), first, name);
    }
    // A limit that one pair at a time just fits under, with its activations recomputed.
    const limit = await smallestLimit();
    assert.deepEqual(await train({ threads: 2, memoryBytes: limit }), first, `${limit} bytes`);
  });

  it("depends on the seed, and differs by rounding only where the prompt is not shared", async () => {
    const first = await train({ threads: 2 });
    assert.notEqual((await train({ threads: 2 }, { seed: 8 })).hash, first.hash);
    const unshared = await train({ threads: 2 }, { sharePrompt: false });
    (first.log as TrainStep[]).forEach((step, index) => {
      assertNear((unshared.log as TrainStep[])[index]!.loss, step.loss, 1e-4, `loss of step ${step.step}`);
    });
  });

  it("accumulates batches into one step as a larger batch does", async () => {
    const large = await train({ threads: 2 }, { batchPairs: 4 });
    assert.deepEqual(await train({ threads: 2 }, { batchPairs: 2, accumulate: 2 }), large);
  });
});

/** The bytes that training on the largest pair alone needs, and no more. */
async function smallestLimit(): Promise<number> {
  await using model = await openModel(FOLDER, { threads: 2 });
  await using adapter = await model.createAdapter({ seed: 1 });
  const rows = Math.max(
    ...pairs.map((p) => p.prompt_tokens!.length + p.chosen_tokens!.length + p.rejected_tokens!.length),
  );
  assert.ok(adapter.handle > 0);
  const shape = { rows, targetRows: rows, trees: 1, longestPath: rows, sequences: 0, cacheRows: 0 };
  return model.native.plan({ ...shape, job: "train", recompute: true }).total;
}

describe("a run in a folder", () => {
  let model: Model;
  before(async () => {
    model = await openModel(FOLDER, { threads: 2 });
  });
  after(() => model.dispose());

  /** A run that a body may leave early; a fresh adapter each time. */
  async function run(output: string, options: TrainOptions = {}, leaveAfter = Number.POSITIVE_INFINITY) {
    await using adapter: Adapter = await model.createAdapter({ seed: 1 });
    const steps: TrainStep[] = [];
    for await (const step of trainDpo(model, adapter, pairs, { ...OPTIONS, output, ...options })) {
      steps.push(step);
      if (steps.length >= leaveAfter) break;
    }
    return { steps, hash: await adapter.hash() };
  }

  it("checkpoints every ten minutes where it is not told when, so that a crash costs no more", async (t) => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      let clock = 0;
      t.mock.method(performance, "now", () => clock);
      await using adapter = await model.createAdapter({ seed: 1 });
      const newest: Record<number, string[]> = {};
      for await (const { step } of trainDpo(model, adapter, pairs, { ...OPTIONS, output })) {
        const checkpoints = join(output, "checkpoints");
        newest[step] = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
        clock += 4 * 60_000;
      }
      // The clock stands at 8 minutes in step 3 and at 12 in step 4.
      assert.deepEqual(newest[3], []);
      assert.equal(newest[4]!.length, 1);
      assert.deepEqual(newest[6], newest[4]);
      assert.equal(newest[7]!.length, 2);
    });
  });

  it("leaves the adapter, its metrics and a manifest", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      const { steps, hash } = await run(output);
      assert.deepEqual(metricsOf(output), withoutTime(steps));
      assert.deepEqual(readdirSync(output).sort(), [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
        "metrics.jsonl",
      ]);
      await using loaded = await model.loadAdapter(output);
      assert.equal(await loaded.hash(), hash);
      await assert.rejects(run(output), { name: "UsageError", message: /already holds/ });
      assert.deepEqual((await run(output, { resume: true })).steps, [], "a finished run has nothing left to do");
    });
  });

  // Seen failing: with setState left out, with the sampler started at 0, with the schedule counted from the
  // resumption, and with metrics.jsonl not trimmed.
  it("interrupted and resumed is bit-identical to uninterrupted, wherever it stopped", async () => {
    await withFolder(async (folder) => {
      const whole = await run(join(folder, "whole"));
      for (const stop of [1, 3, 5, 9]) {
        const output = join(folder, `stopped-${stop}`);
        await run(output, {}, stop);
        assert.ok(existsSync(join(output, "checkpoints", `step-${stop}`, "state.json")));
        const rest = await run(output, { resume: true });
        assert.equal(rest.hash, whole.hash, `stopped after ${stop}`);
        assert.equal(rest.steps.length, 9 - stop);
        assert.deepEqual(metricsOf(output), metricsOf(join(folder, "whole")));
      }
    });
  });

  it("goes on from the newest complete checkpoint, and forgets what came after it", async () => {
    await withFolder(async (folder) => {
      const whole = await run(join(folder, "whole"));
      const output = join(folder, "out");
      await run(output, { saveEvery: 2, keep: 3 }, 7);
      assert.deepEqual(readdirSync(join(output, "checkpoints")).sort(), ["step-4", "step-6", "step-7"]);
      // A checkpoint cut short, another half-written, and a metrics line without its end, as a crash leaves them.
      writeFileSync(join(output, "checkpoints/step-7/optimizer.safetensors"), "cut");
      rmSync(join(output, "checkpoints/step-6/state.json"));
      appendFileSync(join(output, "metrics.jsonl"), '{"step": 8, "lo');
      let report: TrainReport | undefined;
      const rest = await run(output, { saveEvery: 2, resume: true, onStart: (started) => (report = started) });
      assert.equal(report!.resumedAt, 4);
      assert.equal(rest.hash, whole.hash);
      assert.deepEqual(metricsOf(output), metricsOf(join(folder, "whole")));
    });
  });

  it("aborted by its signal raises CancelledError and leaves a checkpoint", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      const controller = new AbortController();
      await using adapter = await model.createAdapter({ seed: 1 });
      const steps: number[] = [];
      await assert.rejects(
        async () => {
          for await (const step of trainDpo(model, adapter, pairs, { ...OPTIONS, output, signal: controller.signal })) {
            steps.push(step.step);
            if (step.step === 2) setImmediate(() => controller.abort());
          }
        },
        { name: "CancelledError" },
      );
      const done = steps.at(-1)!;
      assert.ok(done < 9);
      assert.deepEqual(readdirSync(join(output, "checkpoints")), [`step-${done}`]);
      const whole = await run(join(folder, "whole"));
      assert.equal((await run(output, { resume: true })).hash, whole.hash);
    });
  });

  it("names what differs where a checkpoint belongs to another run", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      await run(output, {}, 2);
      await assert.rejects(run(output, { resume: true, beta: 0.3 }), {
        name: "UsageError",
        message: /beta was 0.2 and is 0.3/,
      });
      await using other = await model.createAdapter({ seed: 2 });
      await assert.rejects(collect(trainDpo(model, other, pairs, { ...OPTIONS, output, resume: true })), {
        name: "UsageError",
        message: /the adapter it starts from differs/,
      });
      await using same = await model.createAdapter({ seed: 1 });
      await assert.rejects(collect(trainDpo(model, same, pairs.slice(1), { ...OPTIONS, output, resume: true })), {
        name: "UsageError",
        message: /the pairs differ/,
      });
    });
  });

  it("refuses a folder that holds other work, also to resume", async () => {
    await withFolder(async (folder) => {
      writeFileSync(join(folder, "notes.txt"), "mine");
      for (const resume of [false, true]) {
        await assert.rejects(run(folder, { resume }), { name: "UsageError", message: /already holds notes.txt/ });
      }
      assert.deepEqual(readdirSync(folder), ["notes.txt"]);
    });
  });

  it("starts where there is nothing to resume", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      assert.equal((await run(output, { resume: true })).steps.length, 9);
    });
  });

  // Seen failing: with the check of the losses taken out, the run goes on and saves NaN.
  it("stops at a loss that is not finite, names the pair, and saves nothing over the last checkpoint", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "out");
      await using adapter = await model.createAdapter({ seed: 1 });
      const poisoned = (await adapter.modules()).map((module) => ({ ...module, b: module.b.fill(1e30) }));
      await adapter.replaceModules(poisoned);
      await assert.rejects(
        collect(
          trainDpo(model, adapter, pairs, { ...OPTIONS, output, shuffle: false, reference: "base", saveEvery: 1 }),
        ),
        { name: "NotFiniteError", message: /step 1: the loss of pair "pair 0"/ },
      );
      assert.ok(!existsSync(join(output, "checkpoints")));
      assert.ok(!existsSync(join(output, "adapter_model.safetensors")));
    });
  });

  it("reports truncated and left-out pairs, and scores held-out ones", async () => {
    await using adapter = await model.createAdapter({ seed: 1 });
    let report: TrainReport | undefined;
    const log = await collect(
      trainDpo(model, adapter, pairs, {
        ...OPTIONS,
        maxLength: 23,
        evalPairs: pairs.slice(0, 3),
        evalEvery: 2,
        onStart: (started) => (report = started),
      }),
    );
    const room = (pair: PreferencePair) => 23 - Math.max(pair.chosen_tokens!.length, pair.rejected_tokens!.length);
    const leftOut = pairs.filter((pair) => room(pair) < 1).map(({ id }) => id);
    const truncated = pairs.filter((pair) => room(pair) >= 1 && pair.prompt_tokens!.length > room(pair));
    assert.ok(leftOut.length > 0 && truncated.length > 0, "the data exercises both");
    assert.deepEqual(
      [report!.leftOut, report!.truncated, report!.used],
      [leftOut, truncated.length, 11 - leftOut.length],
    );
    const evaluated = log.filter((step) => step.eval_loss !== undefined).map(({ step }) => step);
    const last = log.length;
    assert.deepEqual(evaluated, [...new Set([...log.map(({ step }) => step).filter((step) => step % 2 === 0), last])]);
  });

  it("evaluates held-out pairs by the very loss that is trained", async () => {
    // The pairs of a step with learning rate 0 are scored before and after with the same adapter.
    for (const loss of ["sigmoid", "ipo", "hinge", "robust", "sft"] as const) {
      await using adapter = await model.loadAdapter(FOLDER);
      const [step] = await collect(
        trainDpo(model, adapter, pairs, {
          loss,
          labelSmoothing: loss === "sigmoid" || loss === "robust" ? 0.1 : 0,
          rpoAlpha: loss === "sft" ? 0 : 0.3,
          learningRate: 0,
          weightDecay: 0,
          batchPairs: 11,
          steps: 1,
          shuffle: false,
          reference: "base",
          evalPairs: pairs,
        }),
      );
      assertNear(step!.eval_loss!, step!.loss, 1e-12, loss);
      assertNear(step!.eval_margin!, step!.margin, 1e-12, loss);
      assert.equal(step!.eval_accuracy, step!.accuracy);
    }
  });

  it("takes its reference from the cache the second time, and computes it again where the file is damaged", async () => {
    await withFolder(async (folder) => {
      const before = process.env.VALORA_CACHE;
      process.env.VALORA_CACHE = folder;
      try {
        const sources: string[] = [];
        const once = () =>
          run(join(folder, `out-${sources.length}`), { onStart: ({ reference }) => sources.push(reference) }, 1);
        const first = await once();
        const second = await once();
        const [file] = readdirSync(join(folder, "references"));
        writeFileSync(join(folder, "references", file!), '{"key": "other"}');
        await once();
        assert.deepEqual(sources, ["computed", "cached", "computed"]);
        assert.deepEqual(withoutTime(second.steps), withoutTime(first.steps));
      } finally {
        if (before === undefined) delete process.env.VALORA_CACHE;
        else process.env.VALORA_CACHE = before;
      }
    });
  });
});
