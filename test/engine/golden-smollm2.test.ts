/**
 * Promise 1 on the real default model: scores in tokens and in text, greedy continuations, a DPO run, as torch,
 * lm-evaluation-harness and TRL's loop answer (test/golden/README.md, whose tolerances these are).
 *
 * The fastest instruction set does everything. The others and the reference, which is slow, do three
 * score requests and one continuation: what they compute beyond that is held to the fast one, bit by
 * bit, in invariance.test.ts and, op by op, in the core's own tests.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { PreferencePair } from "#lib/data/pairs.js";
import type { Adapter } from "#lib/engine/adapter.js";
import type { Model } from "#lib/engine/model.js";
import { openModel } from "#lib/engine/open.js";
import { nativePairs } from "#lib/engine/pair-batch.js";
import type { ScoreRequest, ScoreResult } from "#lib/engine/score.js";
import { tokenizePairs } from "#lib/engine/tokenize-pairs.js";
import { trainDpo } from "#lib/engine/train.js";
import { pullModel } from "#lib/models/pull.js";
import {
  assertNear,
  BACKENDS,
  BEST,
  collect,
  distance,
  GOLDEN,
  modulesOf,
  norm,
  ROOT,
  readLines,
  readTensors,
  SMOLLM2,
} from "./support.js";

const FOLDER = join(GOLDEN, "smollm2");
/** Of a sum against the float64 model, and of a token against torch's float32. */
const LOGPROB = 3e-4;
/** Of a sum against torch's float32, whose log_softmax is biased. */
const torchTolerance = (tokens: number) => 3e-5 * tokens + 3e-4;

interface ScoreExpected {
  id: string;
  completion: number;
  tokens: number;
  greedy: boolean;
  token_logprobs: number[];
  logprob_float64: number;
}

interface Started {
  logprob: number;
  tokens: number;
  greedy: boolean;
  token_logprobs: number[];
  logprob_float64?: number;
}

interface TextExpected {
  id: string;
  completion: number;
  bytes: number;
  boundary: "spanned" | "clean";
  lm_eval: { error: string } | { logprob: number; greedy: boolean; tokens: number };
  prefix: Started;
}

interface GenerateExpected {
  prompt_tokens: number[];
  text: string;
  ids: number[];
  stop_after: number | null;
  smallest_gap: number;
}

const keyOf = ({ id, completion }: { id: string; completion: number }) => `${id} ${completion}`;

/** The adapters of the DPO run are large and live beside the repository; VALORA_SHARED says where else. */
const dpoFolder = join(process.env.VALORA_SHARED ?? join(ROOT, "../shared"), "golden/smollm2/dpo");
const noAdapters = existsSync(join(dpoFolder, "init"))
  ? false
  : `needs ${dpoFolder}/init, which is not here (set VALORA_SHARED)`;

function checkScores(results: readonly ScoreResult[], expected: readonly ScoreExpected[]): void {
  const wanted = new Map(expected.map((line) => [keyOf(line), line]));
  for (const result of results) {
    const line = wanted.get(keyOf(result))!;
    assertNear(result.logprob, line.logprob_float64, LOGPROB, keyOf(result));
    assert.equal(result.tokens, line.tokens);
    assert.equal(result.bytes, null);
    assert.equal(result.greedy, line.greedy);
    assert.equal(result.token_logprobs!.length, line.tokens);
    line.token_logprobs.forEach((value, index) => {
      assertNear(result.token_logprobs![index]!, value, LOGPROB, `${keyOf(result)}, token ${index}`);
    });
  }
}

async function checkContinuations(model: Model, lines: readonly GenerateExpected[]): Promise<number> {
  // smallest_gap is of the part up to the stop: past it the rest is compared only where it is equal anyway.
  const results = await collect(
    model.generate(
      lines.map(({ prompt_tokens }, index) => ({ id: `${index}`, prompt_tokens })),
      { maxNewTokens: 32 },
    ),
  );
  let compared = 0;
  lines.forEach((line, index) => {
    if (!(line.smallest_gap > 1e-3)) return;
    const result = results[index]!;
    const wanted = line.ids.slice(0, line.stop_after ?? line.ids.length);
    assert.deepEqual(result.tokens, wanted, line.text);
    assert.equal(result.finish, line.stop_after === null ? "length" : "stop");
    const said = line.stop_after === null ? wanted : wanted.slice(0, -1);
    assert.equal(result.text, model.tokenizer!.decode(said));
    compared++;
  });
  return compared;
}

const scoreRequests = readLines<ScoreRequest>(join(FOLDER, "score.jsonl"));
const scoreExpected = readLines<ScoreExpected>(join(FOLDER, "score.expected.jsonl"));
const continuations = readLines<GenerateExpected>(join(FOLDER, "generate.jsonl"));

/** A short multiple choice, a chat with two answers, and a context of one token. */
const SUBSET = ["mc0", "chat0", "context1"];

describe(`${SMOLLM2} on ${BEST.name}`, () => {
  let model: Model;
  before(async () => {
    model = await openModel(await pullModel(SMOLLM2, {}), { ...BEST, threads: 2 });
  });
  after(() => model.dispose());

  it("scores the 40 token requests", async () => {
    const results = await collect(model.score(scoreRequests, { perToken: true }));
    assert.deepEqual(results.map(keyOf), scoreExpected.map(keyOf));
    checkScores(results, scoreExpected);
  });

  it("scores the 40 text requests from the longest common prefix", async () => {
    const expected = readLines<TextExpected>(join(FOLDER, "score_text.expected.jsonl"));
    const results = await collect(
      model.score(readLines<ScoreRequest>(join(FOLDER, "score_text.jsonl")), { perToken: true }),
    );
    assert.deepEqual(results.map(keyOf), expected.map(keyOf));
    results.forEach((result, index) => {
      const { prefix, bytes, boundary } = expected[index]!;
      assertNear(result.logprob, prefix.logprob_float64 ?? 0, LOGPROB, keyOf(result));
      assert.equal(result.tokens, prefix.tokens, keyOf(result));
      assert.equal(result.bytes, bytes, keyOf(result));
      assert.equal(result.greedy, prefix.greedy, keyOf(result));
      assert.equal(result.boundary, boundary === "spanned" ? "spanned" : undefined, keyOf(result));
      prefix.token_logprobs.forEach((value, at) => {
        assertNear(result.token_logprobs![at]!, value, LOGPROB, `${keyOf(result)}, token ${at}`);
      });
    });
  });

  it("scores them as lm-evaluation-harness does, and calls empty what it fails on", async () => {
    const expected = readLines<TextExpected>(join(FOLDER, "score_text.expected.jsonl"));
    const requests = readLines<ScoreRequest>(join(FOLDER, "score_text.jsonl"));
    const results = await collect(model.score(requests, { boundary: "harness" }));
    assert.deepEqual(results.map(keyOf), expected.map(keyOf));
    results.forEach((result, index) => {
      const { lm_eval: truth } = expected[index]!;
      if ("error" in truth) {
        assert.deepEqual([result.logprob, result.tokens, result.boundary], [0, 0, "empty"], keyOf(result));
        return;
      }
      assertNear(result.logprob, truth.logprob, torchTolerance(truth.tokens), keyOf(result));
      assert.equal(result.tokens, truth.tokens, keyOf(result));
      assert.equal(result.greedy, truth.greedy, keyOf(result));
      assert.equal(result.boundary, undefined, keyOf(result));
    });
  });

  it("continues greedily, and stops where the model does", async () => {
    assert.equal(
      await checkContinuations(model, continuations),
      continuations.filter((line) => line.smallest_gap > 1e-3).length,
    );
  });

  it("tokenizes the pairs of the DPO run as the golden file has them", async () => {
    const lines = readLines<
      PreferencePair & { prompt_tokens: number[]; chosen_tokens: number[]; rejected_tokens: number[] }
    >(join(FOLDER, "dpo/pairs.jsonl"));
    const texts = lines.map(({ id, prompt, chosen, rejected }) => ({ id, prompt, chosen, rejected }) as PreferencePair);
    const { pairs } = await tokenizePairs(model, texts, 1024, model.files.config.vocabulary);
    assert.deepEqual(
      pairs,
      lines.map((line) => ({
        id: line.id,
        prompt: line.prompt_tokens,
        chosen: line.chosen_tokens,
        rejected: line.rejected_tokens,
      })),
    );
  });

  describe("the DPO run", { skip: noAdapters }, () => {
    interface Step {
      loss: number;
      chosen_reward: number;
      rejected_reward: number;
      margin: number;
      accuracy: number;
      grad_norm: number;
    }
    const expected = JSON.parse(readFileSync(join(FOLDER, "dpo/expected.json"), "utf8")) as {
      hyper: {
        beta: number;
        lr: number;
        weight_decay: number;
        max_grad_norm: number;
        steps: number;
        batch_pairs: number;
      };
      steps: Step[];
      reference_is_initial_adapter: { steps: Step[] };
    };
    const pairs = readLines<PreferencePair>(join(FOLDER, "dpo/pairs.jsonl"));
    const options = {
      beta: expected.hyper.beta,
      learningRate: expected.hyper.lr,
      weightDecay: expected.hyper.weight_decay,
      clip: expected.hyper.max_grad_norm,
      batchPairs: expected.hyper.batch_pairs,
      schedule: "constant" as const,
      warmup: 0,
      shuffle: false,
    };
    const check = (step: Step, truth: Step, name: string) => {
      assertNear(step.loss, truth.loss, 5e-5, `loss, ${name}`);
      assertNear(step.margin, truth.margin, 5e-5, `margin, ${name}`);
      assertNear(step.chosen_reward, truth.chosen_reward, 3e-4, `chosen reward, ${name}`);
      assertNear(step.rejected_reward, truth.rejected_reward, 3e-4, `rejected reward, ${name}`);
      assertNear(step.grad_norm / truth.grad_norm, 1, 1e-4, `gradient norm, ${name}`);
      assert.equal(step.accuracy, truth.accuracy, `accuracy, ${name}`);
    };

    it("has the golden gradient at step 0", async () => {
      await using adapter = await model.loadAdapter(join(dpoFolder, "init"));
      const trainer = await model.native.createTrainer(adapter.handle, { recompute: "auto" });
      const tokenized = (await tokenizePairs(model, pairs.slice(0, 4), 1024, model.files.config.vocabulary)).pairs;
      const { steps: _, ...file } = JSON.parse(readFileSync(join(FOLDER, "dpo/expected.json"), "utf8")) as {
        steps: unknown;
        reference_chosen_logps: number[];
        reference_rejected_logps: number[];
      };
      const batch = tokenized.map((pair, index) => ({
        ...pair,
        chosenReference: file.reference_chosen_logps[index]!,
        rejectedReference: file.reference_rejected_logps[index]!,
      }));
      const loss = { kind: "sigmoid" as const, beta: expected.hyper.beta, labelSmoothing: 0, rpoAlpha: 0 };
      await trainer.accumulate(nativePairs(batch, adapter.handle, true, 0.25), loss);
      const gradients = await trainer.gradients();
      const truth = modulesOf(readTensors(join(dpoFolder, "grad_step0.safetensors")), "");
      assert.equal(gradients.length, truth.length);
      truth.forEach((module, index) => {
        for (const side of ["a", "b"] as const) {
          const relative = distance([gradients[index]![side]], [module[side]]) / norm([module[side]]);
          assertNear(relative, 0, 2e-3, `gradient of ${side}, layer ${module.layer} ${module.kind}`);
        }
      });
      trainer.dispose();
    });

    it("makes the same 8 steps against the base model and arrives at the same adapter", async () => {
      await using adapter = await model.loadAdapter(join(dpoFolder, "init"));
      const parameters = async (one: Adapter) => (await one.modules()).flatMap(({ a, b }) => [a, b]);
      const start = await parameters(adapter);
      const log = await collect(trainDpo(model, adapter, pairs, { ...options, epochs: 1, reference: "base" }));
      assert.equal(log.length, expected.hyper.steps);
      log.forEach((step, index) => {
        check(step, expected.steps[index]!, `step ${step.step}`);
      });
      const truth = modulesOf(readTensors(join(dpoFolder, "final/adapter_model.safetensors")), "").flatMap(
        ({ a, b }) => [a, b],
      );
      assertNear(distance(await parameters(adapter), truth) / distance(truth, start), 0, 1e-2, "final adapter");
    });

    it("makes the same 3 steps against the adapter it started from", async () => {
      await using adapter = await model.loadAdapter(join(dpoFolder, "init"));
      const truth = expected.reference_is_initial_adapter.steps;
      const log = await collect(
        trainDpo(model, adapter, pairs.slice(0, 12), { ...options, epochs: 1, reference: "start" }),
      );
      assert.equal(log.length, truth.length);
      log.forEach((step, index) => {
        check(step, truth[index]!, `step ${step.step}`);
      });
    });
  });
});

for (const backend of BACKENDS.slice(0, -1)) {
  describe(`${SMOLLM2} on ${backend.name}`, () => {
    let model: Model;
    before(async () => {
      model = await openModel(await pullModel(SMOLLM2, {}), { ...backend, threads: 2 });
    });
    after(() => model.dispose());

    it(`scores ${SUBSET.join(", ")}`, async () => {
      const some = scoreRequests.filter(({ id }) => SUBSET.includes(id));
      checkScores(await collect(model.score(some, { perToken: true })), scoreExpected);
    });

    it("continues the first prompt greedily", async () => {
      assert.equal(await checkContinuations(model, continuations.slice(0, 1)), 1);
    });
  });
}
