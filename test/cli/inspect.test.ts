/** `valora inspect`: what it says of each thing it knows. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { parse } from "yaml";
import { FIXTURES } from "../data/support.js";
import { PAIRS } from "../fuzz/seeds.js";
import { GOLDEN } from "../golden.js";
import { assertRefused, lines, results, run, withFolder, writeTinyModel } from "./program.js";

async function inspect(path: string): Promise<Record<string, unknown>> {
  const [json, text] = await Promise.all([run(["inspect", path, "--json"]), run(["inspect", path])]);
  const [inspection] = results(json);
  assert.equal(text.status, 0, text.stderr);
  assert.deepEqual(parse(text.stdout), inspection, "the text says the same as the JSON");
  return inspection!;
}

test("a GGUF model and the same one in safetensors are described alike", async () => {
  await withFolder(async (folder) => {
    const gguf = await inspect(join(GOLDEN, "llama-tied/model.gguf"));
    const safetensors = await inspect(writeTinyModel(folder));
    assert.equal(gguf.format, "gguf");
    assert.equal(safetensors.format, "safetensors");
    for (const name of [
      "kind",
      "family",
      "parameters",
      "layers",
      "channels",
      "heads",
      "kv_heads",
      "head_dim",
      "feed_forward",
      "vocabulary",
      "tied_head",
    ])
      assert.equal(gguf[name], safetensors[name], name);
    assert.equal(gguf.kind, "model");
    assert.equal(gguf.family, "llama");
    assert.equal(gguf.layers, 3);
    assert.equal(gguf.tied_head, true);
    assert.equal(gguf.tokenizer, false);
    assert.equal(safetensors.tokenizer, true);
    assert.equal(safetensors.chat_template, true);
  });
});

test("an adapter is described by rank, targets and size", async () => {
  await withFolder(async (folder) => {
    for (const name of ["adapter_config.json", "adapter_model.safetensors"])
      copyFileSync(join(GOLDEN, "llama-tied", name), join(folder, name));
    const { kind, rank, alpha, targets, modules } = await inspect(folder);
    assert.deepEqual({ kind, rank, alpha, modules }, { kind: "adapter", rank: 4, alpha: 16, modules: 21 });
    assert.equal((targets as string[]).length, 7);
  });
});

test("a data file is described by its lines, fields and values, gzip or not", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "pairs.jsonl.gz");
    writeFileSync(path, gzipSync(`${PAIRS}not JSON\n`));
    const inspection = await inspect(path);
    assert.equal(inspection.kind, "data");
    assert.equal(inspection.lines, 3);
    assert.equal(inspection.bad_lines, 1);
    assert.match(String(inspection.first_bad_line), /line 4/);
    assert.deepEqual(inspection.holds, { "preference pairs": 3 });
    assert.deepEqual(inspection.values, { kind: 1 });
    assert.deepEqual((inspection.fields as Record<string, unknown>).chosen, {
      lines: 2,
      types: ["string"],
      characters: { min: 3, mean: 4, max: 5 },
    });
  });
});

test("preference data in a layout of others is described by its pairs and what is dropped", async () => {
  const { holds, preferences } = await inspect(join(FIXTURES, "hand-written-hh-rlhf.jsonl"));
  assert.deepEqual(holds, { "records of hh-rlhf": 8 });
  const { format, pairs, dropped, sources, first_pair } = preferences as Record<string, Record<string, unknown>>;
  assert.deepEqual([format, pairs, sources], ["hh-rlhf", 2, { "hh-rlhf": 2 }]);
  assert.equal(dropped!["with an empty answer"], 1);
  assert.equal(first_pair!.id, "hh:0");
  const parquet = await inspect(join(FIXTURES, "pyarrow-binarized-snappy.parquet"));
  assert.equal(parquet.lines, 50);
  assert.equal((parquet.preferences as Record<string, unknown>).pairs, 45);
  const wrong = await run(["inspect", join(FIXTURES, "hand-written-shp.jsonl"), "--format", "shpp"]);
  assertRefused(wrong, 2, "--format", "shp");
});

test("a training run that was stopped is described by its steps and checkpoints", async () => {
  await withFolder(async (folder) => {
    writeFileSync(join(folder, "metrics.jsonl"), lines({ step: 1, loss: 0.69 }, { step: 2, loss: 0.5 }));
    for (const name of ["step-10", "step-9", ".step-11.tmp"])
      mkdirSync(join(folder, "checkpoints", name), { recursive: true });
    assert.deepEqual(await inspect(folder), {
      kind: "training",
      path: folder,
      complete: false,
      steps: 2,
      last_step: { step: 2, loss: 0.5 },
      checkpoints: ["step-9", "step-10"],
    });
  });
});

test("an evaluation is described by the groups of its items", async () => {
  await withFolder(async (folder) => {
    const item = { model: "m", suite: "preferences", metric: "margin", item: "1" };
    writeFileSync(
      join(folder, "items.jsonl"),
      lines({ ...item, adapter: "base", y: 1 }, { ...item, adapter: "base", y: 2 }, { ...item, adapter: "kind", y: 4 }),
    );
    const { kind, items, groups } = await inspect(folder);
    assert.deepEqual([kind, items], ["evaluation", 3]);
    assert.deepEqual(groups, [
      { suite: "preferences", metric: "margin", adapter: "base", n: 2, mean: 1.5 },
      { suite: "preferences", metric: "margin", adapter: "kind", n: 1, mean: 4 },
    ]);
  });
});

test("a folder, a file or a name that is none of these is refused", async () => {
  await withFolder(async (folder) => {
    assertRefused(await run(["inspect", folder]), 2, folder, "config.json");
    const weights = join(folder, "model.safetensors");
    copyFileSync(join(GOLDEN, "llama-tied/model.safetensors"), weights);
    assertRefused(await run(["inspect", weights]), 1, weights, "folder");
    const cut = join(folder, "cut.gguf");
    writeFileSync(cut, "GGUF");
    assertRefused(await run(["inspect", cut]), 1, cut);
  });
});
