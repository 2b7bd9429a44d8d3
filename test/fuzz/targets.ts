/**
 * One target a parser: how its input is damaged, and what reads it. A case that ends without an exception has read its
 * input as valid, so targets also check that what was read lies within the file.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { COMMON_OPTIONS, type OptionTable } from "#lib/commands/command.js";
import { readConfigFile } from "#lib/commands/config-file.js";
import { train } from "#lib/commands/train.js";
import { readGenerationPrompts, readScoreRequests, readTexts } from "#lib/data/input-lines.js";
import { readPairs } from "#lib/data/pairs.js";
import { readPreferenceData } from "#lib/data/preference-data.js";
import { newestCheckpoint } from "#lib/engine/checkpoint.js";
import { openText } from "#lib/engine/open-text.js";
import { sha256File } from "#lib/files/hash.js";
import { readJsonLines } from "#lib/files/json-lines.js";
import { readManifest } from "#lib/files/manifest.js";
import { ChatTemplate, type Message } from "#lib/models/chat-template.js";
import { readGgufHeader } from "#lib/models/gguf.js";
import { inspectPath } from "#lib/models/inspect.js";
import type { ModelFiles } from "#lib/models/model-files.js";
import { readAdapter } from "#lib/models/peft.js";
import { FIXTURES } from "../data/support.js";
import { withVocabulary } from "./gguf-writer.js";
import { mutateBytes, mutateJson, mutateJsonText, type Random } from "./mutate.js";
import * as seeds from "./seeds.js";

export interface FuzzTarget {
  cases: number;
  /** Whether every complaint has to name the file or folder. */
  namesFile: boolean;
  /** Makes what the cases share; the function it returns runs one case. */
  prepare(folder: string): Promise<(random: Random) => Promise<void>>;
}

const MESSAGES: Message[] = [
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Hi" },
];

/** Reads a model and uses its text side, as opening one does. */
async function readModel(path: string): Promise<void> {
  const text = await openText(path);
  checkTensors(text.files);
  if (text.tokenizer !== null) {
    const ids = text.encode("hello hello 12 ä");
    assert.ok(ids.every((id) => Number.isSafeInteger(id) && id >= 0));
  }
  if (text.chatTemplate !== null) text.render(MESSAGES, true);
}

function checkTensors({ tensors, config }: ModelFiles): void {
  for (const { file, offset, bytes, rows, cols, layer } of tensors) {
    assert.ok(offset >= 0 && bytes > 0 && offset + bytes <= readSize(file), "a tensor lies outside its file");
    assert.ok(Number.isSafeInteger(rows * cols) && rows > 0 && cols > 0 && layer < config.layers);
  }
}

const readSize = (path: string): number => readFileSync(path).length;

/** A file whose first bytes are damaged and whose rest is a hole, cut or grown now and then. */
function writeSparse(path: string, header: Uint8Array, size: number, random: Random): void {
  writeFileSync(path, header);
  if (random.chance(0.9)) truncateSync(path, Math.max(header.length, size));
  else truncateSync(path, random.below(size + 1));
}

/** A safetensors file with as many bytes of tensors and another header. */
function writeSafetensors(path: string, header: unknown, dataBytes: number, random: Random): void {
  const text = random.chance(0.5)
    ? Buffer.from(JSON.stringify(mutateJson(header, random)) ?? "")
    : mutateJsonText(header, random);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(
    BigInt(random.chance(0.9) ? text.length : random.pick([0, 1, text.length + 1, 2 ** 31, 2 ** 53])),
  );
  writeSparse(path, Buffer.concat([length, text]), 8 + text.length + dataBytes, random);
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

function ggufTarget(
  make: () => Promise<{ header: Buffer; size: number }>,
  read: (path: string) => Promise<unknown>,
): FuzzTarget {
  return {
    cases: 400,
    namesFile: true,
    async prepare(folder) {
      const { header, size } = await make();
      const path = join(folder, "model.gguf");
      return async (random) => {
        writeSparse(path, mutateBytes(header, random), size, random);
        await read(path);
      };
    },
  };
}

/** Every file of a model or adapter folder, one of them damaged. */
function folderTarget(
  cases: number,
  make: () => Record<string, Buffer>,
  damage: (name: string, content: Buffer, random: Random, path: string) => void,
  targets: readonly string[],
  read: (path: string) => Promise<unknown>,
): FuzzTarget {
  return {
    cases,
    namesFile: true,
    async prepare(folder) {
      const files = make();
      for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
      return async (random) => {
        const name = random.pick(targets);
        damage(name, files[name] as Buffer, random, join(folder, name));
        try {
          await read(folder);
        } finally {
          writeFileSync(join(folder, name), files[name] as Buffer);
        }
      };
    },
  };
}

function damageJson(_name: string, content: Buffer, random: Random, path: string): void {
  writeFileSync(path, mutateJsonText(JSON.parse(content.toString("utf8")), random));
}

function damageSafetensors(_name: string, content: Buffer, random: Random, path: string): void {
  const { header, headerBytes } = seeds.splitSafetensors(content);
  if (random.chance(0.3))
    writeSparse(path, mutateBytes(content.subarray(0, headerBytes), random), content.length, random);
  else writeSafetensors(path, header, content.length - headerBytes, random);
}

/** Lines of text, some damaged, as they are or as gzip whose bytes are damaged instead. */
function linesTarget(text: string, read: (path: string) => AsyncIterable<unknown>): FuzzTarget {
  return {
    cases: 250,
    namesFile: true,
    async prepare(folder) {
      const path = join(folder, "lines.jsonl");
      const lines = text.split("\n").filter((line) => line !== "");
      return async (random) => {
        const damaged = lines.map((line) =>
          random.chance(0.3) ? mutateJsonText(JSON.parse(line), random) : Buffer.from(line),
        );
        let bytes: Buffer = Buffer.concat(damaged.flatMap((line) => [line, Buffer.from("\n")]));
        if (random.chance(0.3)) bytes = mutateBytes(bytes, random);
        if (random.chance(0.4)) bytes = random.chance(0.5) ? gzipSync(bytes) : mutateBytes(gzipSync(bytes), random);
        writeFileSync(path, bytes);
        await drain(read(path));
      };
    },
  };
}

const lineReaders = {
  pairs: linesTarget(seeds.PAIRS, readPairs),
  "score requests": linesTarget(seeds.SCORE_REQUESTS, readScoreRequests),
  "generation prompts": linesTarget(seeds.PROMPTS, readGenerationPrompts),
  texts: linesTarget(seeds.TEXTS, readTexts),
  "JSON Lines": linesTarget(seeds.PAIRS, readJsonLines),
  "JSON Lines, skipping": linesTarget(seeds.PAIRS, (path) => readPairs(path, { onError: "skip" })),
} satisfies Record<string, FuzzTarget>;

/** Preference data of other makers, as a table of this kind with damaged bytes. */
function tableTarget(name: string, bytes: () => Buffer): FuzzTarget {
  return {
    cases: 200,
    namesFile: true,
    async prepare(folder) {
      const whole = bytes();
      const path = join(folder, name);
      return async (random) => {
        writeFileSync(path, mutateBytes(whole, random));
        await drain(readPreferenceData([path], { onError: random.chance(0.5) ? "skip" : "fail" }));
      };
    },
  };
}

const fixture = (name: string): Buffer => readFileSync(join(FIXTURES, name));
const tableReaders = {
  "preference data in Parquet": tableTarget("t.parquet", () => fixture("pyarrow-binarized-snappy.parquet")),
  "preference data in Parquet with zstd": tableTarget("t.parquet", () => fixture("pyarrow-binarized-zstd.parquet")),
  "preference data in lines": tableTarget("t.jsonl", () => fixture("hand-written-ultrafeedback.jsonl")),
  "preference data in an array": tableTarget("t.json", () =>
    Buffer.from(`[${fixture("hand-written-helpsteer2.jsonl").toString("utf8").trim().replaceAll("\n", ",\n")}]`),
  ),
  "preference data in CSV": tableTarget("t.csv", () =>
    Buffer.from('prompt,chosen,rejected\n"a ""b""\nc",d,e\nf,"g,h",i\n'.repeat(5)),
  ),
} satisfies Record<string, FuzzTarget>;

const chatTemplates: FuzzTarget = {
  cases: 500,
  namesFile: false,
  async prepare() {
    return async (random) => {
      const source = mutateBytes(Buffer.from(random.pick(seeds.TEMPLATES)), random).toString("utf8");
      ChatTemplate.parse(source, { bosToken: "<s>", eosToken: "</s>" }).render(MESSAGES, {
        addGenerationPrompt: random.chance(0.5),
      });
    };
  },
};

const manifests: FuzzTarget = {
  cases: 250,
  namesFile: true,
  async prepare(folder) {
    const path = join(folder, "manifest.json");
    return async (random) => {
      writeFileSync(path, mutateJsonText(seeds.MANIFEST, random));
      await readManifest(path);
    };
  },
};

/** Damaged checkpoints whose hashes are right: what the hashes catch is not what is tested here. */
const checkpoints: FuzzTarget = {
  cases: 300,
  namesFile: true,
  async prepare(folder) {
    const dir = join(folder, "checkpoints", "step-4");
    mkdirSync(dir, { recursive: true });
    const contents = seeds.checkpointFiles();
    return async (random) => {
      for (const [name, content] of Object.entries(contents)) writeFileSync(join(dir, name), content);
      const name = random.pick([...Object.keys(contents), "state.json"]);
      if (name.endsWith(".safetensors")) damageSafetensors(name, contents[name] as Buffer, random, join(dir, name));
      else if (name !== "state.json") damageJson(name, contents[name] as Buffer, random, join(dir, name));
      const files: Record<string, string> = {};
      for (const file of Object.keys(contents)) files[file] = await sha256File(join(dir, file));
      const state = { format: 1, step: 4, identity: seeds.IDENTITY, files };
      writeFileSync(
        join(dir, "state.json"),
        name === "state.json" ? mutateJsonText(state, random) : JSON.stringify(state),
      );
      const found = await newestCheckpoint(folder, seeds.IDENTITY);
      assert.ok(found === null || (found.step === 4 && found.optimizer.m.length >= 0));
    };
  },
};

const configFiles: FuzzTarget = {
  cases: 500,
  namesFile: true,
  async prepare(folder) {
    const path = join(folder, "options.yaml");
    const table: OptionTable = { ...COMMON_OPTIONS, ...train.options };
    return async (random) => {
      const bytes = random.chance(0.5)
        ? mutateBytes(Buffer.from(random.pick(seeds.CONFIG_FILES)), random)
        : mutateJsonText(seeds.CONFIG_OPTIONS, random);
      writeFileSync(path, bytes);
      readConfigFile(path, table, "train");
    };
  },
};

/** Folders that `valora inspect` reads, one file of them damaged. */
const inspections: FuzzTarget = {
  cases: 300,
  namesFile: true,
  async prepare(folder) {
    return async (random) => {
      const dir = join(folder, "inspected");
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      const kind = random.pick(seeds.INSPECTED);
      const damaged = random.pick(Object.keys(kind));
      for (const [name, text] of Object.entries(kind)) {
        writeFileSync(join(dir, name), name === damaged ? mutateBytes(Buffer.from(text), random) : text);
      }
      const inspection = await inspectPath(dir);
      assert.deepEqual(JSON.parse(JSON.stringify(inspection)), inspection);
    };
  },
};

/** What the readers let through has to be safe for the core: opened, asked for a log-probability, closed. */
const openedModels: FuzzTarget = {
  cases: 200,
  namesFile: false,
  async prepare(folder) {
    const { openModel } = await import("#lib/engine/open.js");
    const files = seeds.modelFolder();
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    const request = { id: "a", context_tokens: [5, 6, 7], completions_tokens: [[8, 9], [10]] };
    return async (random) => {
      const weights = files["model.safetensors"] as Buffer;
      const { headerBytes } = seeds.splitSafetensors(weights);
      if (random.chance(0.5)) {
        damageJson("config.json", files["config.json"] as Buffer, random, join(folder, "config.json"));
        writeFileSync(join(folder, "model.safetensors"), weights);
      } else {
        writeFileSync(join(folder, "config.json"), files["config.json"] as Buffer);
        const data = mutateBytes(weights.subarray(headerBytes), random);
        writeFileSync(join(folder, "model.safetensors"), Buffer.concat([weights.subarray(0, headerBytes), data]));
      }
      const model = await openModel(folder, { device: "cpu", threads: 1, memoryBytes: 64 * 2 ** 20 });
      try {
        for await (const { logprob } of model.score([request])) {
          assert.ok(Number.isFinite(logprob), `log-probability ${logprob} was let through`);
        }
      } finally {
        await model.dispose();
      }
    };
  },
};

export const TARGETS: Record<string, FuzzTarget> = {
  "opened models": openedModels,
  "GGUF models with a vocabulary": ggufTarget(() => withVocabulary(seeds.GGUF, seeds.TEMPLATES[0]), readModel),
  "GGUF headers of every tensor type": ggufTarget(async () => seeds.ggufPrefix(seeds.GGUF_QUANTS), readGgufHeader),
  "safetensors models": folderTarget(500, seeds.modelFolder, damageSafetensors, ["model.safetensors"], readModel),
  "safetensors in shards": folderTarget(
    400,
    seeds.shardedFolder,
    (name, ...rest) => (name.endsWith(".json") ? damageJson(name, ...rest) : damageSafetensors(name, ...rest)),
    ["model.safetensors.index.json", "model.safetensors.index.json", ...seeds.SHARDS],
    readModel,
  ),
  ...Object.fromEntries(
    seeds.FAMILIES.map((family) => [
      `config.json of ${family}`,
      folderTarget(120, () => seeds.modelFolder(family), damageJson, ["config.json"], readModel),
    ]),
  ),
  "tokenizer files": folderTarget(
    600,
    seeds.modelFolder,
    damageJson,
    ["tokenizer.json", "tokenizer.json", "tokenizer_config.json"],
    readModel,
  ),
  "adapter configs": folderTarget(300, seeds.adapterFolder, damageJson, ["adapter_config.json"], readAdapter),
  "adapter weights": folderTarget(
    300,
    seeds.adapterFolder,
    damageSafetensors,
    ["adapter_model.safetensors"],
    readAdapter,
  ),
  ...lineReaders,
  ...tableReaders,
  "chat templates": chatTemplates,
  manifests,
  checkpoints,
  "config files of the command line": configFiles,
  "inspected folders": inspections,
};
