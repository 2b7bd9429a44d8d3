/** Files that are well-formed and meant to harm: each in a process of its own, which must end in time and alive. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ROOT } from "../golden.js";
import { adapterFolder, modelFolder } from "./seeds.js";

/** Twice what the slowest takes by its own limits on two busy cores. */
const LIMIT_MS = 30_000;

/** Runs valora on a folder of files; what it says, when it has refused them as it should. */
function refused(files: Record<string, Buffer | string>, args: (folder: string) => string[], input = ""): string {
  const folder = mkdtempSync(join(tmpdir(), "valora-hostile-"));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    const { status, signal, stderr } = spawnSync(
      process.execPath,
      ["--max-old-space-size=512", join(ROOT, "dist/cli.js"), ...args(folder)],
      {
        input,
        encoding: "utf8",
        timeout: LIMIT_MS,
        killSignal: "SIGKILL",
      },
    );
    assert.equal(signal, null, "it had to be killed");
    assert.ok(status === 1 || status === 2, `exit status ${status}: ${stderr.slice(0, 500)}`);
    assert.match(stderr, /^valora[^\n]*: [^\n]{1,600}\n$/);
    return stderr;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function withTemplate(template: string): string {
  const files = modelFolder();
  const config = JSON.parse(String(files["tokenizer_config.json"])) as Record<string, unknown>;
  files["tokenizer_config.json"] = Buffer.from(JSON.stringify({ ...config, chat_template: template }));
  const input = `${JSON.stringify({ id: "a", messages: [{ role: "user", content: "x" }] })}\n`;
  return refused(files, (folder) => ["tokenize", "--model", folder, "--input", "-"], input);
}

describe("hostile files are refused in time", () => {
  test("a chat template that counts to a billion", () => {
    assert.match(withTemplate("{% for i in range(1000000000) %}x{% endfor %}"), /range/);
  });

  test("a chat template with loops in loops", () => {
    const loop = (name: string, body: string): string => `{% for ${name} in range(10000) %}${body}{% endfor %}`;
    assert.match(withTemplate(loop("i", loop("j", loop("k", "{{ i }}")))), /takes longer/);
  });

  test("a chat template that is nested thousands deep", () => {
    assert.match(withTemplate(`{{ ${"(".repeat(5000)}1${")".repeat(5000)} }}`), /chat template/);
  });

  test("an adapter whose pattern backtracks without end", () => {
    const files = adapterFolder();
    const config = JSON.parse(String(files["adapter_config.json"])) as Record<string, unknown>;
    files["adapter_config.json"] = Buffer.from(JSON.stringify({ ...config, rank_pattern: { "([a-z_.0-9]+)+!": 8 } }));
    assert.match(
      refused(files, (folder) => ["inspect", folder]),
      /pattern/,
    );
  });

  test("a config file whose aliases unfold to a billion values", () => {
    const levels = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(", ")}]`);
    const yaml = ["a0: &a0 x", ...levels, ""].join("\n");
    refused({ "options.yaml": yaml }, (folder) => ["score", "--config", join(folder, "options.yaml")]);
  });

  test("a gzip file of one line that unfolds to 512 MiB", () => {
    const bomb = gzipSync(Buffer.alloc(512 * 2 ** 20, "a"));
    const stderr = refused({ ...modelFolder(), "bomb.gz": bomb }, (folder) => [
      "tokenize",
      "--model",
      folder,
      "--input",
      join(folder, "bomb.gz"),
    ]);
    assert.match(stderr, /line 1/);
  });

  test("JSON that is nested a million deep", () => {
    const deep = `${"[".repeat(1e6)}${"]".repeat(1e6)}\n`;
    refused({ ...modelFolder(), "deep.jsonl": deep }, (folder) => [
      "tokenize",
      "--model",
      folder,
      "--input",
      join(folder, "deep.jsonl"),
    ]);
    refused({ ...modelFolder(), "config.json": deep }, (folder) => ["inspect", folder]);
  });
});
