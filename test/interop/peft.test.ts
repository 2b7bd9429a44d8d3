/**
 * An adapter that valora trained and saved gives the same log-probabilities in Python's PEFT. Needs a Python with torch,
 * transformers and peft (VALORA_PYTHON names it; python3 else), and is skipped aloud where there is none.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openModel } from "#lib/engine/open.js";
import { trainDpo } from "#lib/engine/train.js";
import { assertNear, collect, GOLDEN, ROOT } from "../engine/support.js";

const python = process.env.VALORA_PYTHON ?? "python3";
const hasPeft = spawnSync(python, ["-c", "import peft, torch, transformers"]).status === 0;
const skip = hasPeft ? false : `${python} has no torch, transformers and peft`;
if (skip) console.error(`valora: SKIPPED: 6 tests of PEFT reading our adapters: ${skip}.`);

const tokensFrom = (start: number, count: number) =>
  Array.from({ length: count }, (_, index) => 3 + ((start * 37 + index * index * 11 + index) % 90));
const pairs = [0, 1, 2, 3].map((index) => ({
  id: `pair ${index}`,
  prompt_tokens: tokensFrom(index, 6),
  chosen_tokens: tokensFrom(index + 10, 5),
  rejected_tokens: tokensFrom(index + 20, 7),
}));
const sequences = [1, 2, 3].map((start) => tokensFrom(start, 12 * start));

for (const family of ["llama-tied", "llama3-rope", "mistral-nemo", "olmo2", "qwen2", "qwen3"]) {
  test(`PEFT gives ${family} with an adapter of ours the same log-probabilities`, { skip }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "valora-interop-"));
    try {
      await using model = await openModel(join(GOLDEN, family), { threads: 2 });
      await using adapter = await model.createAdapter({ rank: 3, alpha: 5, rslora: family === "qwen3", seed: 1 });
      await collect(trainDpo(model, adapter, pairs, { epochs: 6, batchPairs: 2, learningRate: 2e-2 }));
      await adapter.save(folder);
      const requests = sequences.map((tokens, index) => ({
        id: `${index}`,
        context_tokens: tokens.slice(0, 1),
        completions_tokens: [tokens.slice(1)],
      }));
      const ours = await collect(model.score(requests, { adapters: { base: null, on: adapter }, perToken: true }));
      const { status, stdout, stderr } = spawnSync(
        python,
        [join(ROOT, "test/interop/score_with_peft.py"), join(GOLDEN, family), folder],
        { input: JSON.stringify(sequences), encoding: "utf8", env: { ...process.env, HF_HUB_OFFLINE: "1" } },
      );
      assert.equal(status, 0, stderr);
      const theirs = JSON.parse(stdout) as number[][];
      let moved = 0;
      for (const [index, truth] of theirs.entries()) {
        const find = (name: string) => ours.find((r) => r.adapter === name && r.id === `${index}`)!.token_logprobs!;
        assert.equal(find("on").length, truth.length);
        truth.forEach((value, token) => {
          assertNear(find("on")[token]!, value, 2e-5 + 1e-5 * Math.abs(value), `token ${token} of sequence ${index}`);
          moved = Math.max(moved, Math.abs(find("on")[token]! - find("base")[token]!));
        });
      }
      assert.ok(moved > 0.1, `the adapter changes something: ${moved}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
