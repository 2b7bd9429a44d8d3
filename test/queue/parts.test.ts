/** Gates, placement, addresses, and a study as SLURM arrays: what needs no server. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseAddress } from "#lib/queue/address.js";
import { type Gate, planGates } from "#lib/queue/gates.js";
import type { WorkerMessage } from "#lib/queue/messages.js";
import { describeUnplaced, lackOf, requirementOf } from "#lib/queue/placement.js";
import type { EvaluateJob, Job, ModelRef, TrainJob } from "#lib/study/jobs.js";
import { run, withFolder } from "../cli/program.js";
import { ROOT } from "../golden.js";
import { writeTinyStudy } from "../study/support.js";
import { labEnvironment, studyWords } from "./support.js";

const model: ModelRef = { name: "tiny", model: "model", identity: "ab".repeat(32) };
const keyOf = (prefix: string, index: number): string => `${prefix}-${index.toString(16).padStart(20, "0")}`;

/** A reference, `trains` adapters measured at two doses by two measures, and a system prompt. */
function makeJobs(trains: number): Job[] {
  let count = 0;
  const measure = (kind: "kl" | "crosstalk") =>
    kind === "kl" ? { kind, values: [], prompts: 1, samples: 1, tokens: 1 } : { kind, values: [] };
  const evaluate = (
    kind: EvaluateJob["kind"],
    subject: EvaluateJob["subject"],
    needs: string[],
    of: "kl" | "crosstalk",
  ) =>
    ({ kind, key: keyOf("evaluate", count++), label: "", model, needs, subject, measure: measure(of) }) as EvaluateJob;
  const reference = evaluate("reference", { kind: "base" }, [], "crosstalk");
  const jobs: Job[] = [reference];
  for (let index = 0; index < trains; index++)
    jobs.push({
      kind: "train",
      key: keyOf("train", index),
      label: "",
      model,
      needs: [reference.key],
    } as unknown as TrainJob);
  for (let index = 0; index < trains; index++)
    for (const dose of [0.5, null])
      for (const of of ["crosstalk", "kl"] as const)
        jobs.push(
          evaluate(
            "evaluate",
            { kind: "adapter", train: keyOf("train", index), dose },
            [reference.key, keyOf("train", index)],
            of,
          ),
        );
  jobs.push(evaluate("evaluate", { kind: "system", text: "be kind" }, [reference.key], "crosstalk"));
  return jobs;
}

/** Opens gates in the order that BullMQ would; returns every bundle when all before it have ended. */
function walk(gates: readonly Gate[]): string[][] {
  const byId = new Map(gates.map((gate) => [gate.id, gate]));
  const later = new Set(gates.flatMap((gate) => gate.gates));
  const order: string[][] = [];
  const open = (id: string): void => {
    const gate = byId.get(id)!;
    order.push(...gate.after, ...gate.bundles);
    gate.gates.forEach(open);
  };
  for (const { id } of gates) if (!later.has(id)) open(id);
  return order;
}

describe("gates", () => {
  for (const [trains, workers] of [
    [0, 1],
    [1, 1],
    [8, 3],
    [100, 3],
    [100, 60],
    [1000, 20],
  ] as const)
    it(`lead to each of the jobs of ${trains} adapters once, after what it needs, for ${workers} workers`, () => {
      const jobs = makeJobs(trains);
      const byKey = new Map(jobs.map((job) => [job.key, job]));
      const ended = new Set<string>();
      let count = 0;
      const gates = planGates(jobs, workers);
      for (const keys of walk(gates)) {
        assert.ok(keys.length >= 1 && keys.length <= 16);
        for (const key of keys) {
          for (const need of byKey.get(key)!.needs) assert.ok(ended.has(need), `${key} before ${need}`);
          count++;
        }
        for (const key of keys) ended.add(key);
      }
      assert.equal(count, jobs.length);
      assert.equal(ended.size, jobs.length);
      // Enough groups for every worker to have one, where there are enough adapters.
      assert.ok(gates.length - 1 >= Math.min(trains, workers), `${gates.length} gates`);
    });

  it("leave out what is done: adapters that are trained wait for nothing", () => {
    const jobs = makeJobs(4).filter(({ kind }) => kind === "evaluate");
    const gates = planGates(jobs, 1);
    assert.ok(gates.every(({ after }) => after.length === 0));
    assert.equal(walk(gates).flat().length, jobs.length);
  });
});

describe("placement", () => {
  const worker: WorkerMessage = {
    id: "0".repeat(16),
    host: "a",
    pid: 1,
    device: "cpu",
    compute: "float32",
    memoryBytes: 16 * 2 ** 30,
    models: [model.identity],
    lacking: {},
    job: null,
  };
  const small = requirementOf(model, 2 ** 30, { device: "cpu", compute: "float32" });
  const large = requirementOf(model, 30 * 2 ** 30, { device: "cpu", compute: "float32" });

  it("gives no job to a worker with another device, too little memory, or without the model", () => {
    assert.equal(lackOf(worker, small), null);
    assert.match(lackOf(worker, large)!, /^16\.0 GiB of memory, and 36\.5 GiB are needed$/);
    assert.match(lackOf({ ...worker, compute: "bf16" }, small)!, /^cpu with bf16, and cpu is wanted$/);
    assert.match(lackOf({ ...worker, device: "cuda" }, small)!, /^cuda, and cpu is wanted$/);
    assert.match(lackOf({ ...worker, models: [], lacking: { [model.identity]: "no" } }, small)!, /model \(no\)$/);
  });

  it("puts jobs of another memory, device or model into another queue", () => {
    const names = [
      small,
      large,
      requirementOf({ ...model, identity: "cd".repeat(32) }, 2 ** 30, small),
      requirementOf(model, 2 ** 30, { device: "cpu", compute: "bf16" }),
    ].map(({ queue }) => queue);
    assert.equal(new Set(names).size, names.length);
  });

  it("says why nobody takes a job, and nothing where somebody does or may soon", () => {
    assert.equal(describeUnplaced(small, [worker]), null);
    assert.equal(describeUnplaced(large, [worker, { ...worker, memoryBytes: 2 ** 40 }]), null);
    assert.equal(describeUnplaced(small, [{ ...worker, models: [] }]), null);
    assert.equal(
      describeUnplaced(large, [worker, worker, { ...worker, device: "cuda" }]),
      "jobs of tiny wait, and no worker can take them: 2 have 16.0 GiB of memory, and 36.5 GiB are needed; 1 has cuda, and cpu is wanted",
    );
    assert.match(describeUnplaced(small, [])!, /: there is none; start valora worker$/);
  });
});

describe("the address of a queue", () => {
  it("is read from a URL, with name, password, database and TLS, or from the environment", () => {
    assert.deepEqual(parseAddress("rediss://lab:p%40ss@head.lab/3", {}), {
      name: "rediss://head.lab/3",
      host: "head.lab",
      port: 6379,
      db: 3,
      tls: true,
      username: "lab",
      password: "p@ss",
    });
    const environment = { VALORA_QUEUE: "redis://[::1]:7000", VALORA_QUEUE_PASSWORD: "secret" };
    const { host, port, password, name } = parseAddress("env", environment);
    assert.deepEqual([host, port, password, name], ["::1", 7000, "secret", "redis://[::1]:7000"]);
    assert.equal(parseAddress("redis://:own@h", environment).password, "own");
  });

  it("is refused without being repeated", () => {
    for (const text of [
      "http://:secret@h",
      "secret",
      "redis://",
      "redis://:secret@h/db/secret",
      "redis://:secret%zz@h",
    ])
      assert.throws(
        () => parseAddress(text, {}),
        ({ name, message }: Error) => name === "UsageError" && !message.includes("secret"),
      );
    assert.throws(() => parseAddress("env", {}), /VALORA_QUEUE is not set/);
  });
});

/** Stands for SLURM: does each task at once, in its own environment. */
const SBATCH = `#!/bin/bash
array=
for word in "$@"; do
  case $word in
    --array=1-*) array=\${word#--array=1-} ;;
    --export=ALL,*) IFS=, read -ra names <<<"\${word#--export=ALL,}" && export "\${names[@]}" ;;
    --*) ;;
    *) script=$word ;;
  esac
done
echo "$*" >>"$SBATCH_LOG"
if [ -n "$array" ]; then
  for ((task = 1; task <= array; task++)); do SLURM_ARRAY_TASK_ID=$task bash "$script" >&2; done
else
  bash "$script" >&2
fi
wc -l <"$SBATCH_LOG"
`;

describe("valora study --slurm", () => {
  it("writes a script whose arrays do the very same jobs, to the same bytes", async () => {
    await withFolder(async (folder) => {
      writeTinyStudy(folder, (yaml) =>
        yaml.replace("seeds: [1, 2]", "seeds: [1]").replace("[induce, random, system]", "[induce]"),
      );
      const env = labEnvironment({ folder, url: "", lock: 1 });
      const whole = await run(studyWords({ folder }, join(folder, "whole")), { env });
      assert.equal(whole.status, 0, whole.stderr);
      const script = join(folder, "it's a study.sh");
      const output = join(folder, "array");
      const written = await run(studyWords({ folder }, output, "--slurm", script), { env });
      assert.equal(written.status, 0, written.stderr);
      assert.match(written.stderr, /tasks: 3 reference, 2 train, 8 measure\n$/);
      const bin = join(folder, "bin");
      mkdirSync(bin);
      writeFileSync(join(bin, "sbatch"), SBATCH);
      writeFileSync(join(bin, "valora"), `#!/bin/sh\nexec '${process.execPath}' '${join(ROOT, "dist/cli.js")}' "$@"\n`);
      for (const name of ["sbatch", "valora"]) chmodSync(join(bin, name), 0o755);
      const log = join(folder, "log");
      const submitted = spawnSync("bash", [script, "--partition=short"], {
        encoding: "utf8",
        env: { ...process.env, ...env, PATH: `${bin}:${process.env.PATH}`, SBATCH_LOG: log },
      });
      assert.equal(submitted.status, 0, submitted.stderr);
      for (const name of ["items.jsonl", "items.jsonl.manifest.json", "answers.jsonl", "checkpoints.csv"])
        assert.ok(readFileSync(join(output, name)).equals(readFileSync(join(folder, "whole", name))), name);
      // All was done by the arrays; what collects found it.
      assert.match(submitted.stderr, /results in [^\n]+; 0 jobs ran, 21 were done before\n/);
      const calls = readFileSync(log, "utf8").trim().split("\n");
      assert.deepEqual(
        calls.map((call) => /dependency=(\S+)/.exec(call)?.[1]),
        [undefined, "afterany:1", "afterany:2", "afterany:3"],
      );
      assert.ok(calls.every((call) => call.includes("--partition=short")));
    });
  });
});
