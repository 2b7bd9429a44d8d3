/**
 * Builds the core's tests where there are CMake and GoogleTest, and lists them. `npm run test:native` runs them by
 * themselves; test/native.test.ts runs them among all others.
 */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { hasCMake } from "./toolchain.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));

/** The addon's own build folder: what it has compiled already is not compiled again. */
const folder = join(root, "build");

const cmake = (args, options) => spawnSync("cmake", args, { cwd: root, encoding: "utf8", ...options });

/**
 * @returns {{ tests: { name: string, command: string[] }[] } | { skipped: string } | { failed: string }}
 */
export function buildNativeTests() {
  if (!hasCMake()) return { skipped: "the core's own tests need CMake 3.21 or newer" };
  const configured = cmake(["-S", ".", "-B", folder, "-DVALORA_TESTS=ON"]);
  if (configured.status !== 0) {
    if (/GTest/.test(configured.stderr)) {
      // Off again, so that the addon's next build in this folder does not meet the same end.
      cmake(["-S", ".", "-B", folder, "-DVALORA_TESTS=OFF"]);
      return { skipped: "the core's own tests need GoogleTest (Debian: apt-get install libgtest-dev)" };
    }
    return { failed: configured.stderr };
  }
  const built = cmake(["--build", folder, "--parallel", String(availableParallelism())], {
    stdio: ["ignore", 2, 2],
  });
  if (built.status !== 0) return { failed: "the core's tests did not compile; the compiler's messages are above" };
  const listed = spawnSync("ctest", ["--show-only=json-v1"], { cwd: folder, encoding: "utf8" });
  const { tests } = JSON.parse(listed.stdout);
  return { tests: tests.map(({ name, command }) => ({ name, command })) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const result = buildNativeTests();
  if ("tests" in result) {
    const { status } = spawnSync("ctest", ["--output-on-failure"], { cwd: folder, stdio: "inherit" });
    process.exitCode = status ?? 1;
  } else {
    console.error(`valora: ${result.skipped ?? result.failed}.`);
    process.exitCode = 1;
  }
}
