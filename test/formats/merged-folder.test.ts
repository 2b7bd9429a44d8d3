import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "#lib/models/config.js";
import { makeConfig, nameDivisors } from "#lib/models/merged-folder.js";
import { readModelFiles } from "#lib/models/model-files.js";
import { inverseFrequencies } from "#lib/models/rope.js";
import { GOLDEN } from "./format-support.js";

for (const name of ["llama-tied", "llama3-rope"]) {
  test(`the config made from the GGUF file of ${name} describes the model of its config.json`, async () => {
    const files = await readModelFiles(join(GOLDEN, name, "model.gguf"));
    const made = parseConfig(makeConfig(files, "BF16"), "made");
    const own = parseConfig(JSON.parse(readFileSync(join(GOLDEN, name, "config.json"), "utf8")), "own");
    const { inverseFrequencies: madeFrequencies, ...madeSizes } = made.config;
    const { inverseFrequencies: ownFrequencies, ...ownSizes } = own.config;
    assert.deepEqual(madeSizes, ownSizes);
    assert.equal(made.tiedEmbeddings, own.tiedEmbeddings);
    for (const [i, frequency] of madeFrequencies.entries())
      assert.ok(Math.abs(frequency / ownFrequencies[i]! - 1) < 1e-5);
    assert.deepEqual(made.rope, own.rope);
  });
}

test("Llama 3's rope scaling is found again from the divisors that GGUF keeps", () => {
  const models = [
    { headDim: 128, theta: 500000, factor: 8, high: 4, positions: 8192 },
    { headDim: 64, theta: 500000, factor: 32, high: 4, positions: 8192 },
    { headDim: 128, theta: 500000, factor: 8, high: 2, positions: 4096 },
  ];
  for (const { headDim, theta, factor, high, positions } of models) {
    const scaling = {
      type: "llama3",
      factor,
      lowFrequencyFactor: 1,
      highFrequencyFactor: high,
      originalMaxPositions: positions,
    } as const;
    const plain = inverseFrequencies(headDim, { theta, scaling: null });
    const divisors = Array.from(inverseFrequencies(headDim, { theta, scaling }), (frequency, i) =>
      Math.fround(plain[i]! / frequency),
    );
    assert.deepEqual(nameDivisors(theta, divisors, headDim), scaling);
  }
  assert.deepEqual(nameDivisors(10000, new Array<number>(32).fill(4), 64), { type: "linear", factor: 4 });
  assert.equal(
    nameDivisors(
      10000,
      Array.from({ length: 32 }, (_, i) => 1 + (i % 3)),
      64,
    ),
    null,
  );
});
