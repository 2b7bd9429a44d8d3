import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AdapterFormatError, FileError } from "#lib/errors.js";
import { LINEAR_KINDS, type LinearKind } from "#lib/models/linear-kinds.js";
import { readAdapter, writeAdapter } from "#lib/models/peft.js";
import {
  readSafetensorsFile,
  readSafetensorsHeader,
  type SafetensorsFloats,
  writeSafetensorsFile,
} from "#lib/models/safetensors.js";
import { GOLDEN, TINY_MODELS, withFolder } from "./format-support.js";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

for (const name of TINY_MODELS) {
  test(`PEFT's adapter of ${name} is read whole`, async () => {
    const dir = join(GOLDEN, name);
    const json = JSON.parse(readFileSync(join(dir, CONFIG), "utf8"));
    const { modules, config, ignored } = await readAdapter(dir);
    const values = await readSafetensorsFile(join(dir, WEIGHTS));
    assert.equal(modules.length * 2, values.size);
    assert.deepEqual([config.rank, config.alpha, config.rslora], [json.r, json.lora_alpha, json.use_rslora]);
    assert.deepEqual(ignored, []);
    for (const { layer, kind, rank, scale, a, b } of modules) {
      const part = ["gate_proj", "up_proj", "down_proj"].includes(kind) ? "mlp" : "self_attn";
      const stem = `base_model.model.model.layers.${layer}.${part}.${kind}`;
      assert.equal(rank, json.r);
      assert.equal(scale, json.use_rslora ? json.lora_alpha / Math.sqrt(json.r) : json.lora_alpha / json.r);
      assert.deepEqual(a, values.get(`${stem}.lora_A.weight`));
      assert.deepEqual(b, values.get(`${stem}.lora_B.weight`));
    }
  });
}

interface Draft {
  config: Record<string, unknown>;
  tensors: SafetensorsFloats[];
}

/** The adapter of llama-tied, changed; `body` gets its folder. */
async function withAdapter(change: (draft: Draft) => void, body: (dir: string) => Promise<void>): Promise<void> {
  const source = join(GOLDEN, "llama-tied");
  const values = await readSafetensorsFile(join(source, WEIGHTS));
  const { tensors } = await readSafetensorsHeader(join(source, WEIGHTS));
  const draft: Draft = {
    config: JSON.parse(readFileSync(join(source, CONFIG), "utf8")),
    tensors: tensors.map(({ name, shape }) => ({ name, shape, data: values.get(name)! })),
  };
  change(draft);
  await withFolder(async (dir) => {
    writeFileSync(join(dir, CONFIG), JSON.stringify(draft.config));
    await writeSafetensorsFile(join(dir, WEIGHTS), draft.tensors);
    await body(dir);
  });
}

test("tensors with the adapter's name in theirs are the same tensors", async () => {
  const plain = await readAdapter(join(GOLDEN, "llama-tied"));
  await withAdapter(
    ({ tensors }) => {
      for (const tensor of tensors)
        tensor.name = tensor.name.replace(/\.weight$/, ".default.weight").replace("base_model.model.", "");
    },
    async (dir) => assert.deepEqual((await readAdapter(dir)).modules, plain.modules),
  );
});

test("target_modules may be all-linear, a list or a regular expression", async () => {
  for (const targets of ["all-linear", "model\\.layers\\.\\d+\\..*_proj", [...LINEAR_KINDS]]) {
    await withAdapter(
      ({ config }) => (config.target_modules = targets),
      async (dir) => assert.deepEqual((await readAdapter(dir)).ignored, []),
    );
  }
  await withAdapter(
    ({ config }) => (config.target_modules = ["q_proj"]),
    async (dir) => {
      const { modules, ignored } = await readAdapter(dir);
      assert.deepEqual(
        modules.map(({ kind }) => kind),
        ["q_proj", "q_proj", "q_proj"],
      );
      assert.equal(ignored.length, 18);
    },
  );
});

test("patterns set rank and alpha of the modules whose names end with them", async () => {
  await withAdapter(
    ({ config, tensors }) => {
      config.rank_pattern = { "layers.1.self_attn.q_proj": 2, "^model.layers.0.mlp.up_proj": 4 };
      // The first is the end of a name, but not from a dot on.
      config.alpha_pattern = { _proj: 99, v_proj: 3 };
      for (const tensor of tensors) {
        if (!tensor.name.includes("layers.1.self_attn.q_proj")) continue;
        const [rows, cols] = tensor.shape as [number, number];
        tensor.shape = tensor.name.includes("lora_A") ? [2, cols] : [rows, 2];
        tensor.data = tensor.data.slice(0, tensor.data.length / 2);
      }
    },
    async (dir) => {
      const { modules } = await readAdapter(dir);
      const find = (layer: number, kind: LinearKind) =>
        modules.find((module) => module.layer === layer && module.kind === kind)!;
      assert.deepEqual([find(1, "q_proj").rank, find(1, "q_proj").scale], [2, 8]);
      assert.deepEqual([find(0, "q_proj").rank, find(0, "q_proj").scale], [4, 4]);
      assert.equal(find(2, "v_proj").scale, 3 / 4);
    },
  );
});

test("rsLoRA divides by the root of the rank", async () => {
  await withAdapter(
    ({ config }) => (config.use_rslora = true),
    async (dir) => assert.equal((await readAdapter(dir)).modules[0]!.scale, 8),
  );
});

test("dropout is passed over with a warning", async () => {
  await withAdapter(
    ({ config }) => (config.lora_dropout = 0.05),
    async (dir) => assert.match((await readAdapter(dir)).ignored[0]!, /lora_dropout 0.05 is ignored/),
  );
});

test("what valora does not apply is refused by name", async () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ peft_type: "IA3" }, /peft_type is "IA3"/],
    [{ use_dora: true }, /use_dora is true; valora does not apply DoRA/],
    [{ bias: "lora_only" }, /bias is "lora_only"/],
    [{ modules_to_save: ["lm_head"] }, /modules_to_save/],
    [{ fan_in_fan_out: true }, /fan_in_fan_out/],
    [{ layer_replication: [[0, 2]] }, /layer_replication/],
    [{ init_lora_weights: "pissa" }, /changes the model's own weights/],
    [{ trainable_token_indices: [1] }, /trainable_token_indices/],
    [{ r: 0 }, /r is 0/],
    [{ r: 8 }, /has the shape \[\d+, \d+\].*asks for/],
    [{ lora_alpha: "16" }, /lora_alpha is "16"/],
    [{ target_modules: [1] }, /target_modules is neither/],
    [{ rank_pattern: { "(": 1 } }, /no regular expression/],
  ];
  for (const [changes, pattern] of cases) {
    await withAdapter(
      ({ config }) => Object.assign(config, changes),
      (dir) =>
        assert.rejects(readAdapter(dir), (error: unknown) => {
          assert.ok(error instanceof AdapterFormatError, String(error));
          assert.match(error.message, pattern);
          assert.ok(!error.message.includes("\n"));
          return true;
        }),
    );
  }
});

test("damaged weights are refused by name", async () => {
  const cases: [(draft: Draft) => void, RegExp][] = [
    [({ tensors }) => tensors.pop(), /has lora_A only/],
    [({ tensors }) => (tensors[3]!.data[5] = Number.NaN), /holds NaN at 5/],
    [({ tensors }) => (tensors[2]!.data[0] = Number.POSITIVE_INFINITY), /holds Infinity at 0/],
    [({ tensors }) => (tensors[0]!.name = "base_model.model.lm_head.lora_A.weight"), /no low-rank pair of q_proj/],
    [({ tensors }) => (tensors[0]!.name = tensors[0]!.name.replace("mlp", "self_attn")), /no low-rank pair/],
    [
      ({ tensors }) => tensors.push({ ...tensors[0]!, name: tensors[0]!.name.replace(".weight", ".other.weight") }),
      /lora_A twice/,
    ],
    [({ tensors }) => tensors.splice(0), /no low-rank pair/],
  ];
  for (const [change, pattern] of cases) {
    await withAdapter(change, (dir) =>
      assert.rejects(
        readAdapter(dir),
        (error: unknown) => error instanceof AdapterFormatError && pattern.test(error.message),
      ),
    );
  }
});

test("a folder that is no adapter says so", async () => {
  await withFolder(async (dir) => {
    await assert.rejects(
      readAdapter(dir),
      (error: unknown) => error instanceof FileError && /folder of a PEFT adapter/.test(error.message),
    );
    cpSync(join(GOLDEN, "llama-tied", CONFIG), join(dir, CONFIG));
    await assert.rejects(readAdapter(dir), FileError);
    writeFileSync(join(dir, WEIGHTS), "not safetensors");
    await assert.rejects(readAdapter(dir), AdapterFormatError);
    writeFileSync(join(dir, CONFIG), "{");
    await assert.rejects(readAdapter(dir), /is not valid JSON/);
  });
});

test("an adapter that is written is read as it was, odd ranks and scales included", async () => {
  const { modules } = await readAdapter(join(GOLDEN, "qwen3"));
  const odd = modules.map((module, index) =>
    index % 5 === 0
      ? {
          ...module,
          rank: 2,
          scale: Math.fround(16 / 3),
          a: module.a.slice(0, module.a.length / 2),
          b: module.b.slice(0, module.b.length / 2),
        }
      : { ...module, scale: Math.fround(module.scale) },
  );
  const { rank, scale } = modules[0]!;
  for (const rslora of [false, true]) {
    await withFolder(async (dir) => {
      const alpha = modules[0]!.scale * (rslora ? Math.sqrt(rank) : rank);
      await writeAdapter(dir, odd, { rank, alpha, targets: [...LINEAR_KINDS], rslora, baseModel: "a model" });
      const again = await readAdapter(dir);
      assert.deepEqual(
        [again.config.rank, again.config.alpha, again.config.rslora, again.config.baseModel],
        [rank, alpha, rslora, "a model"],
      );
      again.modules.forEach((module, index) => {
        const { scale: wanted, ...rest } = odd[index]!;
        const { scale: found, ...others } = module;
        assert.deepEqual(others, rest);
        assert.equal(Math.fround(found), Math.fround(wanted));
      });
      assert.equal(again.modules[1]!.scale, scale);
      const header = await readSafetensorsHeader(join(dir, WEIGHTS));
      assert.deepEqual(header.metadata, { format: "pt" });
    });
  }
});
