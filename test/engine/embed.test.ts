/**
 * Mean hidden states: against transformers (test/golden/make_hidden_golden.py), and that they depend on nothing else.
 *
 * Seen failing: with the state before the layer instead of after it, with the prompt's last row among those averaged, with
 * the final norm applied to the last layer, and with groups numbered over the chunk instead of the batch.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { defaultLayer, type EmbedRequest, type EmbedResult } from "#lib/engine/embed.js";
import type { Model } from "#lib/engine/model.js";
import { openModel } from "#lib/engine/open.js";
import { DataFormatError, UsageError } from "#lib/errors.js";
import { assertNear, BACKENDS, BEST, collect, GOLDEN, readTensors } from "./support.js";

const MODELS = ["llama-tied", "llama3-rope", "mistral-nemo", "olmo2", "qwen2", "qwen3"];
const tokensFrom = (start: number, count: number) =>
  Array.from({ length: count }, (_, index) => (start * 37 + index * index * 11 + index * 5) % 256);

for (const name of MODELS) {
  const folder = join(GOLDEN, name);
  const inputs = readTensors(join(folder, "expected.safetensors"));
  const golden = readTensors(join(folder, "hidden.safetensors"));
  const [, width] = inputs.get("input_ids")!.shape as [number, number];
  const [depths, rows, channels] = golden.get("means")!.shape as [number, number, number];
  const prompts = Array.from(golden.get("prompt_lengths")!.data);
  const requests = prompts.flatMap((prompt, row): EmbedRequest[] => {
    const length = inputs.get("lengths")!.data[row]!;
    const ids = Array.from(inputs.get("input_ids")!.data).slice(row * width, row * width + length);
    if (prompt === length) return [];
    return [{ id: `${row}`, prompt_tokens: ids.slice(0, prompt), response_tokens: ids.slice(prompt) }];
  });

  for (const backend of BACKENDS) {
    describe(`mean hidden states of ${name} on ${backend.name}`, () => {
      let model: Model;
      before(async () => {
        model = await openModel(folder, { ...backend, threads: 2 });
      });
      after(() => model.dispose());

      it("are those of transformers after every number of layers, with the adapter and without", async () => {
        await using adapter = await model.loadAdapter(folder);
        for (const [tensor, tuned] of [
          ["means", null],
          ["adapter_means", adapter],
        ] as const) {
          for (let layer = 0; layer < depths; layer++) {
            const results = await collect(model.embed(requests, { layer, adapter: tuned }));
            assert.equal(results.length, requests.length);
            for (const { id, embedding, tokens } of results) {
              const row = Number(id);
              assert.equal(tokens, requests.find((request) => request.id === id)!.response_tokens!.length);
              assert.equal(embedding.length, channels);
              const begin = (layer * rows + row) * channels;
              embedding.forEach((value, channel) => {
                const truth = golden.get(tensor)!.data[begin + channel]!;
                assertNear(value, truth, 2e-5 + 1e-5 * Math.abs(truth), `${tensor} ${layer}, row ${row}, ${channel}`);
              });
            }
          }
        }
      });
    });
  }
}

describe("an embedding", () => {
  const requests: EmbedRequest[] = [
    { id: "a", prompt_tokens: tokensFrom(1, 64), response_tokens: tokensFrom(2, 70) },
    { id: "b", prompt_tokens: tokensFrom(1, 64), response_tokens: tokensFrom(3, 1) },
    { id: "c", prompt_tokens: tokensFrom(4, 1), response_tokens: tokensFrom(5, 130) },
    { id: "d", prompt_tokens: tokensFrom(1, 64), response_tokens: tokensFrom(6, 9) },
  ];
  const byId = (results: EmbedResult[]) => new Map(results.map(({ id, embedding }) => [id, embedding]));

  it("is the same to the bit whatever it is embedded with, in any order, by any threads and instruction set", async () => {
    for (const layer of [1, 2, 3]) {
      await using model = await openModel(join(GOLDEN, "qwen3"), { ...BEST, threads: 1 });
      const alone = new Map<string, Float32Array>();
      for (const request of requests)
        for (const [id, embedding] of byId(await collect(model.embed([request], { layer })))) alone.set(id, embedding);
      const distinct = new Set([...alone.values()].map((embedding) => embedding.join()));
      assert.equal(distinct.size, requests.length);
      for (const backend of BACKENDS.slice(1)) {
        await using other = await openModel(join(GOLDEN, "qwen3"), { ...backend, threads: 3 });
        for (const [order, maxRows] of [
          [requests, undefined],
          [[...requests].reverse(), undefined],
          [requests, 1],
        ] as const) {
          const options = maxRows === undefined ? { layer } : { layer, maxRows };
          const together = await collect(other.embed(order, options));
          assert.deepEqual(
            together.map(({ id }) => id),
            order.map(({ id }) => id),
          );
          for (const [id, embedding] of byId(together))
            assert.deepStrictEqual(embedding, alone.get(id), `${id}, ${backend.name}`);
        }
      }
    }
  });

  it("stands behind about two thirds of the layers unless another depth is asked for", async () => {
    assert.deepEqual([1, 3, 16, 30, 32].map(defaultLayer), [1, 2, 11, 20, 21]);
    await using model = await openModel(join(GOLDEN, "llama-tied"), { threads: 1 });
    const [first, second, third] = await Promise.all(
      [undefined, 2, 3].map(async (layer) =>
        collect(model.embed([requests[0]!], layer === undefined ? {} : { layer })),
      ),
    );
    assert.deepEqual(first![0]!.embedding, second![0]!.embedding);
    assert.notDeepEqual(first![0]!.embedding, third![0]!.embedding);
  });

  it("of an empty response, of one that is too long, or behind a layer that is not there, is an error that says so", async () => {
    await using model = await openModel(join(GOLDEN, "llama-tied"), { threads: 1 });
    const embed = (request: object, layer = 1) =>
      collect(model.embed([{ id: "x", ...request } as EmbedRequest], { layer }));
    await assert.rejects(embed({ prompt_tokens: [1] }), (error: Error) => {
      assert.ok(error instanceof DataFormatError);
      assert.match(error.message, /embedding request 1: .*response/);
      return true;
    });
    await assert.rejects(embed({ prompt_tokens: [1], response_tokens: tokensFrom(1, 600) }), /512 positions/);
    await assert.rejects(embed({ prompt_tokens: [1], response_tokens: [256] }), /token 256/);
    for (const layer of [-1, 1.5, 4])
      await assert.rejects(embed(requests[0]!, layer), (error: Error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, /from 0 to 3/);
        return true;
      });
    const kept: string[] = [];
    const skipped = await collect(
      model.embed([{ id: "bad" } as EmbedRequest, requests[1]!], { onError: "skip", onSkip: (why) => kept.push(why) }),
    );
    assert.deepEqual(
      skipped.map(({ id }) => id),
      ["b"],
    );
    assert.equal(kept.length, 1);
  });

  it("is planned: under a limit that the batch exceeds it is made in smaller ones, and one too small is refused", async () => {
    const folder = join(GOLDEN, "llama-tied");
    await using model = await openModel(folder, { ...BEST, threads: 1 });
    const shape = { job: "embed", recompute: false, sequences: 0, cacheRows: 0, trees: 1 } as const;
    const plan = (rows: number) => model.native.plan({ ...shape, rows, targetRows: rows - 1, longestPath: rows }).total;
    assert.ok(plan(400) > plan(40) && plan(40) > plan(2));
    await using small = await openModel(folder, { ...BEST, threads: 1, memoryBytes: plan(140) });
    const [whole, parts] = [await collect(model.embed(requests)), await collect(small.embed(requests))];
    assert.deepEqual(
      parts.map(({ embedding }) => embedding),
      whole.map(({ embedding }) => embedding),
    );
    const long = { id: "long", prompt_tokens: [1], response_tokens: tokensFrom(1, 400) };
    await assert.rejects(collect(small.embed([long])), /request "long" needs .*--memory/);
  });
});
