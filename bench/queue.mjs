/**
 * What the queue itself costs: 10,000 jobs that do nothing, put in as the flows of a study and taken by several processes.
 *
 *     node bench/queue.mjs [--jobs 10000] [--workers 1,3]
 *
 * Needs redis-server on the path, which it starts on a free port with an append-only file, as a lab would.
 */
import { fork, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { parseAddress } from "../dist/queue/address.js";
import { connect } from "../dist/queue/connection.js";
import { openGate, openProducer, startFlows } from "../dist/queue/flow.js";
import { planGates } from "../dist/queue/gates.js";
import { endedAt, GATES } from "../dist/queue/messages.js";
import { requirementOf } from "../dist/queue/placement.js";
import { takeJobs } from "../dist/queue/taker.js";

const COLUMNS = [
  "jobs  ",
  "workers",
  "put in, s",
  "done, s",
  "jobs/s",
  "worker CPU, ms/job",
  "Redis CPU, ms/job",
  "Redis, MB",
];
const ROUND = "0".repeat(16);
const model = { name: "stub", model: "stub", identity: "0".repeat(64) };

if (process.argv[2] === "worker") await work(process.argv[3], JSON.parse(process.argv[4]));
else await main();

async function main() {
  const { values } = parseArgs({
    options: { jobs: { type: "string", default: "10000" }, workers: { type: "string", default: "1,3" } },
  });
  const jobs = Number(values.jobs);
  console.log(COLUMNS.join("  "));
  for (const workers of values.workers.split(",").map(Number)) {
    const folder = mkdtempSync(join(tmpdir(), "valora-bench-"));
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    const words = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes"];
    const redis = spawn("redis-server", words.map(String), { stdio: "ignore" });
    try {
      await measure(`redis://127.0.0.1:${port}`, jobs, workers);
    } finally {
      redis.kill("SIGKILL");
      await new Promise((resolve) => redis.once("exit", resolve));
      rmSync(folder, { recursive: true });
    }
  }
}

/** One reference, and training jobs in groups; what a gate releases is put in by whoever takes it, as in a study. */
function stubPlan(count) {
  const key = (kind, index) => `${kind}-${index.toString(16).padStart(20, "0")}`;
  const jobs = [
    {
      key: key("evaluate", 0),
      kind: "reference",
      model,
      needs: [],
      subject: { kind: "base" },
      measure: { kind: "kl" },
    },
  ];
  for (let index = 1; index < count; index++) jobs.push({ key: key("train", index), kind: "train", model, needs: [] });
  return {
    round: ROUND,
    requirements: [requirementOf(model, 0, { device: "cpu", compute: "float32" })],
    gates: new Map(planGates(jobs, 100).map((gate) => [gate.id, gate])),
    jobs: new Map(jobs.map((job) => [job.key, job])),
    work: new Map(),
  };
}

async function measure(url, count, workers) {
  const connection = await connectWhenThere(url);
  const place = { plan: stubPlan(count), folder: "stub" };
  const producer = openProducer(connection);
  const [{ queue }] = place.plan.requirements;
  let started = performance.now();
  await startFlows(producer, place);
  for (const id of place.plan.gates.keys()) await openGate(producer, place, id);
  const put = (performance.now() - started) / 1000;
  const children = Array.from({ length: workers }, () =>
    fork(fileURLToPath(import.meta.url), ["worker", url, JSON.stringify([GATES, queue])]),
  );
  await Promise.all(children.map((child) => new Promise((resolve) => child.once("message", resolve))));
  started = performance.now();
  const redisBefore = await redisSeconds(connection);
  for (const child of children) child.send("start");
  while ((await connection.redis.llen(endedAt(ROUND))) < count) await new Promise((resolve) => setTimeout(resolve, 20));
  const seconds = (performance.now() - started) / 1000;
  const redisCpu = (await redisSeconds(connection)) - redisBefore;
  const megabytes = Number(/used_memory_peak:(\d+)/.exec(await connection.redis.info("memory"))[1]) / 1e6;
  let cpu = 0;
  for (const child of children) {
    child.send("stop");
    cpu += await new Promise((resolve) => child.once("message", resolve));
    child.kill("SIGKILL");
  }
  connection.close();
  const perJob = (total) => ((1000 * total) / count).toFixed(2);
  const row = [count, workers, put.toFixed(2), seconds.toFixed(2), Math.round(count / seconds), perJob(cpu)];
  const cells = [...row, perJob(redisCpu), megabytes.toFixed(0)];
  console.log(cells.map((cell, at) => String(cell).padEnd(COLUMNS[at].length)).join("  "));
}

async function redisSeconds({ redis }) {
  const info = await redis.info("cpu");
  const of = (name) => Number(new RegExp(`^${name}:(.*)`, "m").exec(info)[1]);
  return of("used_cpu_user") + of("used_cpu_sys");
}

async function connectWhenThere(url) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await connect(parseAddress(url));
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Takes jobs as `valora worker` does, tells their end as it does, and does nothing. */
async function work(url, queues) {
  const connection = await connect(parseAddress(url));
  process.send("ready");
  await new Promise((resolve) => process.once("message", resolve));
  const before = process.cpuUsage();
  process.once("message", () => {
    const { user, system } = process.cpuUsage(before);
    process.send((user + system) / 1e6);
  });
  await takeJobs({
    connection,
    signal: new AbortController().signal,
    queues: async () => queues,
    perform: async ({ queue, data }) => {
      if (queue === GATES) return;
      for (const key of data.keys) {
        const message = { key, failure: null, worker: "bench", time: Date.now() / 1000 };
        await connection.redis
          .multi()
          .rpush(endedAt(ROUND), JSON.stringify(message))
          .expire(endedAt(ROUND), 3600)
          .exec();
      }
    },
  });
}
