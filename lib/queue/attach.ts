/**
 * Runs a study through a queue: writes down which jobs are left, puts them in, watches until all have ended, collects. It
 * does no job itself, so it may go at any time; the same command attaches again, and puts in again what the server lost.
 */
import { randomBytes } from "node:crypto";
import type { FlowProducer, Queue } from "bullmq";
import { throwIfAborted } from "../errors.js";
import { collect } from "../study/collect.js";
import type { Job } from "../study/jobs.js";
import { workOf } from "../study/plan.js";
import type { PreparedStudy } from "../study/prepare-study.js";
import { manifestOf, type RunOptions, type StudyResult } from "../study/run.js";
import type { Failure, StudyStore } from "../study/store.js";
import type { Connection } from "./connection.js";
import { openProducer, startFlows } from "./flow.js";
import { planGates } from "./gates.js";
import {
  type EndedMessage,
  endedAt,
  GATES,
  PREFIX,
  type Requirement,
  STUDIES,
  type StudyMessage,
  studyAt,
} from "./messages.js";
import { requirementOf } from "./placement.js";
import { plannedKeys, type QueuePlan, readPlan, removePlan, requirementFor, writePlan } from "./plan-file.js";
import { EndedReader, findUnplaced, readWorkers } from "./status.js";
import { LOCK_MS, pause } from "./taker.js";

export interface QueuedOptions extends Pick<RunOptions, "onProgress" | "onJob" | "onStart"> {
  connection: Connection;
  /** Where the study's folder lies in the shared one. */
  folder: string;
  /** The round that holds the folder. */
  round: string;
  device: Requirement["device"];
  compute: Requirement["compute"];
  signal: AbortSignal;
  lockMs?: number | undefined;
  onNote?: ((message: string) => void) | undefined;
}

/** Between two looks at what has ended. */
const LOOK_MS = 250;
/** A study whose results vanish as they come is not begun over and over. */
const ROUNDS = 3;

/** A round's name. */
export function newRound(): string {
  return randomBytes(8).toString("hex");
}

/** @throws CancelledError where the signal was aborted; the workers go on */
export async function runQueued(
  prepared: PreparedStudy,
  store: StudyStore,
  options: QueuedOptions,
): Promise<StudyResult> {
  const { jobs } = prepared;
  const undone = async (some: readonly Job[]): Promise<Job[]> => {
    const left: Job[] = [];
    for (const job of some) if (!(await store.isDone(job.key))) left.push(job);
    return left;
  };
  const first = await undone(jobs);
  const work = (some: readonly Job[]): number =>
    some.reduce((sum, { key }) => sum + workOf(prepared.costs.get(key)!), 0);
  const total = work(jobs);
  options.onStart?.({ jobs: jobs.length, done: jobs.length - first.length, total, left: work(first) });
  let left = first;
  let { round } = options;
  const failures = new Map<string, string>();
  for (let count = 0; left.length > 0 && count < ROUNDS; count++) {
    const plan = await planOf(prepared, left, store, round, count > 0, options);
    round = plan.round;
    for (const [key, reason] of await new Watch(prepared, store, plan, total - work(left), options).untilEnded(left))
      failures.set(key, reason);
    left = (await undone(left)).filter(({ key }) => !failures.has(key));
  }
  for (const { key } of left) failures.set(key, "its results were not there when it was reported as done");
  await store.forgetParts();
  const collection = await collect(prepared, store, manifestOf(prepared), options.signal);
  if (failures.size === 0) await store.forgetWorking();
  await end(store, options.connection, round);
  const failed = jobs.flatMap(({ key, label }): Failure[] =>
    failures.has(key) ? [{ key, label, reason: failures.get(key)! }] : [],
  );
  return {
    ...collection,
    ran: first.length - failed.length,
    reused: jobs.length - first.length,
    failures: [
      ...prepared.missing.map(({ name, reason }) => ({ key: name, label: `model ${name}`, reason })),
      ...failed,
    ],
  };
}

/** The round that is under way, where it does all that is left; else a new one. */
async function planOf(
  prepared: PreparedStudy,
  left: readonly Job[],
  store: StudyStore,
  round: string,
  anew: boolean,
  { connection, device, compute }: QueuedOptions,
): Promise<QueuePlan> {
  const old = await readPlan(store.folder).catch(() => null);
  if (!anew && old?.round === round) {
    const planned = plannedKeys(old);
    if (left.every(({ key }) => planned.has(key))) return old;
  }
  // Where a round is replaced its jobs find no plan any more, and end.
  const own = old === null && !anew ? round : newRound();
  const identities = new Set(left.map(({ model }) => model.identity));
  const requirements = new Map<string, Requirement>();
  for (const { ref, text } of prepared.models) {
    const weightBytes = text.files.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
    if (identities.has(ref.identity) && !requirements.has(ref.identity))
      requirements.set(ref.identity, requirementOf(ref, weightBytes, { device, compute }));
  }
  const workers = await readWorkers(connection.redis);
  const plan: QueuePlan = {
    round: own,
    requirements: [...requirements.values()],
    gates: new Map(planGates(left, workers.length).map((gate) => [gate.id, gate])),
    jobs: new Map(prepared.jobs.map((job) => [job.key, job])),
    work: new Map([...prepared.costs].map(([key, cost]) => [key, workOf(cost)])),
  };
  await store.forgetFailures();
  await store.renew(own);
  await writePlan(store.folder, plan);
  return plan;
}

async function end(store: StudyStore, { redis }: Connection, round: string): Promise<void> {
  await removePlan(store.folder);
  await store.release();
  await redis.multi().srem(STUDIES, round).del(studyAt(round), endedAt(round)).exec();
}

/** Watches one round. */
class Watch {
  private readonly ended = new Map<string, EndedMessage>();
  private readonly said = new Set<string>();
  private readonly queues = new Map<string, Queue>();
  private readonly jobs: Map<string, Job>;
  private readonly producer: FlowProducer;

  constructor(
    prepared: PreparedStudy,
    private readonly store: StudyStore,
    private readonly plan: QueuePlan,
    /** Work that was done before. */
    private readonly before: number,
    private readonly options: QueuedOptions,
  ) {
    this.jobs = new Map(prepared.jobs.map((job) => [job.key, job]));
    this.producer = openProducer(options.connection);
  }

  /** Returns why jobs failed, by key. */
  async untilEnded(left: readonly Job[]): Promise<Map<string, string>> {
    const { connection, signal, lockMs = LOCK_MS } = this.options;
    const reader = new EndedReader(connection.redis, this.plan.round);
    const wanted = new Set(left.map(({ key }) => key));
    let connected = connection.redis.status === "ready";
    await this.start();
    let movedAt = performance.now();
    let checkedAt = Number.NEGATIVE_INFINITY;
    while (wanted.size > 0) {
      throwIfAborted(signal);
      // Commands would wait for a server that is away, and Ctrl-C would wait with them.
      const ready = connection.redis.status === "ready";
      if (ready && !connected) await this.start();
      connected = ready;
      if (ready) {
        for (const message of await reader.next()) {
          this.take(message);
          if (wanted.delete(message.key)) movedAt = performance.now();
        }
        const now = performance.now();
        if (now - checkedAt > lockMs / 6) {
          checkedAt = now;
          await this.report();
        }
        if (now - movedAt > 2 * lockMs) {
          movedAt = now;
          await this.reconcile(wanted);
        }
      }
      await pause(LOOK_MS, signal);
    }
    for (const one of [...this.queues.values(), this.producer]) await one.close();
    return new Map([...this.ended.values()].flatMap(({ key, failure }) => (failure === null ? [] : [[key, failure]])));
  }

  /** Puts the study in, or what of it the server has lost. */
  private async start(): Promise<void> {
    const { connection, folder } = this.options;
    const { round, requirements } = this.plan;
    const message: StudyMessage = { round, folder, requirements };
    await connection.redis.multi().set(studyAt(round), JSON.stringify(message)).sadd(STUDIES, round).exec();
    await startFlows(this.producer, { plan: this.plan, folder });
  }

  private take(message: EndedMessage): void {
    const job = this.jobs.get(message.key);
    if (job === undefined || this.ended.has(message.key)) return;
    this.ended.set(message.key, message);
    this.options.onJob?.(job, message.failure);
  }

  private async report(): Promise<void> {
    const { connection, onProgress, onNote } = this.options;
    const workers = await readWorkers(connection.redis);
    const done = [...this.ended.keys()].reduce((sum, key) => sum + (this.plan.work.get(key) ?? 0), this.before);
    const busy = workers.filter(({ job }) => job !== null).length;
    onProgress?.(done, `${this.ended.size} jobs by ${workers.length} workers, ${busy} busy`);
    for (const sentence of await findUnplaced(this.plan, workers, (name) => this.queueOf(name))) {
      if (this.said.has(sentence)) continue;
      this.said.add(sentence);
      onNote?.(sentence);
    }
  }

  /** When nothing has moved for long: gates that failed are tried again, jobs that failed without a word are put aside. */
  private async reconcile(wanted: ReadonlySet<string>): Promise<void> {
    await this.start();
    const { round, gates } = this.plan;
    for (const { id } of gates.values()) {
      const job = await this.queueOf(GATES).getJob(`${round}.${id}`);
      if (job !== undefined && (await job.isFailed())) await job.retry("failed");
    }
    for (const keys of [...gates.values()].flatMap(({ after, bundles }) => [...after, ...bundles])) {
      const waiting = keys.filter((key) => wanted.has(key));
      const first = this.plan.jobs.get(keys[0]!);
      if (waiting.length === 0 || first === undefined) continue;
      const job = await this.queueOf(requirementFor(this.plan, first).queue).getJob(`${round}.${keys[0]}`);
      if (job === undefined || !(await job.isFailed())) continue;
      for (const key of waiting) await this.putAside(this.plan.jobs.get(key)!, job.failedReason);
    }
  }

  private async putAside(job: Job, reason: string): Promise<void> {
    await this.store.fail(job, reason);
    const message: EndedMessage = { key: job.key, failure: reason.slice(0, 1000), worker: "", time: Date.now() / 1000 };
    await this.options.connection.redis.rpush(endedAt(this.plan.round), JSON.stringify(message));
  }

  private queueOf(name: string): Queue {
    let queue = this.queues.get(name);
    if (queue === undefined) {
      const { bullmq, redis } = this.options.connection;
      queue = new bullmq.Queue(name, { connection: redis, prefix: PREFIX, skipVersionCheck: true });
      queue.on("error", () => {});
      this.queues.set(name, queue);
    }
    return queue;
  }
}
