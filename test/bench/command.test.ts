/** `valora bench` with the smallest settings: what it writes, and what it refuses. How fast anything is, is not asked. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { BenchReport } from "#lib/bench/result.js";
import { assertRefused, type Outcome, run, withFolder } from "../cli/program.js";

const TINY = ["--time", "0.001", "--threads", "1"];
const ROPE = ["bench", "kernels", "--only", "^rope 135M", ...TINY];
const MODEL = ["--model", "test/golden/llama-tied/model.gguf"];

const FIELDS =
  "suite kernel model shape dtype isa compute threads seconds spread_percent samples gflops gbytes_per_second limit peak " +
  "peak_percent error tolerance tokens_per_second pairs_per_second peak_memory_bytes";
/** Also in JSON. */
const NESTED = "operations";
const MACHINE = "date commit cpu cores build valora node compiler";

function report(outcome: Outcome): BenchReport {
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.equal(outcome.stderr, "");
  return JSON.parse(outcome.stdout) as BenchReport;
}

function assertMeasured(result: BenchReport["results"][number]): void {
  assert.deepEqual(Object.keys(result).sort(), [...FIELDS.split(" "), NESTED].sort());
  for (const field of ["seconds", "gflops", "peak", "peak_percent", "tolerance"] as const)
    assert.ok(result[field] > 0 && Number.isFinite(result[field]), `${field} ${result[field]}`);
  assert.ok(result.error >= 0 && result.error <= result.tolerance, `${result.error} of ${result.tolerance}`);
  assert.ok(result.spread_percent >= 0 && result.samples >= 3);
  assert.equal(result.threads, 1);
}

describe("valora bench kernels", () => {
  test("writes JSON with every field and the machine", async () => {
    const { machine, results } = report(await run([...ROPE, "--format", "json"]));
    assert.equal(results.length, 1);
    assertMeasured(results[0]!);
    assert.deepEqual([results[0]!.kernel, results[0]!.shape, results[0]!.limit], ["rope", "512×9/3h×64", "memory"]);
    assert.ok(machine.cpu !== "" && machine.cores >= 1 && machine.versions.valora !== "");
    assert.match(machine.date, /^\d{4}-\d\d-\d\dT/);
    if (machine.commit !== null) assert.match(machine.commit, /^[0-9a-f]{40}(-dirty)?$/);
  });

  test("writes CSV with the same fields as columns", async () => {
    const { status, stdout } = await run([...ROPE, "--format", "csv"]);
    assert.equal(status, 0);
    const [header, ...rows] = stdout.trimEnd().split("\n");
    assert.equal(header, `${FIELDS} ${MACHINE}`.replaceAll(" ", ","));
    assert.equal(rows.length, 1);
    assert.match(rows[0]!, /^kernels,rope,135M,512×9\/3h×64,,/);
  });

  test("writes a table with a row a task, and --output makes a file of it", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "bench.txt");
      const { status, stdout } = await run([...ROPE, "--output", file]);
      assert.equal(status, 0);
      assert.equal(stdout, "");
      const [origin, , header, line, row] = readFileSync(file, "utf8").split("\n");
      assert.match(origin!, /^valora \d/);
      assert.match(header!, /^suite +kernel +model +shape +dtype +isa +threads +median +spread +rate +of peak +error$/);
      assert.match(line!, /^─+$/);
      assert.match(row!, /^kernels +rope +135M +\S+ +- +\w+ +1 +\S+ [mµ]?s +\S+ % +\S+ GB\/s +\S+ % memory +\S+e-\d+$/);
    });
  });

  test("runs the instruction set asked for", async () => {
    const { results } = report(await run([...ROPE, "--isa", "generic", "--format", "json"]));
    assert.equal(results[0]!.isa, "generic");
  });
});

test("valora bench train score measures steps and scoring of a model", async () => {
  const { results } = report(await run(["bench", "score", "train", ...MODEL, ...TINY, "--format", "json"]));
  assert.deepEqual(
    results.map(({ suite, kernel }) => `${suite} ${kernel}`),
    ["train dpo_step", "score score_texts", "score score_choices"],
  );
  for (const result of results) {
    assertMeasured(result);
    assert.equal(result.limit, "compute");
    assert.ok(result.tokens_per_second! > 0 && result.peak_memory_bytes! > 1e6);
  }
  assert.ok(results[0]!.pairs_per_second! > 0);
  for (const { kernel, operations } of results) {
    const names = operations!.map(({ operation }) => operation);
    assert.equal(names.at(-1), "rest");
    const training = ["linear_backward", "attention_backward", "lora_gradient", "adamw"];
    for (const name of ["linear_forward", "attention_forward", "head_forward"]) assert.ok(names.includes(name), name);
    for (const name of training) assert.equal(names.includes(name), kernel === "dpo_step", `${kernel} ${name}`);
    const sum = operations!.reduce((total, { percent }) => total + percent, 0);
    assert.ok(Math.abs(sum - 100) < 1e-6, `${sum}`);
    for (const { operation, calls, seconds, busy_percent } of operations!.slice(0, -1)) {
      assert.ok(calls >= 1 && seconds > 0, operation);
      // One thread: it is at work but for the clock's own grain and what an operation does outside of its loops.
      assert.ok(busy_percent! >= 0 && busy_percent! <= 101, `${operation} ${busy_percent}`);
    }
  }
});

describe("valora bench refuses", () => {
  const refused = (args: string[], ...parts: string[]) =>
    test(args.join(" "), async () => assertRefused(await run(["bench", ...args]), 2, ...parts));
  refused(["speed"], '"speed"', "kernels, score, train");
  refused(["train", "train"], "train is given twice");
  refused(["--only", "("], "--only", "regular expression");
  refused(["--only", "no such kernel"], "--only no such kernel");
  refused(["train", "--only", "rope"], "--only chooses among kernels");
  refused(["--time", "0"], "--time");
  refused(["--threads", "0"], "--threads");
  refused(["--isa", "sse"], "--isa");

  test("a model that is not there, and leaves no file", async () => {
    await withFolder(async (folder) => {
      const file = join(folder, "bench.json");
      const outcome = await run(["bench", "score", "--model", join(folder, "none.gguf"), "--output", file]);
      assertRefused(outcome, 1, "none.gguf");
      assert.ok(!existsSync(file));
    });
  });
});
