/**
 * Compiles and runs every test of an installed and built tree: the core's own, which test/native.test.ts takes from
 * here, and those of test/. Files are listed here because Node 20 leaves patterns to the shell.
 *
 *     node scripts/test.mjs [part of a file's path…]
 */
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { typescriptCompiler } from "./build-lib.mjs";
import { buildNativeTests } from "./native-tests.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const output = join(root, "build", "test");

function testFiles(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return testFiles(path);
      return entry.name.endsWith(".test.js") ? [path] : [];
    })
    .sort();
}

function main(parts) {
  rmSync(output, { recursive: true, force: true });
  const compiled = spawnSync(process.execPath, [typescriptCompiler(), "-p", "test/tsconfig.json"], {
    cwd: root,
    stdio: "inherit",
  });
  if (compiled.status !== 0) return compiled.status ?? 1;

  const wanted = (path) => parts.length === 0 || parts.some((part) => relative(output, path).includes(part));
  const files = testFiles(join(output, "test")).filter(wanted);
  if (files.length === 0) {
    console.error(`valora: no test file matches ${parts.join(", ")}.`);
    return 2;
  }
  if (files.some((path) => path.endsWith("native.test.js"))) {
    const native = buildNativeTests();
    if (native.skipped) console.error(`valora: SKIPPED: ${native.skipped}.`);
    writeFileSync(join(output, "native-tests.json"), JSON.stringify(native));
  }
  const { status } = spawnSync(process.execPath, ["--test", ...files], { cwd: root, stdio: "inherit" });
  return status ?? 1;
}

process.exitCode = main(process.argv.slice(2));
