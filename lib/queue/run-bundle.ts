/**
 * Runs jobs of a plan in a study's folder, for whoever was told their keys: a worker of a queue, or one task of an array.
 * Everything that the plan says is checked before it is used.
 */
import { stat } from "node:fs/promises";
import type { Model } from "../engine/model.js";
import { DataFormatError, FileError, throwIfAborted, UsageError, ValoraError } from "../errors.js";
import { sha256File } from "../files/hash.js";
import { cacheFolder, NAMED_MODELS } from "../models/registry.js";
import type { Job, ModelRef } from "../study/jobs.js";
import { NeedFailed } from "../study/run.js";
import { bundleJobs, reasonOf, runBundle } from "../study/run-job.js";
import type { StudyStore } from "../study/store.js";
import type { QueuePlan } from "./plan-file.js";
import { requireReadable, studyFile } from "./shared-folder.js";

export interface BundleOptions {
  plan: QueuePlan;
  keys: readonly string[];
  store: StudyStore;
  /** Folders beside the cache that models and data of suites may lie in. */
  readable: readonly string[];
  /** Opens the model, or hands out the one that is open. */
  openModel: (model: ModelRef) => Promise<Model>;
  /** Opens a judge, beside that model. */
  openJudge: (model: ModelRef) => Promise<Model>;
  /** The one endpoint that answers may be sent to; null is none, undefined is any. */
  apiUrl?: string | null | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((label: string, share: number, detail: string) => void) | undefined;
  /** Told of every job that ends; where it fails, the store has been told. */
  onEnd: (job: Job, failure: string | null) => Promise<void>;
  /** Whether something that may pass (a full disk) counts as the job's failure: after the last attempt. */
  lastAttempt: boolean;
}

/**
 * @returns how many failed
 * @throws CancelledError; TransientError for what may pass; DataFormatError and UsageError for a plan that cannot be
 */
export async function runKeys(options: BundleOptions): Promise<number> {
  const { plan, keys, store, signal } = options;
  const jobs = keys.map((key) => {
    const job = plan.jobs.get(key);
    if (job === undefined) throw new DataFormatError(`the plan has no job ${key}`);
    return job;
  });
  let failed = 0;
  const end = async (job: Job, failure: unknown): Promise<void> => {
    if (failure === null) return options.onEnd(job, null);
    if (!options.lastAttempt && isTransient(failure)) throw new TransientError(reasonOf(failure), { cause: failure });
    failed++;
    const reason = reasonOf(failure);
    // Where even that cannot be written, the queue still knows.
    await store.fail(job, reason).catch(() => {});
    await options.onEnd(job, reason);
  };
  const ready: Job[] = [];
  for (const job of jobs) {
    throwIfAborted(signal);
    if (await store.isDone(job.key)) await end(job, null);
    else {
      const lack = await lackOf(job, options).catch((error: unknown) => error);
      if (lack === null) ready.push(job);
      else await end(job, lack);
    }
  }
  for (const bundle of bundleJobs(ready)) {
    let model: Model;
    try {
      model = await options.openModel(bundle[0]!.model);
    } catch (error) {
      for (const job of bundle) await end(job, error);
      continue;
    }
    const toolsOf = (some: readonly Job[]) => {
      const label = some.length === 1 ? some[0]!.label : `${some.length} adapters`;
      return {
        store,
        signal,
        openModel: options.openJudge,
        onProgress: (share: number, detail: string) => options.onProgress?.(label, share, detail),
      };
    };
    await runBundle(bundle, model, toolsOf, end);
  }
  return failed;
}

/** Something that another try, later or elsewhere, may not meet. */
export class TransientError extends ValoraError {
  constructor(message: string, options?: { cause?: unknown }) {
    super("ERR_TRANSIENT", message, options);
  }
}

const PASSING = new Set(["ENOSPC", "EDQUOT", "EIO", "EROFS", "ESTALE", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN"]);

function isTransient(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if (at instanceof TransientError || PASSING.has((at as NodeJS.ErrnoException).code ?? "")) return true;
  return false;
}

/** What keeps a job from being done; null where nothing does. */
async function lackOf(job: Job, { plan, store, readable, apiUrl }: BundleOptions): Promise<Error | null> {
  for (const need of job.needs) {
    if (await store.isDone(need)) continue;
    const failure = await store.failureOf(need);
    if (failure !== null) return new NeedFailed(failure.label);
    // A network disk may show the other machine's files a little later.
    return new TransientError(`it needs ${plan.jobs.get(need)?.label ?? need}, which is not there`);
  }
  for (const { path, sha256 } of pairFilesOf(job))
    if ((await sha256File(await studyFile(store.folder, path))) !== sha256)
      return new FileError(`${path} has other bytes than the study was planned with; run valora study again`);
  const folders = [...readable, cacheFolder()];
  if (job.kind !== "train" && job.measure.kind === "suite") {
    const { data, suite, api } = job.measure;
    // Answers would go there, and this machine's key with them.
    if (api !== undefined && apiUrl !== undefined && api.url !== apiUrl)
      return new UsageError(`a grader asks ${api.url}; set VALORA_API_URL to it where this worker may`);
    if (data !== undefined) await requireReadable(data, folders);
    // "NAME:file=PATH" and "FILE.yaml" name files.
    const path = /^\w+:file=(.+)$/.exec(suite)?.[1] ?? (/\.ya?ml$/i.test(suite) ? suite : undefined);
    if (path !== undefined) await requireReadable(path, folders);
  }
  return null;
}

function pairFilesOf(job: Job): { path: string; sha256: string }[] {
  if (job.kind === "train") return [job.pairs];
  return job.measure.kind === "suite" ? [] : job.measure.values.map(({ pairs }) => pairs);
}

/** Makes sure that a model's files may be read here. @throws UsageError, FileError */
export async function requireModelReadable(model: ModelRef, readable: readonly string[]): Promise<void> {
  const folders = [...readable, cacheFolder()];
  const isPath = async (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );
  if (await isPath(model.model)) await requireReadable(model.model, folders);
  else if (!(model.model in NAMED_MODELS)) throw new UsageError(`there is no model ${model.model} on this machine`);
  if (model.chatTemplate !== undefined && (await isPath(model.chatTemplate)))
    await requireReadable(model.chatTemplate, folders);
}
