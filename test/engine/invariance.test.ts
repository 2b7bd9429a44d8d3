/**
 * Promise 2: a log-probability is bit-identical whatever else is in the batch, in any order, with any number
 * of threads, with or without prefix sharing, on every instruction set.
 *
 * Seen failing: with k descending in the micro-kernels of the last few rows (batches differ), with exp's last step
 * rounded twice on AVX2 (sets differ), and with random streams by a prompt's place instead of its id.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Model } from "#lib/engine/model.js";
import { type OpenModelOptions, openModel } from "#lib/engine/open.js";
import type { ScoreRequest, ScoreResult } from "#lib/engine/score.js";
import { BACKENDS, collect, GOLDEN } from "./support.js";

const VOCABULARY = 256;
/** Some tokens, the same each time; contexts reach over several of attention's blocks of 64 keys. */
const tokensFrom = (start: number, count: number) =>
  Array.from({ length: count }, (_, index) => (start * 37 + index * index * 11 + index * 5) % VOCABULARY);

const requests: ScoreRequest[] = [
  { id: "one", context_tokens: [9], completions_tokens: [[4], [5, 6, 7]] },
  { id: "block", context_tokens: tokensFrom(1, 64), completions_tokens: [tokensFrom(2, 3), tokensFrom(3, 70)] },
  {
    id: "odd",
    context_tokens: tokensFrom(4, 67),
    completions_tokens: [tokensFrom(5, 1), tokensFrom(6, 2), tokensFrom(7, 130)],
  },
  { id: "long", context_tokens: tokensFrom(8, 200), completions_tokens: [tokensFrom(9, 17)] },
  { id: "short", context_tokens: tokensFrom(10, 5), completions_tokens: [tokensFrom(11, 9), tokensFrom(12, 9)] },
  // Contexts that begin alike: one head, computed once; the last one is the head itself and one token more.
  ...[40, 3, 1].map((count) => ({
    id: `head ${count}`,
    context_tokens: [...tokensFrom(13, 75), ...tokensFrom(14 + count, count)],
    completions_tokens: [tokensFrom(15, 1), tokensFrom(16 + count, 6)],
  })),
];

/** Every result's token log-probabilities, by adapter, request and completion. */
function byKey(results: ScoreResult[]): Map<string, number[]> {
  return new Map(results.map((r) => [`${r.adapter} ${r.id} ${r.completion}`, r.token_logprobs!]));
}

function assertSameBits(actual: Map<string, number[]>, expected: Map<string, number[]>, what: string): void {
  for (const [key, values] of actual) {
    // deepStrictEqual compares numbers by Object.is.
    assert.deepStrictEqual(values, expected.get(key), `${key}, ${what}`);
  }
}

async function withModel<T>(folder: string, options: OpenModelOptions, body: (model: Model) => Promise<T>): Promise<T> {
  await using model = await openModel(join(GOLDEN, folder), options);
  return await body(model);
}

/** With the adapter of the golden folder beside the base model. */
async function scoreBoth(model: Model, folder: string, some: ScoreRequest[], maxRows?: number) {
  await using adapter = await model.loadAdapter(join(GOLDEN, folder));
  const options = {
    adapters: { base: null, on: adapter },
    perToken: true,
    ...(maxRows === undefined ? {} : { maxRows }),
  };
  return byKey(await collect(model.score(some, options)));
}

/** Each completion as a request of its own, behind a copy of its context. */
const unshared = requests.flatMap(({ id, context_tokens, completions_tokens }) =>
  completions_tokens!.map((tokens, index) => ({
    key: `${id} ${index}`,
    id,
    context_tokens,
    completions_tokens: [tokens],
  })),
);

const COMPUTES = ["float32", "bf16"] as const;

for (const folder of ["llama-tied", "mistral-nemo", "olmo2", "qwen3"]) {
  for (const backend of BACKENDS.flatMap((each) => COMPUTES.map((compute) => ({ ...each, compute })))) {
    describe(`log-probabilities of ${folder} on ${backend.name} in ${backend.compute}`, () => {
      it("do not depend on the batch, its order, its size, the threads, or shared prefixes", async () => {
        const alone = new Map<string, number[]>();
        await withModel(folder, { ...backend, threads: 1 }, async (model) => {
          for (const { key, ...request } of unshared) {
            for (const [name, values] of await scoreBoth(model, folder, [request])) {
              alone.set(`${name.split(" ")[0]} ${key}`, values);
            }
          }
        });
        assert.equal(alone.size, 2 * unshared.length);
        for (const threads of [1, 2, 3]) {
          await withModel(folder, { ...backend, threads }, async (model) => {
            assertSameBits(await scoreBoth(model, folder, requests), alone, `${threads} threads`);
            assertSameBits(await scoreBoth(model, folder, [...requests].reverse()), alone, "reversed");
            assertSameBits(await scoreBoth(model, folder, requests, 90), alone, "batches of 90 rows");
          });
        }
      });
    });
  }

  for (const compute of COMPUTES) {
    it(`instruction sets agree bit for bit on ${folder} in ${compute}`, async () => {
      const scored = [];
      for (const backend of BACKENDS.filter(({ device }) => device === "cpu")) {
        const options = { ...backend, compute, threads: 2 };
        scored.push(await withModel(folder, options, (model) => scoreBoth(model, folder, requests)));
      }
      for (const [index, other] of scored.entries()) assertSameBits(other, scored[0]!, `${index}`);
    });
  }

  // The reference rounds the same numbers and sums them in double, so that only numbers that lie between two bfloat16
  // neighbours to within float32's rounding can come out otherwise. Seen failing: with x unrounded in the reference.
  it(`bf16 of ${folder} is the reference's bf16, and near float32`, async () => {
    const score = (options: OpenModelOptions) =>
      withModel(folder, { ...options, threads: 2 }, async (model) =>
        [...(await scoreBoth(model, folder, requests)).values()].flat(),
      );
    const bf16 = await score({ device: "cpu", compute: "bf16" });
    const meanDifference = (others: number[]) =>
      bf16.reduce((sum, value, index) => sum + Math.abs(value - others[index]!), 0) / bf16.length;
    const fromFloat32 = meanDifference(await score({ device: "cpu" }));
    const fromReference = meanDifference(await score({ device: "reference", compute: "bf16" }));
    assert.ok(fromFloat32 > 1e-4 && fromFloat32 < 0.1, `${fromFloat32} from float32`);
    assert.ok(fromReference <= fromFloat32 / 3, `${fromReference} from the reference, ${fromFloat32} from float32`);
  });
}

it("what is generated does not depend on the batch, the other prompts, or the threads", async () => {
  const prompts = requests.map(({ id, context_tokens }) => ({ id, prompt_tokens: context_tokens! }));
  const options = { maxNewTokens: 12, temperature: 1, samples: 3, topP: 0.9, seed: 4, ignoreEos: true };
  const folder = "llama-tied";
  const alone = new Map<string, number[]>();
  await withModel(folder, { threads: 1 }, async (model) => {
    for (const prompt of prompts) {
      for (const result of await collect(model.generate([prompt], options)))
        alone.set(`${result.id} ${result.sample}`, result.tokens);
    }
  });
  assert.equal(new Set([...alone.values()].map(String)).size, alone.size, "samples and prompts draw different tokens");
  await withModel(folder, { threads: 2 }, async (model) => {
    await using adapter = await model.loadAdapter(join(GOLDEN, folder));
    const results = await collect(
      model.generate([...prompts].reverse(), { ...options, adapters: { on: adapter, base: null } }),
    );
    assert.deepEqual(
      results.slice(0, 3).map(({ adapter: name, id, sample }) => [name, id, sample]),
      [0, 1, 2].map((n) => ["on", "short", n]),
    );
    for (const result of results.filter(({ adapter: name }) => name === "base")) {
      assert.deepEqual(result.tokens, alone.get(`${result.id} ${result.sample}`), `${result.id} ${result.sample}`);
    }
  });
});
