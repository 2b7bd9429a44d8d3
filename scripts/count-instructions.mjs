/**
 * Counts the instructions of a fixed DPO step and a fixed generation (native/test/instruction_count.cc) under
 * valgrind's callgrind, on the AVX2 kernels, and compares them with those stored: more than 2 % more is a failure. Counts
 * depend on the compiler; with another version than the stored one nothing is compared, aloud.
 *
 *     node scripts/count-instructions.mjs [--write]
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { devNull } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildNativeTests } from "./native-tests.mjs";

const MOST_MORE = 0.02;

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const store = join(root, "native/test/instruction-counts.json");
const WORK = { step: "counted_step", generation: "counted_generation" };

function fail(message) {
  console.error(`valora: ${message}.`);
  process.exit(1);
}

function compilerVersion() {
  const cache = readFileSync(join(root, "build/CMakeCache.txt"), "utf8");
  const compiler = /^CMAKE_CXX_COMPILER:[A-Z]+=(.*)$/m.exec(cache)?.[1] ?? "c++";
  return spawnSync(compiler, ["--version"], { encoding: "utf8" }).stdout.split("\n")[0];
}

function count(name) {
  const run = spawnSync(
    "valgrind",
    [
      "--tool=callgrind",
      `--callgrind-out-file=${devNull}`,
      `--toggle-collect=valora::test::${name}*`,
      join(root, "build/native/test/instruction_count"),
    ],
    { encoding: "utf8" },
  );
  const collected = /Collected : (\d+)/.exec(run.stderr ?? "")?.[1];
  if (run.status !== 0 || collected === undefined || collected === "0")
    fail(`callgrind counted nothing of ${name}: ${run.error?.message ?? run.stderr}`);
  return Number(collected);
}

const built = buildNativeTests();
if (!("tests" in built)) fail(built.skipped ?? built.failed);
const counts = Object.fromEntries(Object.entries(WORK).map(([work, name]) => [work, count(name)]));
const now = { compiler: compilerVersion(), counts };
if (process.argv.includes("--write")) {
  writeFileSync(store, `${JSON.stringify(now, null, 2)}\n`);
} else {
  const stored = JSON.parse(readFileSync(store, "utf8"));
  if (stored.compiler !== now.compiler) {
    console.log(`skipped: the stored counts are of ${stored.compiler}, this is ${now.compiler}`);
    process.exit(0);
  }
  for (const [work, number] of Object.entries(counts)) {
    const more = number / stored.counts[work] - 1;
    console.log(`${work}: ${number} instructions, ${(100 * more).toFixed(2)} % more than stored`);
    if (!(more <= MOST_MORE)) process.exitCode = 1;
  }
  if (process.exitCode === 1)
    console.error(
      "valora: the kernels take more instructions than stored; where that is meant, run this with --write.",
    );
}
