/** The machine and the build that a benchmark runs on. */
import { execFile } from "node:child_process";
import { realpath } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { VERSION } from "../files/version.js";
import { native } from "../native.js";
import type { Machine } from "./result.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

export async function describeMachine(): Promise<Machine> {
  const { isas, compiler, build } = native.info();
  return {
    date: new Date().toISOString(),
    commit: await commitOfCheckout(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    isas,
    versions: { valora: VERSION, node: process.versions.node, compiler },
    build,
  };
}

/** Null where this package is installed rather than checked out, or there is no git. */
async function commitOfCheckout(): Promise<string | null> {
  const git = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)("git", ["-C", root, ...args])).stdout.trim();
  try {
    // An installed package may lie in the checkout of something else.
    if ((await realpath(await git("rev-parse", "--show-toplevel"))) !== (await realpath(root))) return null;
    const changed = await git("status", "--porcelain", "--untracked-files=no");
    return `${await git("rev-parse", "HEAD")}${changed === "" ? "" : "-dirty"}`;
  } catch {
    return null;
  }
}
