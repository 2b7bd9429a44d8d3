/**
 * Compiles lib/ into dist/, then removes from dist/ what no longer has a source, so that nothing stale is
 * imported or packed. Files are replaced one by one: a program that runs from dist/ meanwhile goes on.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));

/** The path of the TypeScript compiler's program. */
export function typescriptCompiler() {
  const packageFile = createRequire(import.meta.url).resolve("typescript/package.json");
  return join(dirname(packageFile), "bin", "tsc");
}

function prune(dist, lib) {
  for (const entry of readdirSync(dist, { withFileTypes: true })) {
    const path = join(dist, entry.name);
    const stem = join(lib, entry.name.replace(/(\.d)?\.(js|ts)(\.map)?$/, ""));
    if (entry.isDirectory() && existsSync(join(lib, entry.name))) prune(path, join(lib, entry.name));
    else if (!existsSync(`${stem}.ts`)) rmSync(path, { recursive: true });
  }
}

function main() {
  const { status } = spawnSync(process.execPath, [typescriptCompiler(), "-p", "tsconfig.json"], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) return status ?? 1;
  prune(join(root, "dist"), join(root, "lib"));
  const program = join(root, "dist", "cli.js");
  if (existsSync(program)) chmodSync(program, 0o755); // `npx valora` in a clone runs this very file
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
