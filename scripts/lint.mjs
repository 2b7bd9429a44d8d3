/**
 * Checks (or, with --write, mends) the format of both languages, and lints the TypeScript. clang-format is used where it
 * is installed.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const biomeProgram = createRequire(import.meta.url).resolve("@biomejs/biome/bin/biome");

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`valora: ${command} could not be started: ${error.message}.`);
  return status ?? 1;
}

function cppFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return cppFiles(path);
    return /\.(cc|h|cu|cuh)$/.test(entry.name) ? [path] : [];
  });
}

function main(write) {
  const biome = run(process.execPath, [biomeProgram, "check", ...(write ? ["--write"] : ["--error-on-warnings"])]);
  if (spawnSync("clang-format", ["--version"], { stdio: "ignore" }).status !== 0) {
    console.error("valora: SKIPPED: clang-format is not installed, so the format of native/ was not checked.");
    return biome;
  }
  const clang = run("clang-format", [
    ...(write ? ["-i"] : ["--dry-run", "--Werror"]),
    ...cppFiles(join(root, "native")),
  ]);
  return biome || clang;
}

process.exitCode = main(process.argv.includes("--write"));
