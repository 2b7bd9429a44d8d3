/** Data sets by name: a stand-in for the hub on this machine lists and serves them, and is then taken away. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { findDataFiles } from "#lib/data/data-source.js";
import { parseHubName } from "#lib/data/hub-data-set.js";
import { failsWith, withFolder } from "../formats/format-support.js";
import { FIXTURES, readAll } from "./support.js";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const HH = readFileSync(join(FIXTURES, "hand-written-hh-rlhf.jsonl"));
const PARQUET = readFileSync(join(FIXTURES, "pyarrow-binarized-zstd.parquet"));

interface Hub {
  files: Record<string, Buffer>;
  /** What the list says of a file, where that is not the truth. */
  listed?: Record<string, { size?: number; sha256?: string; path?: string }>;
  /** Answers nothing. */
  silent?: boolean;
  requests: string[];
}

/** The hub's own paths: the commit of a revision, the list of files, the files with byte ranges. */
async function withHub<T>(hub: Hub, cache: string, body: () => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://hub");
    hub.requests.push(url.pathname);
    if (hub.silent) return;
    const json = (value: unknown): void => {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    if (url.pathname === "/api/datasets/owner/set/revision/main")
      return json({ _id: "1", id: "owner/set", sha: COMMIT });
    if (url.pathname === `/api/datasets/owner/set/tree/${COMMIT}`) {
      return json(
        Object.entries(hub.files).map(([path, content]) => {
          const { size = content.length, sha256, path: name = path } = hub.listed?.[path] ?? {};
          const oid = sha256 ?? createHash("sha256").update(content).digest("hex");
          return {
            type: "file",
            path: name,
            size,
            oid: "0",
            ...(size > 1000 && { lfs: { oid, size, pointerSize: 130 } }),
          };
        }),
      );
    }
    const content = hub.files[decodeURIComponent(url.pathname.replace(`/datasets/owner/set/resolve/${COMMIT}/`, ""))];
    if (content === undefined) return void response.writeHead(404, { "x-error-code": "RepoNotFound" }).end("{}");
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const begin = Number(range?.[1] ?? 0);
    const end = range?.[2] ? Number(range[2]) + 1 : content.length;
    const headers: Record<string, string> = { etag: '"x"', "content-length": String(end - begin) };
    if (range !== null) headers["content-range"] = `bytes ${begin}-${end - 1}/${content.length}`;
    response.writeHead(range === null ? 200 : 206, headers).end(content.subarray(begin, end));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const saved = { ...process.env };
  process.env.HF_ENDPOINT = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env.VALORA_CACHE = cache;
  try {
    return await body();
  } finally {
    for (const name of ["HF_ENDPOINT", "VALORA_CACHE"]) {
      if (saved[name] === undefined) delete process.env[name];
      else process.env[name] = saved[name];
    }
    server.closeAllConnections();
    server.close();
  }
}

const files = (): Record<string, Buffer> => ({
  "README.md": Buffer.from("# a set"),
  "dataset_infos.json": Buffer.from("{}"),
  "harmless/test.jsonl": HH,
  "harmless/train.jsonl": HH,
  "rated/data.parquet": PARQUET,
});

describe("a data set of the hub", () => {
  test("is fetched once, and read without the hub from then on", async () => {
    await withFolder(async (cache) => {
      const hub: Hub = { files: files(), requests: [] };
      const fetched: string[] = [];
      const onFetch = ({ file }: { file: string }): void => void fetched.push(file);
      const first = await withHub(hub, cache, () => readAll("owner/set", { onFetch }));
      assert.deepEqual(first.formats, ["hh-rlhf", "hh-rlhf", "ultrafeedback"]);
      assert.deepEqual(
        first.pairs.slice(0, 4).map(({ id }) => id),
        ["hh:0", "hh:7", "hh:8", "hh:15"],
      );
      assert.equal(first.pairs.length, 4 + 45);
      assert.deepEqual([...new Set(fetched)], ["harmless/test.jsonl", "harmless/train.jsonl", "rated/data.parquet"]);
      const set = join(cache, "datasets/owner/set");
      assert.deepEqual(readdirSync(set).sort(), [COMMIT, "main.json"]);
      assert.ok(readFileSync(join(set, COMMIT, "rated/data.parquet")).equals(PARQUET));
      const gone: Hub = { files: {}, requests: [] };
      const again = await withHub(gone, cache, () => readAll("owner/set"));
      assert.deepEqual(again.pairs, first.pairs);
      assert.deepEqual(gone.requests, []);
    });
  });

  test("may be named with a folder or a file of it; nothing else is fetched", async () => {
    await withFolder(async (cache) => {
      const hub: Hub = { files: files(), requests: [] };
      await withHub(hub, cache, async () => {
        assert.equal((await readAll("owner/set/rated")).pairs.length, 45);
        assert.equal((await readAll("hf://datasets/owner/set@main/harmless/test.jsonl")).pairs.length, 2);
        await assert.rejects(readAll("owner/set/harm"), failsWith("ERR_FILE", /owner\/set\/harm has no \.jsonl/));
      });
      assert.ok(!existsSync(join(cache, "datasets/owner/set", COMMIT, "harmless/train.jsonl")));
    });
  });

  test("that there is not, or that lies about its files, leaves nothing behind and is an error", async () => {
    const wrong = "ab".repeat(32);
    const cases: [string, Partial<Hub>, string, RegExp][] = [
      ["owner/other", {}, "ERR_DOWNLOAD", /owner\/other could not be fetched.*status 404.*or give a file/],
      ["owner/set@v2", {}, "ERR_DOWNLOAD", /status 404/],
      ["owner/set/rated", { listed: { "rated/data.parquet": { sha256: wrong } } }, "ERR_DOWNLOAD", /SHA-256/],
      ["owner/set/rated", { listed: { "rated/data.parquet": { size: 10_000 } } }, "ERR_DOWNLOAD", /ended after/],
      ["owner/set", { listed: { "README.md": { path: "../../../evil.jsonl" } } }, "ERR_DATA_FORMAT", /not understood/],
      ["owner/set", { listed: { "README.md": { path: "/evil.jsonl" } } }, "ERR_DATA_FORMAT", /not understood/],
    ];
    for (const [name, lies, code, says] of cases) {
      await withFolder(async (cache) => {
        await withHub({ files: files(), requests: [], ...lies }, cache, () =>
          assert.rejects(readAll(name), failsWith(code, says)),
        );
        assert.ok(!existsSync(join(cache, "datasets/owner/set", COMMIT, "rated/data.parquet")));
      });
    }
  });

  test("that is waited for can be given up", async () => {
    await withFolder(async (cache) => {
      const controller = new AbortController();
      const hub: Hub = { files: files(), requests: [], silent: true };
      const waiting = setInterval(() => hub.requests.length > 0 && controller.abort(), 10);
      await withHub(hub, cache, () =>
        assert.rejects(readAll("owner/set", { signal: controller.signal }), failsWith("ERR_CANCELLED", /owner\/set/)),
      );
      clearInterval(waiting);
    });
  });

  test("has a name of two parts, and maybe a revision and a path", () => {
    assert.deepEqual(parseHubName("a/b"), { repo: "a/b", revision: "main", path: "" });
    assert.deepEqual(parseHubName("a/b.c@v1.2/d/e.json"), { repo: "a/b.c", revision: "v1.2", path: "d/e.json" });
    assert.deepEqual(parseHubName("hf://datasets/a/b/"), { repo: "a/b", revision: "main", path: "" });
    for (const none of ["a", "/a/b", "./a/b", "../a", "a/..", "a b/c", "", "~/a"])
      assert.equal(parseHubName(none), null, none);
  });
});

describe("a path", () => {
  test("that is a folder stands for its tables in order of their names, without manifests and hidden files", async () => {
    await withFolder(async (folder) => {
      mkdirSync(join(folder, "b/.cache"), { recursive: true });
      for (const name of ["b/z.csv", "b/a.parquet", "a.jsonl.gz", "c.txt", "manifest.json", "a.jsonl.gz.manifest.json"])
        writeFileSync(join(folder, name), "");
      for (const name of [".hidden.jsonl", "b/.cache/x.jsonl", "counts.csv", "README.md"])
        writeFileSync(join(folder, name), "");
      assert.deepEqual(
        (await findDataFiles(folder)).map((path) => path.slice(folder.length + 1)),
        ["a.jsonl.gz", "b/a.parquet", "b/z.csv"],
      );
    });
  });

  test("that is not there, or a folder without tables, is an error about the path", async () => {
    await withFolder(async (folder) => {
      await assert.rejects(findDataFiles(folder), failsWith("ERR_FILE", /has no \.jsonl/));
      for (const path of [join(folder, "x.jsonl"), "data/x.jsonl", "x", "./x/y"])
        await assert.rejects(findDataFiles(path), failsWith("ERR_FILE", /does not exist/));
    });
  });
});
