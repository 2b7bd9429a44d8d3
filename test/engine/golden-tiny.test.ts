/**
 * Promise 1 on six tiny models: what PyTorch, transformers and PEFT answer (test/golden/make_golden.py), on
 * every backend of this machine and from both weight formats.
 *
 * Seen failing: with the rotary halves left interleaved (GGUF), with the adapter's scale taken as alpha, and
 * with the last prompt row's target given to the wrong response.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Model } from "#lib/engine/model.js";
import { openModel } from "#lib/engine/open.js";
import { nativePairs } from "#lib/engine/pair-batch.js";
import { trainDpo } from "#lib/engine/train.js";
import {
  assertNear,
  BACKENDS,
  collect,
  distance,
  GOLDEN,
  logSoftmax,
  modulesOf,
  norm,
  readTensors,
  type Tensor,
} from "./support.js";

const MODELS = ["llama-tied", "llama3-rope", "mistral-nemo", "olmo2", "qwen2", "qwen3"];
const LOGPROB = (expected: number) => 2e-5 + 1e-5 * Math.abs(expected);

interface Expected {
  grad_norms: number[];
  margins: number[];
  accuracies: number[];
  float64_losses: number[];
  hyper: {
    rank: number;
    alpha: number;
    beta: number;
    lr: number;
    weight_decay: number;
    max_grad_norm: number;
    steps: number;
  };
}

const integers = (tensors: Map<string, Tensor>, name: string) => Array.from(tensors.get(name)!.data);

for (const name of MODELS) {
  const folder = join(GOLDEN, name);
  const tensors = readTensors(join(folder, "expected.safetensors"));
  const expected = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as Expected;
  const { beta, lr, weight_decay, max_grad_norm, steps } = expected.hyper;
  const [rows, width] = tensors.get("input_ids")!.shape as [number, number];
  const vocabulary = tensors.get("logits")!.shape[2]!;
  const lengths = integers(tensors, "lengths");
  const tokens = Array.from({ length: rows }, (_, row) =>
    integers(tensors, "input_ids").slice(row * width, row * width + lengths[row]!),
  );
  const pairs: { id: string; prompt: number[]; chosen: number[]; rejected: number[] }[] = [];
  for (let index = 0; tensors.has(`prompt_ids.${index}`); index++) {
    pairs.push({
      id: `pair ${index}`,
      prompt: integers(tensors, `prompt_ids.${index}`),
      chosen: integers(tensors, `chosen_ids.${index}`),
      rejected: integers(tensors, `rejected_ids.${index}`),
    });
  }
  const formats = ["safetensors", ...(existsSync(join(folder, "model.gguf")) ? ["gguf"] : [])];

  for (const backend of BACKENDS) {
    for (const format of formats) {
      describe(`${name} from ${format} on ${backend.name}`, () => {
        let model: Model;
        before(async () => {
          model = await openModel(format === "gguf" ? join(folder, "model.gguf") : folder, { ...backend, threads: 2 });
        });
        after(() => model.dispose());

        it("gives every token's log-probability, with and without the adapter in one pass", async () => {
          await using adapter = await model.loadAdapter(folder);
          // Each row's tokens one after the other, then an arbitrary one after the last.
          const requests = tokens.map((row, index) => ({
            id: `${index}`,
            context_tokens: [row[0]!],
            completions_tokens: [[...row.slice(1), (7 * index + 3) % vocabulary]],
          }));
          const results = await collect(
            model.score(requests, { adapters: { base: null, on: adapter }, perToken: true }),
          );
          assert.deepEqual(
            results.map((result) => result.adapter),
            [...tokens.map(() => "base"), ...tokens.map(() => "on")],
          );
          results.forEach((result, at) => {
            const logits = tensors.get(at < rows ? "logits" : "adapter_logits")!.data as Float32Array;
            const row = at % rows;
            const wanted = requests[row]!.completions_tokens[0]!;
            assert.equal(result.tokens, wanted.length);
            let greedy = true;
            wanted.forEach((token, position) => {
              const begin = (row * width + position) * vocabulary;
              const truth = logSoftmax(logits.subarray(begin, begin + vocabulary));
              greedy &&= truth.every((value) => value <= truth[token]!);
              assertNear(
                result.token_logprobs![position]!,
                truth[token]!,
                LOGPROB(truth[token]!),
                `row ${row}, ${position}`,
              );
            });
            assert.equal(result.greedy, greedy);
          });
        });

        it("continues greedily as transformers does", async () => {
          await using adapter = await model.loadAdapter(folder);
          const wanted = integers(tensors, "greedy_ids");
          const [result] = await collect(
            model.generate([{ id: "g", prompt_tokens: tokens[0]! }], {
              adapters: { on: adapter },
              maxNewTokens: wanted.length,
              ignoreEos: true,
            }),
          );
          assert.deepEqual(result!.tokens, wanted);
          assert.equal(result!.finish, "length");
        });

        it("gives the gradient of the DPO loss, with a shared prompt and without", async () => {
          for (const sharePrompt of [true, false]) {
            await using adapter = await model.loadAdapter(folder);
            const trainer = await model.native.createTrainer(adapter.handle, {
              recompute: sharePrompt ? "never" : "always",
            });
            const reference = ["ref_chosen_logps", "ref_rejected_logps"].map((key) => tensors.get(key)!.data);
            const batch = pairs.map((pair, index) => ({
              ...pair,
              chosenReference: reference[0]![index]!,
              rejectedReference: reference[1]![index]!,
            }));
            const loss = { kind: "sigmoid" as const, beta, labelSmoothing: 0, rpoAlpha: 0 };
            const results = await trainer.accumulate(
              nativePairs(batch, adapter.handle, sharePrompt, 1 / pairs.length),
              loss,
            );
            pairs.forEach((pair, index) => {
              for (const side of ["chosen", "rejected"] as const) {
                const truth = tensors.get(`${side}_logps`)!.data[index]!;
                assertNear(
                  results[side][index]!,
                  truth,
                  2e-5 * pair[side].length + LOGPROB(truth),
                  `${side} of ${pair.id}`,
                );
              }
            });
            const gradients = await trainer.gradients();
            const truth = modulesOf(tensors, "grad.");
            assert.equal(gradients.length, truth.length);
            truth.forEach((module, index) => {
              const actual = gradients[index]!;
              assert.deepEqual([actual.layer, actual.kind], [module.layer, module.kind]);
              for (const side of ["a", "b"] as const) {
                const relative = distance([actual[side]], [module[side]]) / norm([module[side]]);
                assertNear(relative, 0, 1e-4, `gradient of ${side}, layer ${module.layer} ${module.kind}`);
              }
            });
            trainer.dispose();
          }
        });

        it(`makes the same ${steps} DPO steps and arrives at the same adapter`, async () => {
          await using adapter = await model.loadAdapter(folder);
          const start = (await adapter.modules()).flatMap(({ a, b }) => [a, b]);
          const data = pairs.map(({ id, prompt, chosen, rejected }) => ({
            id,
            prompt_tokens: prompt,
            chosen_tokens: chosen,
            rejected_tokens: rejected,
          }));
          const log = await collect(
            trainDpo(model, adapter, data, {
              beta,
              learningRate: lr,
              weightDecay: weight_decay,
              clip: max_grad_norm,
              schedule: "constant",
              warmup: 0,
              steps,
              batchPairs: pairs.length,
              shuffle: false,
              reference: "base",
            }),
          );
          assert.equal(log.length, steps);
          log.forEach((step, index) => {
            assertNear(step.loss, expected.float64_losses[index]!, 1e-5, `loss of step ${step.step}`);
            assertNear(step.margin, expected.margins[index]!, 5e-5, `margin of step ${step.step}`);
            assertNear(step.grad_norm / expected.grad_norms[index]!, 1, 1e-4, `gradient norm of step ${step.step}`);
            assertNear(step.accuracy, expected.accuracies[index]!, 1e-6, `accuracy of step ${step.step}`);
          });
          const end = (await adapter.modules()).flatMap(({ a, b }) => [a, b]);
          const truth = modulesOf(tensors, "final.").flatMap(({ a, b }) => [a, b]);
          assertNear(distance(end, truth) / distance(truth, start), 0, 1e-2, "final adapter");
        });
      });
    }
  }

  if (formats.includes("gguf")) {
    it(`${name}: GGUF and safetensors give the same log-probabilities with an adapter on`, async () => {
      const scored: number[][] = [];
      for (const path of [folder, join(folder, "model.gguf")]) {
        await using model = await openModel(path, { threads: 2 });
        await using adapter = await model.loadAdapter(folder);
        const requests = tokens.map((row, index) => ({
          id: `${index}`,
          context_tokens: row.slice(0, 1),
          completions_tokens: [[...row.slice(1), 5]],
        }));
        scored.push(
          (await collect(model.score(requests, { adapters: { on: adapter } }))).map(({ logprob }) => logprob),
        );
      }
      // llama.cpp's converter works out Llama 3's rope divisors in float32, so those two files differ by rounding.
      if (name !== "llama3-rope") assert.deepEqual(scored[0], scored[1]);
      scored[0]!.forEach((value, index) => {
        assertNear(scored[1]![index]!, value, LOGPROB(value), `request ${index}`);
      });
    });
  }
}
