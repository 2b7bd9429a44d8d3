/** Runs `node dist/cli.js` as a user's shell would. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { modelFolder } from "../fuzz/seeds.js";
import { ROOT } from "../golden.js";

export { withFolder } from "../temporary-folder.js";

/** A command that has not ended by then hangs; training the tiny model takes a few seconds on two busy cores. */
const TIMEOUT_MS = 120_000;

export interface Outcome {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Standard input; empty when left out. */
  input?: string;
  cwd?: string;
  env?: Record<string, string>;
}

/** A program that is under way: what it has said so far, and how it ends. */
export interface Running {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  ended: Promise<Outcome>;
}

export function start(args: readonly string[], options: Omit<RunOptions, "input"> = {}): Running {
  const child = spawn(process.execPath, [join(ROOT, "dist/cli.js"), ...args], {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // A program that ends early closes its input; that is its right.
  child.stdin.on("error", () => {});
  const timer = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      clearTimeout(timer);
      resolve({ status, signal, stdout, stderr });
    });
  });
  return { child, stdout: () => stdout, stderr: () => stderr, ended };
}

export async function run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const { child, ended } = start(args, options);
  child.stdin?.end(options.input ?? "");
  return ended;
}

/** Fails unless the program ended with `status`, nothing on stdout, and one sentence on stderr that holds `parts`. */
export function assertRefused(outcome: Outcome, status: number, ...parts: string[]): void {
  assert.equal(outcome.status, status, outcome.stderr);
  assert.equal(outcome.stdout, "");
  assert.match(outcome.stderr, /^valora[^\n]*: [^\n]+\n$/, "one line on stderr");
  for (const part of parts) assert.ok(outcome.stderr.includes(part), `"${part}" is not in: ${outcome.stderr}`);
}

/** JSON Lines of a successful run. */
export function results(outcome: Outcome): Record<string, unknown>[] {
  assert.equal(outcome.status, 0, outcome.stderr);
  return parseLines(outcome.stdout);
}

export function parseLines(text: string): Record<string, unknown>[] {
  assert.ok(text === "" || text.endsWith("\n"), "the last line is complete");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export function readLines(path: string): Record<string, unknown>[] {
  return parseLines(readFileSync(path, "utf8"));
}

export const lines = (...values: unknown[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join("");

/** Waits for something that a running program does. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  for (const started = performance.now(); !holds(); ) {
    assert.ok(performance.now() - started < TIMEOUT_MS / 2, `waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Writes a tiny model with tokenizer and chat template into a folder. */
export function writeTinyModel(folder: string): string {
  for (const [name, content] of Object.entries(modelFolder())) writeFileSync(join(folder, name), content);
  assert.ok(existsSync(join(folder, "config.json")));
  return folder;
}
