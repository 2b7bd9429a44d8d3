/**
 * Breaks the CUDA kernels on purpose, one mistake at a time, and runs the emulated tests over each: a mistake that no
 * test notices is a failure. Kernels are compiled from a copy, and linked with the tests and the kernels of a build that
 * is there already; the sources are left as they are. First the kernels as they are have to pass.
 *
 *     node scripts/mutate-cuda.mjs [--folder build] [attention.cu ...]
 *
 * Without names: all of cuda-mutations.mjs, some minutes. The names are those of mutated files. Prints a table.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { MUTATIONS, TESTS } from "./cuda-mutations.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const SECONDS = 240; // a test that hangs was stopped by the mistake as well

class MutationFailed extends Error {}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    timeout: 1e3 * SECONDS,
    maxBuffer: 1 << 28,
  });
  const hung = error?.code === "ETIMEDOUT";
  if (error && !hung) throw error;
  return { ok: status === 0, hung, text: stdout + stderr };
}

/** The tests of a kernel's file with `text` in its place. Undefined where all pass, else what the first to fail said. */
function verdict(build, folder, { file, text }) {
  const { object, programs } = TESTS[file];
  mkdirSync(join(folder, "cuda"), { recursive: true });
  const mutant = join(folder, "cuda", file);
  writeFileSync(mutant, text);
  const source = file.endsWith(".cu") ? mutant : join(folder, "cuda", object);
  if (source !== mutant) writeFileSync(source, readFileSync(join(root, "native/cuda", object)));
  const compiled = run("c++", [
    ...["-x", "c++", "-std=c++20", "-O1", "-ffp-contract=off", "-Wno-unknown-pragmas"],
    ...["-I", folder, "-I", join(root, "native"), "-c", source, "-o", join(folder, "mutant.o")],
  ]);
  if (!compiled.ok) throw new MutationFailed(`${file}, changed, does not compile:\n${compiled.text}`);
  for (const { program, extra = [], filter } of programs) {
    const objects = [program.replace(/^cuda_ops/, "ops"), ...extra].map((name) =>
      join(build, `native/test/CMakeFiles/${program}.dir/${name}.cc.o`),
    );
    const libraries = ["libvalora_core.a", "native/cuda/emulation/libvalora_cuda_emulated.a", "libvalora_core.a"];
    const missing = objects.find((path) => !existsSync(path));
    if (missing) throw new MutationFailed(`${missing} is not there: build the tests first`);
    const linked = run("c++", [
      ...[join(folder, "mutant.o"), ...objects, ...libraries.map((name) => join(build, name))],
      ...["-lgtest_main", "-lgtest", "-lpthread", "-o", join(folder, "tests")],
    ]);
    if (!linked.ok) throw new MutationFailed(`${program} does not link:\n${linked.text}`);
    const tested = run(join(folder, "tests"), ["--gtest_brief=1", "--gtest_fail_fast", `--gtest_filter=${filter}`]);
    if (tested.hung) return `${program} does not end`;
    if (/ran 0 tests| 0 tests from/.test(tested.text)) throw new MutationFailed(`${program} has no test ${filter}`);
    if (!tested.ok) {
      const test = /\[ {2}FAILED {2}\] (\S+)/.exec(tested.text)?.[1] ?? program;
      const said = /with description "([^"]*)"|(?:what\(\): {2})(.*)/.exec(tested.text);
      return `${test.replace(/[,.]$/, "")}${said ? `: ${said[1] ?? said[2]}` : ": other numbers"}`;
    }
  }
  return undefined;
}

function mutated({ file, from, to }) {
  const text = readFileSync(join(root, "native/cuda", file), "utf8");
  const pieces = text.split(from);
  if (pieces.length !== 2)
    throw new MutationFailed(`${file} has ${pieces.length - 1} places that read "${from}", not one`);
  return pieces.join(to);
}

function main(args) {
  const named = args.indexOf("--folder");
  const build = join(root, named >= 0 ? args.splice(named, 2)[1] : "build");
  const unknown = args.find((arg) => !(arg in TESTS));
  if (unknown) throw new MutationFailed(`${unknown} is none of ${Object.keys(TESTS).join(", ")}`);
  const files = args.length > 0 ? args : Object.keys(TESTS);
  const folder = mkdtempSync(join(tmpdir(), "valora-mutant-"));
  const rows = [];
  try {
    for (const file of files) {
      const text = readFileSync(join(root, "native/cuda", file), "utf8");
      const before = verdict(build, folder, { file, text });
      if (before !== undefined) throw new MutationFailed(`${file} fails as it is: ${before}`);
      for (const mutation of MUTATIONS.filter((one) => one.file === file)) {
        const found = verdict(build, folder, { file, text: mutated(mutation) });
        process.stderr.write(`${file}, ${mutation.what}: ${found ?? "SURVIVED"}\n`);
        rows.push(`| ${file} | ${mutation.what} | ${found ?? "**nobody**"} |`);
        if (found === undefined) process.exitCode = 1;
      }
      rmSync(join(folder, "cuda"), { recursive: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(["| file | mistake | noticed by |", "|---|---|---|", ...rows].join("\n"));
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof MutationFailed)) throw error;
  console.error(`valora: ${error.message}.`);
  process.exitCode = 1;
}
