/**
 * `valora worker`: does jobs of all studies of a queue that it can do, until it is stopped. It says every few seconds what
 * it has (device, memory, models), and looks only into queues whose jobs that is enough for.
 */
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { FlowProducer } from "bullmq";
import type { z } from "zod";
import type { Model } from "../engine/model.js";
import { DataFormatError, FileError, UsageError, ValoraError } from "../errors.js";
import { describeIssue } from "../files/describe-issue.js";
import type { ModelRef } from "../study/jobs.js";
import { StudyStore } from "../study/store.js";
import type { Connection } from "./connection.js";
import { openGate, openProducer } from "./flow.js";
import {
  bundleSchema,
  type EndedMessage,
  endedAt,
  GATES,
  gateSchema,
  type Requirement,
  STUDIES,
  type StudyMessage,
  studyAt,
  studySchema,
  WORKERS,
  type WorkerMessage,
  workerAt,
} from "./messages.js";
import { ModelsHere } from "./models-here.js";
import { lackOf } from "./placement.js";
import { type QueuePlan, readPlan, requirementFor } from "./plan-file.js";
import { runKeys, TransientError } from "./run-bundle.js";
import { studyFolder } from "./shared-folder.js";
import { LOCK_MS, type Task, takeJobs } from "./taker.js";

export interface WorkerOptions {
  connection: Connection;
  /** The shared folder, as this machine sees it. */
  root: string;
  device: Requirement["device"];
  compute: Requirement["compute"];
  memoryBytes: number;
  openModel: (model: ModelRef) => Promise<Model>;
  /** The endpoint that graders may ask; none where it is left out. */
  apiUrl?: string | undefined;
  signal: AbortSignal;
  lockMs?: number | undefined;
  /** Told of every job that ends here. */
  onJob?: ((label: string, failure: string | null, seconds: number) => void) | undefined;
  onNote?: ((message: string) => void) | undefined;
}

/** Between two looks at which studies there are. */
const REFRESH_MS = 1_000;
/** What ended is told to whoever attaches to the study so much later. */
const ENDED_SECONDS = 30 * 24 * 3600;

/** Runs until the signal is aborted. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const worker = new QueueWorker(options);
  try {
    await worker.run();
  } finally {
    await worker.close();
  }
}

class QueueWorker {
  private readonly offer: WorkerMessage;
  private readonly producer: FlowProducer;
  private readonly models: ModelsHere;
  private requirements: Requirement[] = [];
  private refreshedAt = Number.NEGATIVE_INFINITY;
  private readonly complained = new Set<string>();
  private readonly plans = new Map<string, { plan: QueuePlan; changed: number }>();
  private beat: NodeJS.Timeout | undefined;

  constructor(private readonly options: WorkerOptions) {
    const { device, compute, memoryBytes, connection } = options;
    this.producer = openProducer(connection);
    this.models = new ModelsHere(options.root, options.openModel, (sentence) => this.complain(sentence));
    this.offer = {
      id: randomBytes(8).toString("hex"),
      host: hostname(),
      pid: process.pid,
      device,
      compute,
      memoryBytes,
      models: this.models.found,
      lacking: this.models.lacking,
      job: null,
    };
  }

  private get lockMs(): number {
    return this.options.lockMs ?? LOCK_MS;
  }

  async run(): Promise<void> {
    const { connection, signal, onNote } = this.options;
    this.beat = setInterval(() => void this.announce(), this.lockMs / 6);
    await this.announce();
    await takeJobs({
      connection,
      signal,
      lockMs: this.lockMs,
      onNote,
      queues: () => this.queues(),
      perform: (task) => this.perform(task),
    });
  }

  async close(): Promise<void> {
    clearInterval(this.beat);
    const { redis } = this.options.connection;
    if (redis.status === "ready") await redis.multi().del(workerAt(this.offer.id)).srem(WORKERS, this.offer.id).exec();
    await this.models.dispose();
  }

  /** Left out while the server is away: it would be told late what is long past. */
  private async announce(): Promise<void> {
    const { redis } = this.options.connection;
    if (redis.status !== "ready") return;
    const { id } = this.offer;
    await redis
      .multi()
      .sadd(WORKERS, id)
      .set(workerAt(id), JSON.stringify(this.offer), "PX", Math.round(this.lockMs / 2))
      .exec()
      .catch(() => {});
  }

  /** Gates, then the queue whose model is open, then the others that this worker is good for. */
  private async queues(): Promise<string[]> {
    if (performance.now() - this.refreshedAt >= REFRESH_MS) {
      await this.refresh();
      this.refreshedAt = performance.now();
    }
    const able = this.requirements.filter((requirement) => lackOf(this.offer, requirement) === null);
    const isOpen = ({ model }: Requirement): boolean => this.models.isOpen(model);
    // Who sees no study's folder cannot look up what comes next either.
    if (this.requirements.length === 0) return [];
    return [GATES, ...[...able.filter(isOpen), ...able.filter((one) => !isOpen(one))].map(({ queue }) => queue)];
  }

  private async refresh(): Promise<void> {
    const { redis } = this.options.connection;
    const rounds = (await redis.smembers(STUDIES)).filter((round) => gateSchema.shape.round.safeParse(round).success);
    const found = new Map<string, Requirement>();
    for (const text of rounds.length === 0 ? [] : await redis.mget(rounds.map(studyAt))) {
      if (text === null) continue;
      const study = this.parse(studySchema, text, "a study");
      if (study === null || !(await this.sees(study))) continue;
      for (const requirement of study.requirements) found.set(requirement.queue, requirement);
    }
    this.requirements = [...found.values()];
    for (const { model } of this.requirements) if (await this.models.look(model)) await this.announce();
  }

  /** Whether a study's folder is where it should be on this machine. */
  private async sees({ folder, requirements }: StudyMessage): Promise<boolean> {
    const { root } = this.options;
    const reason = await studyFolder(root, folder).then(
      () => null,
      (error: Error) => error.message,
    );
    if (reason === null) return true;
    for (const { model } of requirements) this.offer.lacking[model.identity] ??= reason;
    this.complain(`a study is left to others: ${reason}; is --shared ${root} the folder that all machines see?`);
    return false;
  }

  /** Null for what is not what it should be: said once, and passed over. */
  private parse<T>(schema: z.ZodType<T>, text: string, what: string): T | null {
    let reason: string;
    try {
      const parsed = schema.safeParse(JSON.parse(text));
      if (parsed.success) return parsed.data;
      reason = describeIssue(parsed.error);
    } catch {
      reason = "it is no JSON";
    }
    this.complain(`the queue describes ${what} in a way that is passed over: ${reason}`);
    return null;
  }

  private complain(sentence: string): void {
    if (this.complained.has(sentence)) return;
    this.complained.add(sentence);
    this.options.onNote?.(sentence);
  }

  private async perform(task: Task): Promise<void> {
    if (task.queue === GATES) return this.performGate(task);
    const { round, folder, keys } = check(bundleSchema, task.data);
    const { root, apiUrl = null, onJob } = this.options;
    const { study, plan } = await this.findPlan(folder, round);
    for (const key of keys) {
      const job = plan.jobs.get(key);
      // A job that was put into another queue would run where it does not fit.
      if (job !== undefined && requirementFor(plan, job).queue !== task.queue)
        throw new DataFormatError(`${key} stands in the queue ${task.queue} and belongs into another`);
    }
    const store = StudyStore.join(study);
    if (task.givenUp !== null) {
      for (const key of keys) {
        const job = plan.jobs.get(key);
        if (job === undefined) continue;
        await store.fail(job, task.givenUp);
        await this.end(round, { key, failure: task.givenUp });
      }
      throw new UsageError(task.givenUp);
    }
    let since = performance.now();
    let firstFailure: string | null = null;
    try {
      const failed = await runKeys({
        plan,
        keys,
        store,
        readable: [root],
        openModel: (model) => this.models.open(model),
        openJudge: (model) => this.models.openBeside(model),
        apiUrl,
        signal: task.signal,
        lastAttempt: task.lastAttempt,
        onProgress: (label, share, detail) => {
          this.offer.job = `${label}, ${Math.floor(100 * share)} %, ${detail}`.slice(0, 200);
        },
        onEnd: async ({ key, label }, failure) => {
          firstFailure ??= failure;
          const seconds = (performance.now() - since) / 1000;
          since = performance.now();
          await this.end(round, { key, failure });
          onJob?.(label, failure, seconds);
        },
      });
      if (failed > 0)
        throw new UsageError(failed === 1 ? firstFailure! : `${failed} jobs failed, the first: ${firstFailure}`);
    } finally {
      this.offer.job = null;
    }
  }

  private async performGate(task: Task): Promise<void> {
    const { round, folder, gate } = check(gateSchema, task.data);
    const { plan } = await this.findPlan(folder, round);
    try {
      await openGate(this.producer, { plan, folder }, gate);
    } catch (error) {
      if (error instanceof ValoraError) throw error;
      throw new TransientError(`the queue did not take what comes next: ${(error as Error).message}`, { cause: error });
    }
  }

  private async end(round: string, { key, failure }: Pick<EndedMessage, "key" | "failure">): Promise<void> {
    const worker = `${this.offer.host} ${this.offer.pid}`;
    const message: EndedMessage = { key, failure: failure?.slice(0, 1000) ?? null, worker, time: Date.now() / 1000 };
    await this.options.connection.redis
      .multi()
      .rpush(endedAt(round), JSON.stringify(message))
      .expire(endedAt(round), ENDED_SECONDS)
      .exec();
  }

  /**
   * @throws UsageError where the folder leads out of the shared one
   * @throws TransientError where it or its plan is not there: here, or not yet
   */
  private async findPlan(folder: string, round: string): Promise<{ study: string; plan: QueuePlan }> {
    try {
      const study = await studyFolder(this.options.root, folder);
      return { study, plan: await this.planOf(study, round) };
    } catch (error) {
      if (error instanceof FileError || error instanceof DataFormatError)
        throw new TransientError(error.message, { cause: error });
      throw error;
    }
  }

  /** Read again where the file has changed. @throws DataFormatError where it is of another round */
  private async planOf(study: string, round: string): Promise<QueuePlan> {
    const changed = await stat(join(study, "queue.jsonl")).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    );
    let known = this.plans.get(study);
    if (known?.plan.round !== round || known.changed !== changed) {
      known = { plan: await readPlan(study), changed };
      this.plans.set(study, known);
    }
    if (known.plan.round === round) return known.plan;
    throw new DataFormatError("the job is of a round of the study that is over");
  }
}

function check<T>(schema: z.ZodType<T>, data: unknown): T {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new DataFormatError(`the queue's description of a job is none: ${describeIssue(parsed.error)}`);
}
