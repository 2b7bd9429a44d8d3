/**
 * Runs a study in this process: one model at a time, its reference, its training jobs, then what measures them, many
 * adapters in one pass. A job that fails is put aside with its reason, and so is what needs it; the rest goes on.
 */
import type { Model } from "../engine/model.js";
import { throwIfAborted, ValoraError } from "../errors.js";
import type { Manifest } from "../files/manifest.js";
import { VERSION } from "../files/version.js";
import { type Collection, collect } from "./collect.js";
import type { Job, ModelRef } from "./jobs.js";
import { workOf } from "./plan.js";
import type { PreparedStudy } from "./prepare-study.js";
import { bundleJobs, reasonOf, runBundle } from "./run-job.js";
import type { JobTools } from "./run-train.js";
import type { Failure, StudyStore } from "./store.js";

export interface RunOptions {
  openModel: (model: ModelRef) => Promise<Model>;
  signal?: AbortSignal | undefined;
  /** @param done work of `total`, in tokens of training */
  onProgress?: ((done: number, detail: string) => void) | undefined;
  /** Told of every job that ends. */
  onJob?: ((job: Job, failure: string | null) => void) | undefined;
  /** Told once, before the first job: jobs in all and done before, work in all and left. */
  onStart?: ((start: { jobs: number; done: number; total: number; left: number }) => void) | undefined;
}

export interface StudyResult extends Collection {
  /** Jobs that ran. */
  ran: number;
  /** Jobs that an earlier run had done. */
  reused: number;
  failures: Failure[];
}

/** @throws CancelledError where the signal was aborted; what was done stays */
export async function runStudy(prepared: PreparedStudy, store: StudyStore, options: RunOptions): Promise<StudyResult> {
  await store.forgetFailures();
  const runner = new Runner(prepared, store, options);
  await runner.runAll();
  await store.forgetParts();
  const collection = await collect(prepared, store, manifestOf(prepared), options.signal);
  return { ...collection, ...runner.summary() };
}

/** What the results as a whole depend on. */
export function manifestOf({ file, models, jobs }: PreparedStudy): Manifest {
  return {
    command: "study",
    options: { study: { ...file.study, data: undefined }, jobs: jobs.map(({ key }) => key) },
    versions: { valora: VERSION, node: process.versions.node },
    sha256: Object.fromEntries(models.map(({ ref }) => [`model ${ref.name}`, ref.identity])),
  };
}

/** A job whose need has failed. */
export class NeedFailed extends ValoraError {
  constructor(label: string) {
    super("ERR_STUDY", `it needs ${label}, which failed`);
  }
}

class Runner {
  private readonly failures: Failure[] = [];
  private readonly failed = new Set<string>();
  private readonly done = new Set<string>();
  private ran = 0;
  private work = 0;
  /** Jobs that have ended, for the line of progress. */
  private ended = 0;

  constructor(
    private readonly prepared: PreparedStudy,
    private readonly store: StudyStore,
    private readonly options: RunOptions,
  ) {}

  summary(): Pick<StudyResult, "ran" | "reused" | "failures"> {
    const missing = this.prepared.missing.map(({ name, reason }) => ({
      key: name,
      label: `model ${name}`,
      reason,
    }));
    return { ran: this.ran, reused: this.done.size - this.ran, failures: [...missing, ...this.failures] };
  }

  async runAll(): Promise<void> {
    const { jobs, models } = this.prepared;
    let [total, left] = [0, 0];
    const waiting: Job[] = [];
    for (const job of jobs) {
      total += this.workOf(job);
      if (await this.store.isDone(job.key)) this.finish(job);
      else {
        waiting.push(job);
        left += this.workOf(job);
      }
    }
    this.options.onStart?.({ jobs: jobs.length, done: this.done.size, total, left });
    for (const { ref } of models) {
      // Two names of one model share their jobs.
      const isLeft = ({ key }: Job): boolean => !this.done.has(key) && !this.failed.has(key);
      const own = waiting.filter((job) => job.model.identity === ref.identity && isLeft(job));
      if (own.length > 0) await this.runModel(ref, own);
    }
  }

  private async runModel(ref: ModelRef, jobs: readonly Job[]): Promise<void> {
    let model: Model;
    try {
      model = await this.options.openModel(ref);
    } catch (error) {
      for (const job of jobs) await this.fail(job, error);
      return;
    }
    await using _ = model;
    for (const bundle of bundleJobs(jobs)) {
      throwIfAborted(this.options.signal);
      const ready: Job[] = [];
      for (const job of bundle) {
        const lacking = job.needs.find((key) => this.failed.has(key));
        if (lacking === undefined) ready.push(job);
        else await this.fail(job, new NeedFailed(this.labelOf(lacking)));
      }
      if (ready.length > 0) await this.runReady(ready, model);
    }
  }

  private async runReady(jobs: readonly Job[], model: Model): Promise<void> {
    await runBundle(
      jobs,
      model,
      (some) => this.toolsOf(some),
      async (job, failure) => {
        if (failure !== null) return this.fail(job, failure);
        this.ran++;
        this.finish(job);
        this.options.onJob?.(job, null);
      },
    );
  }

  private toolsOf(jobs: readonly Job[]): JobTools {
    const work = jobs.reduce((sum, job) => sum + this.workOf(job), 0);
    const label = jobs.length === 1 ? jobs[0]!.label : `${jobs.length} adapters`;
    const verb = { train: "training", evaluate: "measuring", reference: "measuring" }[jobs[0]!.kind];
    return {
      store: this.store,
      signal: this.options.signal,
      openModel: this.options.openModel,
      onProgress: (share, detail) =>
        this.options.onProgress?.(
          this.work + work * Math.min(1, share),
          `job ${this.ended + 1}/${this.prepared.jobs.length}: ${verb} ${label}, ${detail}`,
        ),
    };
  }

  private workOf({ key }: Job): number {
    return workOf(this.prepared.costs.get(key)!);
  }

  private labelOf(key: string): string {
    return this.prepared.jobs.find((job) => job.key === key)?.label ?? key;
  }

  private finish(job: Job): void {
    this.done.add(job.key);
    this.ended++;
    this.work += this.workOf(job);
  }

  private async fail(job: Job, error: unknown): Promise<void> {
    const reason = reasonOf(error);
    this.failed.add(job.key);
    this.failures.push({ key: job.key, label: job.label, reason });
    this.ended++;
    this.work += this.workOf(job);
    await this.store.fail(job, reason);
    this.options.onJob?.(job, reason);
  }
}
