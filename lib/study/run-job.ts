/**
 * Runs jobs on an open model: one of them, or several measuring ones of the same kind in one pass. Whoever has a job, the
 * model and the study's folder can call it: nothing here knows of the rest of the study.
 */
import type { Model } from "../engine/model.js";
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
