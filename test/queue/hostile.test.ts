/**
 * Whoever can write to the queue: a job that names other folders, follows links out of the study's, or is no job at all is
 * refused in a sentence, nothing outside is touched, and the worker goes on. And the queue's password: nowhere to be found.
 *
 * Seen failing: without each of the checks in lib/queue/shared-folder.ts, and with the URL in a message.
 */
import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parseAddress } from "#lib/queue/address.js";
import { type Connection, connect } from "#lib/queue/connection.js";
import { GATES, PREFIX } from "#lib/queue/messages.js";
import { type QueuePlan, readPlan, writePlan } from "#lib/queue/plan-file.js";
import type { EvaluateJob, Job } from "#lib/study/jobs.js";
import { assertRefused, type Running, run, start, until } from "../cli/program.js";
import { writeTinyStudy } from "../study/support.js";
import {
  announceSkips,
  endAll,
  type Lab,
  labEnvironment,
  type RedisServer,
  startRedis,
  startStudy,
  startWorker,
  studyWords,
  wait,
  withoutRedis,
} from "./support.js";

const SECRET = "Tr0ub4dor-and-3";
const SMALL = (yaml: string): string =>
  yaml.replace("seeds: [1, 2]", "seeds: [1]").replace("[induce, random, system]", "[induce]");

announceSkips(3);

/** Every file below a folder, with its bytes. */
function contentOf(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) {
      const path = join(entry.parentPath, entry.name);
      found.set(path, readFileSync(path, "latin1"));
    }
  return found;
}

describe("a worker that is told to do what it should not", { skip: withoutRedis }, () => {
  let folder: string;
  let outside: string;
  let redis: RedisServer;
  let lab: Lab;
  let worker: Running;
  let connection: Connection;
  let plan: QueuePlan;
  let queue: string;
  let count = 0;

  before(async () => {
    if (withoutRedis !== false) return;
    folder = mkdtempSync(join(tmpdir(), "valora-test-"));
    outside = mkdtempSync(join(tmpdir(), "valora-outside-"));
    writeTinyStudy(folder, SMALL);
    redis = await startRedis(folder);
    lab = { folder, url: redis.url, lock: 10 };
    const study = startStudy(lab, join(folder, "out"));
    await until("the study is in the queue", () => study.stderr().includes("there is none; start valora worker"));
    study.child.kill("SIGINT");
    await study.ended;
    // For the variants, before anything is done in it.
    cpSync(join(folder, "out"), join(folder, "seed"), { recursive: true });
    plan = await readPlan(join(folder, "seed"));
    queue = plan.requirements[0]!.queue;
    cpSync(join(folder, "out", "data"), join(outside, "data"), { recursive: true });
    cpSync(join(folder, "model"), join(outside, "model"), { recursive: true });
    worker = startWorker(lab);
    connection = await connect(parseAddress(redis.url));
  });
  after(async () => {
    connection?.close();
    if (worker !== undefined) await endAll([worker]);
    await redis?.stop();
    for (const path of [folder, outside]) if (path !== undefined) rmSync(path, { recursive: true, force: true });
  });

  /** Puts a description of a job into a queue; returns what it failed with. */
  async function refusal(into: string, data: unknown): Promise<string> {
    const { bullmq, redis: client } = connection;
    const direct = new bullmq.Queue(into, { connection: client, prefix: PREFIX });
    const job = await direct.add("jobs", data, { jobId: `hostile-${count++}`, attempts: 1 });
    for (const started = performance.now(); !(await job.isFailed()); ) {
      assert.ok(!(await job.isCompleted()), `done: ${JSON.stringify(data)}`);
      assert.ok(performance.now() - started < 60_000, `never failed: ${JSON.stringify(data)}\n${worker.stderr()}`);
      await wait(50);
    }
    const failed = await direct.getJob(job.id!);
    return failed!.failedReason;
  }

  const references = (): EvaluateJob[] =>
    [...plan.jobs.values()].filter((job): job is EvaluateJob => job.kind === "reference");
  const crosstalk = (): EvaluateJob => references().find(({ measure }) => measure.kind === "crosstalk")!;
  const suite = (): EvaluateJob => references().find(({ measure }) => measure.kind === "suite")!;

  /** A study's folder whose plan says something else of a job. */
  async function variant(name: string, job: Job, prepare: (path: string) => void = () => {}) {
    const path = join(folder, name);
    cpSync(join(folder, "seed"), path, { recursive: true });
    await writePlan(path, { ...plan, jobs: new Map([[job.key, job]]) });
    prepare(path);
    return { round: plan.round, folder: name, keys: [job.key] };
  }

  it("refuses it in one sentence, touches nothing outside, and does the study that is one", async () => {
    const untouched = contentOf(outside);
    const { key } = crosstalk();
    const { round } = plan;
    symlinkSync(outside, join(folder, "link"));

    for (const data of [
      { round, folder: "out", keys: ["train-../../../etc/cron.d"] },
      { round, folder: "out", keys: [] },
      { round, folder: "out", keys: [key], code: "process.exit(1)" },
      { round: "../x", folder: "out", keys: [key] },
      "out",
    ])
      assert.match(await refusal(queue, data), /^the queue's description of a job is none: [^\n]+$/);
    for (const path of ["../outside", outside, "out/../../x", "link/..", "C:\\..\\x"])
      assert.match(
        await refusal(queue, { round, folder: path, keys: [key] }),
        /is no path within the shared folder|cannot be read/,
      );
    assert.match(await refusal(queue, { round, folder: "link", keys: [key] }), /leads out of the shared folder/);
    assert.match(await refusal(GATES, { round, folder: "link", gate: "model-0" }), /leads out of the shared folder/);
    assert.match(await refusal(GATES, { round, folder: "out", gate: "model-7" }), /the plan has no gate model-7/);
    assert.match(
      await refusal(queue, { round: "f".repeat(16), folder: "out", keys: [key] }),
      /a round of the study that is over/,
    );
    assert.match(
      await refusal(queue, { round, folder: "out", keys: [`train-${"0".repeat(20)}`] }),
      /^the plan has no job train-0+$/,
    );
    for (const name of ["jobs", "working", "parts"]) {
      const data = await variant(`linked-${name}`, crosstalk(), (path) => {
        rmSync(join(path, name), { recursive: true, force: true });
        symlinkSync(outside, join(path, name));
      });
      assert.match(await refusal(queue, data), /is no folder of its own/);
    }

    const pairsAt = (path: string): Job => {
      const job = structuredClone(crosstalk());
      if (job.measure.kind === "crosstalk") job.measure.values[0]!.pairs.path = path;
      return job;
    };
    for (const [index, path] of [`${outside}/data/induce/kind.jsonl`, "../link/data/induce/kind.jsonl"].entries())
      assert.match(
        await refusal(queue, await variant(`pairs-${index}`, pairsAt(path))),
        /leads out of the study's folder/,
      );
    const linked = await variant("pairs-linked", pairsAt("data/stolen.jsonl"), (path) =>
      symlinkSync(join(outside, "data/induce/kind.jsonl"), join(path, "data/stolen.jsonl")),
    );
    assert.match(await refusal(queue, linked), /leads out of the study's folder/);
    const changed = await variant("pairs-changed", crosstalk(), (path) =>
      writeFileSync(join(path, "data/held-out/kind.jsonl"), "{}\n"),
    );
    assert.match(await refusal(queue, changed), /has other bytes than the study was planned with/);
    const elsewhere = { ...crosstalk(), model: { ...crosstalk().model, model: join(outside, "model") } };
    assert.match(
      await refusal(queue, await variant("model", elsewhere)),
      /lies in no folder that this worker may read/,
    );
    const secret = structuredClone(suite());
    if (secret.measure.kind === "suite") secret.measure.suite = "perplexity:file=/etc/hostname";
    assert.match(await refusal(queue, await variant("suite", secret)), /lies in no folder that this worker may read/);

    const asking = structuredClone(suite());
    if (asking.measure.kind === "suite") asking.measure.api = { url: "http://127.0.0.1:9/v1", model: "any" };
    assert.match(await refusal(queue, await variant("api", asking)), /asks http:[^ ]+; set VALORA_API_URL to it/);

    // As BullMQ marks a job whose workers were lost again and again.
    const doomed = await variant("doomed", crosstalk());
    const direct = new connection.bullmq.Queue(queue, { connection: connection.redis, prefix: PREFIX });
    await direct.pause();
    const job = await direct.add("jobs", doomed, { jobId: "doomed" });
    await connection.redis.hset(direct.toKey("doomed"), "defa", "job stalled more than allowable limit");
    await direct.resume();
    await until("it is given up", () => worker.child.exitCode === null && existsSync(join(folder, "doomed/failures")));
    while (!(await job.isFailed())) await wait(20);
    assert.match(readFileSync(join(folder, "doomed/failures", `${key}.json`), "utf8"), /given up: 9 workers were lost/);

    assert.deepEqual(contentOf(outside), untouched);
    const study = await startStudy(lab, join(folder, "out")).ended;
    assert.equal(study.status, 0, study.stderr);
    assert.equal(worker.child.exitCode, null, worker.stderr());
  });
});

describe("the password of the queue", { skip: withoutRedis }, () => {
  it("lets the study run, and is in no file, no message and nothing that the server keeps", async () => {
    const folder = mkdtempSync(join(tmpdir(), "valora-test-"));
    const redis = await startRedis(folder, "--requirepass", SECRET);
    const lab: Lab = { folder, url: "env", lock: 10 };
    writeTinyStudy(folder, SMALL);
    const url = redis.url.replace("://", `://:${SECRET}@`);
    const secretive = { env: { ...labEnvironment(lab), VALORA_QUEUE: url } };
    const words = ["--shared", folder, "--threads", "1"];
    const worker = start(["worker", "--queue", "env", ...words, "--json-logs"], secretive);
    try {
      const study = await start(
        studyWords(lab, join(folder, "out"), "--queue", "env", "--shared", folder, "--debug"),
        secretive,
      ).ended;
      assert.equal(study.status, 0, study.stderr);
      worker.child.kill("SIGINT");
      const outcomes = [study, await worker.ended];
      for (const wrong of [url.replace("3@", "4@"), redis.url, url.replace(/\d+$/, "1"), `redis://:${SECRET}@/x/y`]) {
        const refused = await run(["worker", "--queue", wrong, ...words], secretive);
        assertRefused(refused, wrong.endsWith("y") ? 2 : 1, wrong.endsWith("y") ? "no address" : "cannot be used");
        outcomes.push(refused);
      }
      for (const { stdout, stderr } of outcomes) assert.ok(!`${stdout}${stderr}`.includes(SECRET.slice(0, -1)), stderr);
      const kept = contentOf(folder);
      assert.ok(
        [...kept.keys()].some((path) => path.endsWith(".aof")),
        "the server wrote down what it was told",
      );
      for (const [path, content] of kept) assert.ok(!content.includes(SECRET.slice(0, -1)), path);
    } finally {
      await endAll([worker]);
      await redis.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("a job that fails", { skip: withoutRedis }, () => {
  it("is put aside with its reason as in one process, and tried again by the same command", async () => {
    const folder = mkdtempSync(join(tmpdir(), "valora-test-"));
    const redis = await startRedis(folder);
    const lab: Lab = { folder, url: redis.url, lock: 10 };
    const { data } = writeTinyStudy(folder, SMALL);
    const path = join(data, "bold.train.jsonl");
    const pairs = readFileSync(path, "utf8");
    writeFileSync(path, pairs.replace('"chosen":"bold', '"chosen_tokens":[99999],"chosen":"bold'));
    const worker = startWorker(lab);
    mkdirSync(join(folder, "cache"));
    try {
      const alone = await run(studyWords(lab, join(folder, "alone")), { env: labEnvironment(lab) });
      assert.equal(alone.status, 1, alone.stderr);
      const queued = await startStudy(lab, join(folder, "queued")).ended;
      assert.equal(queued.status, 1, queued.stderr);
      assert.match(
        queued.stderr,
        /\nvalora study: 9 jobs failed, the first tiny: bold\/induce\/seed-1: pair "bold:train:0"/,
      );
      for (const name of [
        "items.jsonl",
        ...readdirSync(join(folder, "alone", "failures")).map((key) => `failures/${key}`),
      ])
        assert.equal(
          readFileSync(join(folder, "queued", name), "utf8"),
          readFileSync(join(folder, "alone", name), "utf8"),
        );
      writeFileSync(path, pairs);
      const mended = await startStudy(lab, join(folder, "queued")).ended;
      assert.equal(mended.status, 0, mended.stderr);
      assert.match(mended.stderr, /9 jobs ran/);
    } finally {
      await endAll([worker]);
      await redis.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
