/**
 * Measuring jobs through `valora eval`'s frame: the likelihood crosstalk, which asks every held-out pair as suite
 * `preferences` does (one task a value), and the suites that the study file names. Many subjects in one pass.
 */
import { join } from "node:path";
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";
import type { Measurement } from "../evaluation/item.js";
import { planTasks, type Subject } from "../evaluation/plan.js";
import { runTasks } from "../evaluation/run.js";
import { DataSources } from "../evaluation/sources.js";
import { pairTask } from "../evaluation/suites/preferences.js";
import { chooseTasks } from "../evaluation/suites.js";
import type { Task } from "../evaluation/task.js";
import { writeFolder } from "../files/artefact-folder.js";
import { createAtomicWriter } from "../files/atomic.js";
import type { EvaluateJob } from "./jobs.js";
import { doseFolder, type JobTools } from "./run-train.js";

/** The suite of the crosstalk's items. */
export const CROSSTALK = "preferences";
/** Of whatever a suite draws. */
const SEED = 0;

/** Adapters by their jobs' keys; null for a job that measures the model without one. They are disposed of at the end. */
export async function withAdapters<T>(
  jobs: readonly EvaluateJob[],
  model: Model,
  { store }: JobTools,
  work: (adapters: Record<string, Adapter | null>) => Promise<T>,
): Promise<T> {
  const adapters: Record<string, Adapter | null> = {};
  try {
    for (const { key, subject } of jobs)
      adapters[key] =
        subject.kind === "adapter"
          ? await model.loadAdapter(join(store.pathOf(subject.train), doseFolder(subject.dose)))
          : null;
    return await work(adapters);
  } finally {
    for (const adapter of Object.values(adapters)) await adapter?.dispose();
  }
}

/** Writes a job's measurements, all or nothing: items without the names, which the study adds in the end. */
export async function writeMeasurements(
  job: EvaluateJob,
  { store }: JobTools,
  measurements: AsyncIterable<Measurement>,
): Promise<void> {
  const folder = await store.begin(job.key);
  await writeFolder(folder, store.plannedManifest(job), async (draft) => {
    const writer = await createAtomicWriter(join(draft, "items.jsonl"));
    try {
      for await (const measured of measurements) await writer.write(`${JSON.stringify(measured)}\n`);
      await writer.commit();
    } finally {
      await writer.abort();
    }
  });
  await store.publish(job.key, folder);
}

/** @param jobs of one model, measure and system prompt */
export async function runMeasures(jobs: readonly EvaluateJob[], model: Model, tools: JobTools): Promise<void> {
  const { store, signal } = tools;
  const { measure } = jobs[0]!;
  if (measure.kind === "kl") throw new RangeError("divergence is sampled, not asked");
  const data = new DataSources({ folder: measure.kind === "suite" ? measure.data : undefined, signal });
  const tasks: Task[] =
    measure.kind === "suite"
      ? await chooseTasks([measure.suite], data)
      : measure.values.map(({ value, pairs }) => pairTask(CROSSTALK, value, join(store.folder, pairs.path)));
  await withAdapters(jobs, model, tools, async (adapters) => {
    const subjects = jobs.map(
      ({ key, subject }): Subject => ({
        names: { adapter: key },
        adapter: adapters[key]!,
        ...(subject.kind === "system" ? { system: subject.text } : {}),
      }),
    );
    const options = {
      data,
      limit: measure.kind === "suite" ? measure.limit : undefined,
      seed: SEED,
      signal,
      partsFolder: store.partsFolder,
      openGrader: tools.openGrader,
    };
    const planned = await planTasks(model, subjects, tasks, options);
    if (measure.kind === "crosstalk") requireMessages(jobs, planned);
    const parts = new Map<string, AsyncIterable<Measurement>[]>(jobs.map(({ key }) => [key, []]));
    const outcomes = runTasks(model, subjects, planned, {
      ...options,
      onProgress: ({ task, done, total }) => tools.onProgress?.(done / total, `${task}, question ${done}/${total}`),
    });
    for await (const { subject, measurements } of outcomes) parts.get(subject.names.adapter)!.push(measurements);
    for (const job of jobs) await writeMeasurements(job, tools, chain(parts.get(job.key)!));
  });
}

/** A system prompt that stands nowhere would be measured as one that does nothing. */
function requireMessages(jobs: readonly EvaluateJob[], planned: readonly { task: Task; messages: boolean }[]): void {
  const without = planned.find(({ messages }) => !messages);
  if (without === undefined || jobs[0]!.subject.kind !== "system") return;
  throw new UsageError(
    `arm system: the held-out pairs of ${without.task.name} have no messages for a system prompt to stand in front of; leave the arm out`,
  );
}

async function* chain<T>(parts: readonly AsyncIterable<T>[]): AsyncGenerator<T> {
  for (const part of parts) yield* part;
}
