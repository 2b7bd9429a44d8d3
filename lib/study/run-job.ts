/**
 * Runs jobs on an open model: one of them, or several measuring ones of the same kind in one pass. Whoever has a job, the
 * model and the study's folder can call it: nothing here knows of the rest of the study.
 */
import type { Model } from "../engine/model.js";
import { throwIfAborted, ValoraError } from "../errors.js";
import { runDivergence } from "./divergence.js";
import type { EvaluateJob, Job } from "./jobs.js";
import { runMeasures } from "./measure.js";
import { type JobTools, runTrain } from "./run-train.js";

/** Adapters that are measured side by side: their batches fill up, and an interruption costs no more than this many. */
const BUNDLE = 16;

export async function runJob(job: Job, model: Model, tools: JobTools): Promise<void> {
  if (job.kind === "train") return runTrain(job, model, tools);
  return runTogether([job], model, tools);
}

/** Jobs as `bundleJobs` puts them together. */
export async function runTogether(jobs: readonly EvaluateJob[], model: Model, tools: JobTools): Promise<void> {
  return jobs[0]!.measure.kind === "kl" ? runDivergence(jobs, model, tools) : runMeasures(jobs, model, tools);
}

/**
 * Runs a bundle. One that fails is run job by job, so that one bad adapter costs no other its results; each job's end is
 * told, with what it failed with or null.
 *
 * @throws CancelledError, and whatever `onEnd` throws
 */
export async function runBundle(
  jobs: readonly Job[],
  model: Model,
  toolsOf: (jobs: readonly Job[]) => JobTools,
  onEnd: (job: Job, failure: unknown) => Promise<void>,
): Promise<void> {
  const tools = toolsOf(jobs);
  try {
    if (jobs.length === 1) await runJob(jobs[0]!, model, tools);
    else await runTogether(jobs as EvaluateJob[], model, tools);
  } catch (error) {
    throwIfAborted(tools.signal);
    if (jobs.length === 1) return onEnd(jobs[0]!, error);
    for (const job of jobs) {
      if (await tools.store.isDone(job.key)) await onEnd(job, null);
      else await runBundle([job], model, toolsOf, onEnd);
    }
    return;
  }
  for (const job of jobs) await onEnd(job, null);
}

/** Why a job failed, in one sentence. */
export function reasonOf(failure: unknown): string {
  const message = failure instanceof Error ? failure.message : String(failure);
  return failure instanceof ValoraError ? message : `unexpected: ${message.split("\n")[0]}`;
}

/** Training jobs alone; measuring jobs of the same model, prompts and measure together. Keeps the order otherwise. */
export function bundleJobs(jobs: readonly Job[]): Job[][] {
  const bundles: Job[][] = [];
  const open = new Map<string, Job[]>();
  for (const job of jobs) {
    if (job.kind === "train") {
      bundles.push([job]);
      continue;
    }
    const { subject, measure, model, kind } = job;
    const like = JSON.stringify([kind, model.identity, measure, subject.kind === "system" ? subject.text : null]);
    const bundle = open.get(like);
    if (bundle !== undefined && bundle.length < BUNDLE) bundle.push(job);
    else {
      const started = [job];
      open.set(like, started);
      bundles.push(started);
    }
  }
  return bundles;
}
