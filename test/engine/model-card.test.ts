/**
 * Model cards: what the hub reads, what people read, and that nothing in them differs between equal runs.
 *
 * Seen failing: with options that are left out of the command, with the number of threads in the card, and with names put
 * into the text as they are.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import { renderModelCard, type TrainManifest } from "#lib/engine/model-card.js";
import { run, withFolder } from "../cli/program.js";
import { GOLDEN, readLines } from "./support.js";

const MODEL = join(GOLDEN, "llama-tied");
const PAIRS = Array.from({ length: 6 }, (_, index) => ({
  id: `p${index}`,
  prompt_tokens: [10, 11 + index],
  chosen_tokens: [20, 21 + index],
  rejected_tokens: [30 + index],
}));

const train = (pairs: string, output: string, ...more: string[]) =>
  run(["train", "--model", MODEL, "--pairs", pairs, "--output", output, "--quiet", ...more]);

const frontMatterOf = (card: string) => parse(/^---\n(.*?)\n---\n/s.exec(card)![1]!) as Record<string, unknown>;

function manifestIn(folder: string): TrainManifest {
  return JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as TrainManifest;
}

describe("a model card", () => {
  it("names data by their hash, gives the last step's figures, and is the same for an equal run", async () => {
    await withFolder(async (folder) => {
      const pairs = join(folder, "my pairs.jsonl");
      writeFileSync(pairs, PAIRS.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
      const options = ["--batch-pairs", "2", "--epochs", "2", "--learning-rate", "1e-3", "--no-shuffle", "--rslora"];
      const cards: string[] = [];
      for (const [name, threads] of [
        ["one", "1"],
        ["two", "2"],
      ] as const) {
        const outcome = await train(pairs, join(folder, name), ...options, "--threads", threads);
        assert.equal(outcome.status, 0, outcome.stderr);
        cards.push(readFileSync(join(folder, name, "README.md"), "utf8"));
      }
      const [card] = cards as [string];
      assert.equal(cards[1], card);
      assert.ok(!card.includes(folder), "no path of this machine");
      const sha256 = spawnSync("sha256sum", [pairs], { encoding: "utf8" }).stdout.slice(0, 64);
      assert.ok(card.includes(`\`my pairs.jsonl\` |\n| SHA-256 of the file | \`${sha256}\``), card);
      const last = readLines<Record<string, number>>(join(folder, "one/metrics.jsonl")).at(-1)!;
      assert.ok(card.includes(`| loss | ${Number(last.loss!.toPrecision(6))} |`), card);
      assert.ok(card.includes(`Step ${last.step}, means over its 2 pairs`), card);
      assert.deepEqual(frontMatterOf(card), {
        library_name: "peft",
        pipeline_tag: "text-generation",
        tags: ["lora", "dpo", "valora"],
      });
      assert.equal(renderModelCard(manifestIn(join(folder, "one"))), card, "the manifest says all of it");
    });
  });

  it("holds a command that trains the same adapter again", async () => {
    await withFolder(async (folder) => {
      const pairs = join(folder, "it's.jsonl");
      writeFileSync(pairs, PAIRS.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
      const first = await train(
        pairs,
        join(folder, "first"),
        ...[
          "--loss",
          "ipo",
          "--beta",
          "0.2",
          "--steps",
          "3",
          "--rank",
          "2",
          "--targets",
          "q_proj,v_proj",
          "--seed",
          "5",
        ],
        ...["--batch-pairs", "3", "--clip", "0", "--weight-decay", "0", "--schedule", "linear", "--no-share-prompt"],
      );
      assert.equal(first.status, 0, first.stderr);
      const card = readFileSync(join(folder, "first/README.md"), "utf8");
      const command = /```sh\nvalora (train .*?)\n```/s
        .exec(card)![1]!
        .replace("--model llama-tied", '--model "$MODEL"');
      const program = `"${process.execPath}" "${join(process.cwd(), "dist/cli.js")}" ${command}`;
      const again = spawnSync("sh", ["-c", program], { cwd: folder, env: { ...process.env, MODEL }, encoding: "utf8" });
      assert.equal(again.status, 0, `${command}\n${again.stderr}`);
      const weights = (name: string) => readFileSync(join(folder, name, "adapter_model.safetensors"));
      assert.ok(weights("adapter").equals(weights("first")));
    });
  });

  it("says of a named model what the hub calls it, and lets no name of a file break its text", async () => {
    await withFolder(async (folder) => {
      const pairs = join(folder, "pairs.jsonl");
      writeFileSync(pairs, PAIRS.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
      assert.equal((await train(pairs, join(folder, "out"), "--steps", "1")).status, 0);
      const manifest = manifestIn(join(folder, "out"));
      const named = renderModelCard({ ...manifest, options: { ...manifest.options, model: "smollm2-135m-instruct" } });
      const { base_model, license } = frontMatterOf(named);
      assert.deepEqual([base_model, license], ["HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"]);
      const hostile = renderModelCard({ ...manifest, source: { pairs: "a`b|c\n```\n# d $(touch x)" } });
      assert.ok(hostile.includes("a`b\\|c"), hostile);
      assert.ok(!/^(# d|```\n# d)/m.test(hostile), hostile);
      assert.equal(hostile.match(/^```/gm)!.length, 6, "three blocks of code, opened and closed");
    });
  });

  it("of a merged model gives the proof that it is model and adapter", async () => {
    await withFolder(async (folder) => {
      const output = join(folder, "merged");
      const merged = await run(["merge", "--model", MODEL, "--adapter", MODEL, "--output", output, "--dtype", "F32"]);
      assert.equal(merged.status, 0, merged.stderr);
      const proof = JSON.parse(merged.stdout) as Record<string, number>;
      const card = readFileSync(join(output, "README.md"), "utf8");
      assert.equal(frontMatterOf(card).library_name, "transformers");
      for (const name of ["logprob_base", "logprob_adapter", "logprob_merged", "largest_difference"])
        assert.ok(card.includes(`| ${Number(proof[name]!.toPrecision(6))} |`), `${name} in ${card}`);
      const weights = spawnSync("sha256sum", [join(output, "model.safetensors")], { encoding: "utf8" });
      assert.ok(card.includes(`| SHA-256 of model.safetensors | \`${weights.stdout.slice(0, 64)}\` |`), card);
      assert.ok(!card.includes(folder), "no path of this machine");
    });
  });
});
