/**
 * Takes jobs from BullMQ's queues, one at a time, from whichever of several has one: a process has one model open, so a
 * worker a queue would take more than it can do. Holds the lock of the job in hand, gives up a job whose lock was lost,
 * and puts one back that it was stopped in.
 *
 * A lock that is not renewed runs out; the next check for stalled jobs, by any worker, then puts the job back. So what a
 * lost worker had is done by another, after at most `lockMs` and the time between two checks, which is as long.
 */
import { randomBytes } from "node:crypto";
import type { Job as QueueJob, Worker } from "bullmq";
import { CancelledError, ValoraError } from "../errors.js";
import type { Connection } from "./connection.js";
import { ATTEMPTS } from "./flow.js";
import { PREFIX } from "./messages.js";
import { TransientError } from "./run-bundle.js";

/** Without renewal for so long a worker counts as lost. */
export const LOCK_MS = 30_000;
/** A job whose worker was lost so often is at fault itself: it fills the memory, say. */
const LOST_WORKERS = 8;
/** Between two looks when there is nothing to do; longer and longer. */
const IDLE_MS = { first: 50, last: 1_000 };

export interface Task {
  queue: string;
  /** As it came from Redis. */
  data: unknown;
  /** Aborted where the worker is to stop, or has lost the job to another. */
  signal: AbortSignal;
  lastAttempt: boolean;
  /** Why the job is not to be done any more: its workers were lost again and again. */
  givenUp: string | null;
}

export interface TakerOptions {
  connection: Connection;
  /** Queues to look into, the preferred ones first; asked again and again. */
  queues: () => Promise<readonly string[]>;
  /** Does a job. What it throws is the job's failure; TransientError is tried again. */
  perform: (task: Task) => Promise<void>;
  signal: AbortSignal;
  lockMs?: number | undefined;
  onNote?: ((message: string) => void) | undefined;
}

/** Runs until the signal is aborted. */
export async function takeJobs(options: TakerOptions): Promise<void> {
  await new Taker(options).run();
}

class Taker {
  private readonly id = randomBytes(8).toString("hex");
  private readonly workers = new Map<string, Worker>();
  private readonly lockMs: number;
  private count = 0;

  constructor(private readonly options: TakerOptions) {
    this.lockMs = options.lockMs ?? LOCK_MS;
  }

  async run(): Promise<void> {
    const { signal } = this.options;
    let idle = IDLE_MS.first;
    try {
      while (!signal.aborted) {
        // The server may be away for long, and a command would wait for it.
        const taken = await unlessAborted(this.next(), signal);
        if (taken === null) {
          await pause(idle * (1 + Math.random()), signal);
          idle = Math.min(2 * idle, IDLE_MS.last);
          continue;
        }
        idle = IDLE_MS.first;
        await this.handle(taken.queue, taken.job, taken.token);
      }
    } finally {
      // Forced: what a server that is away does not answer is not waited for.
      for (const worker of this.workers.values()) await unlessAborted(worker.close(true), AbortSignal.timeout(1_000));
    }
  }

  private async next(): Promise<{ queue: string; job: QueueJob; token: string } | null> {
    for (const queue of await this.options.queues()) {
      const token = `${this.id}.${this.count++}`;
      const job = await this.workerOf(queue).getNextJob(token, { block: false });
      if (job !== undefined) return { queue, job, token };
    }
    return null;
  }

  private workerOf(queue: string): Worker {
    let worker = this.workers.get(queue);
    if (worker === undefined) {
      const { bullmq, redis } = this.options.connection;
      worker = new bullmq.Worker(queue, null, {
        connection: redis,
        prefix: PREFIX,
        autorun: false,
        lockDuration: this.lockMs,
        stalledInterval: this.lockMs,
        maxStalledCount: LOST_WORKERS,
        skipVersionCheck: true,
      });
      // Of lost connections, which are made again.
      worker.on("error", () => {});
      void worker.startStalledCheckTimer();
      this.workers.set(queue, worker);
    }
    return worker;
  }

  private async handle(queue: string, job: QueueJob, token: string): Promise<void> {
    const { signal, perform, onNote } = this.options;
    const own = new AbortController();
    const stop = (): void => own.abort(signal.reason);
    signal.addEventListener("abort", stop);
    const release = this.holdLock(job, token, () => own.abort(new CancelledError("the job's lock was lost")));
    const told = describeJob(job);
    try {
      await perform({
        queue,
        data: job.data,
        signal: own.signal,
        lastAttempt: job.attemptsMade + 1 >= (job.opts.attempts ?? ATTEMPTS),
        givenUp: job.deferredFailure
          ? `it was given up: ${LOST_WORKERS + 1} workers were lost while they did it`
          : null,
      });
      release();
      await this.settle(signal, told, () => job.moveToCompleted(null, token, false));
    } catch (error) {
      release();
      if (signal.aborted) await this.settle(AbortSignal.timeout(1_000), told, () => job.moveToWait(token));
      else if (own.signal.aborted) onNote?.(`${told} was lost to another worker: this one did not answer in time`);
      else await this.settle(signal, told, () => job.moveToFailed(this.failureOf(error), token, false));
    } finally {
      release();
      signal.removeEventListener("abort", stop);
    }
  }

  /** Tells Redis how a job ended. Where another worker has the job by now, that one will tell. */
  private async settle(signal: AbortSignal, told: string, tell: () => Promise<unknown>): Promise<void> {
    await unlessAborted(
      tell().catch((error: Error) =>
        this.options.onNote?.(`${told}: the queue did not take its end (${firstLine(error)})`),
      ),
      signal,
    );
  }

  /** One sentence, without the stack: that would tell of this machine. */
  private failureOf(error: unknown): Error {
    const { UnrecoverableError } = this.options.connection.bullmq;
    const message = error instanceof ValoraError ? error.message : `unexpected: ${firstLine(error as Error)}`;
    const failure = error instanceof TransientError ? new Error(message) : new UnrecoverableError(message);
    failure.stack = message;
    return failure;
  }

  private holdLock(job: QueueJob, token: string, onLost: () => void): () => void {
    let asking = false;
    const timer = setInterval(() => {
      // While the server is away nobody else can take the job either; what it says afterwards counts.
      if (asking) return;
      asking = true;
      job
        .extendLock(token, this.lockMs)
        .then((held) => {
          if (!held) onLost();
        })
        .catch(() => {})
        .finally(() => {
          asking = false;
        });
    }, this.lockMs / 3);
    return () => clearInterval(timer);
  }
}

function describeJob({ id }: QueueJob): string {
  return `job ${id?.replace(/^[0-9a-f]{16}\./, "") ?? "without a name"}`;
}

function firstLine(error: Error): string {
  return String(error?.message ?? error).split("\n")[0]!;
}

/** Null as soon as the signal is aborted. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) {
    work.catch(() => {});
    return null;
  }
  let stop = (): void => {};
  const aborted = new Promise<null>((resolve) => {
    stop = () => resolve(null);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
    work.catch(() => {});
  }
}

export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await unlessAborted(
    new Promise<void>((resolve) => {
      setTimeout(resolve, ms);
    }),
    signal,
  );
}
