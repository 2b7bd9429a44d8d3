/**
 * Measuring jobs through `valora eval`'s frame: the likelihood crosstalk, which asks every held-out pair as suite
 * `preferences` does (one task a value), and the suites that the study file names. Many subjects in one pass.
 */
import { join } from "node:path";
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";
import { type GraderOpener, graderOpener } from "../evaluation/graders/opener.js";
import type { Measurement } from "../evaluation/item.js";
import type { AnswerLine } from "../evaluation/parts.js";
import { planTasks, type Subject } from "../evaluation/plan.js";
import { runTasks } from "../evaluation/run.js";
import { DataSources } from "../evaluation/sources.js";
import { pairTask } from "../evaluation/suites/preferences.js";
import { chooseTasks } from "../evaluation/suites.js";
import type { Task } from "../evaluation/task.js";
import { writeFolder } from "../files/artefact-folder.js";
import { createAtomicWriter } from "../files/atomic.js";
import type { EvaluateJob, Measure } from "./jobs.js";
import { doseFolder, type JobTools } from "./run-train.js";

/** The suite of the crosstalk's items. */
export const CROSSTALK = "preferences";
/** Of whatever a suite draws. */
export const SEED = 0;

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

/** What a subject wrote, without whose it is. */
export type StudyAnswer = AnswerLine & { suite: string; task: string };

/**
 * Writes a job's measurements, and the answers that they were read from where there are any, all or nothing: items.jsonl
 * and answers.jsonl without the names, which the study adds in the end.
 */
export async function writeMeasurements(
  job: EvaluateJob,
  { store }: JobTools,
  measurements: AsyncIterable<Measurement>,
  answers: readonly AsyncIterable<StudyAnswer>[] = [],
): Promise<void> {
  const folder = await store.begin(job.key);
  await writeFolder(folder, store.plannedManifest(job), async (draft) => {
    await writeLines(join(draft, "items.jsonl"), measurements);
    if (answers.length > 0) await writeLines(join(draft, "answers.jsonl"), chain(answers));
  });
  await store.publish(job.key, folder);
}

async function writeLines(path: string, lines: AsyncIterable<object>): Promise<void> {
  const writer = await createAtomicWriter(path);
  try {
    for await (const line of lines) await writer.write(`${JSON.stringify(line)}\n`);
    await writer.commit();
  } finally {
    await writer.abort();
  }
}

/** The questions of a measure, and where they come from. */
export async function tasksOf(
  measure: Exclude<Measure, { kind: "kl" }>,
  { store, signal }: Pick<JobTools, "store" | "signal">,
): Promise<{ tasks: Task[]; data: DataSources; limit: number | undefined }> {
  if (measure.kind === "crosstalk") {
    const task = ({ value, pairs }: (typeof measure.values)[number]): Task =>
      pairTask(CROSSTALK, value, join(store.folder, pairs.path));
    return { tasks: measure.values.map(task), data: new DataSources({ signal }), limit: undefined };
  }
  const data = new DataSources({ folder: measure.data, signal });
  return { tasks: await chooseTasks([measure.suite], data), data, limit: measure.limit };
}

/** @param jobs of one model, measure and system prompt */
export async function runMeasures(jobs: readonly EvaluateJob[], model: Model, tools: JobTools): Promise<void> {
  const { store, signal } = tools;
  const { measure } = jobs[0]!;
  if (measure.kind === "kl") throw new RangeError("divergence is sampled, not asked");
  const { tasks, data, limit } = await tasksOf(measure, tools);
  const graders = gradersOf(measure, tools);
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
      limit,
      seed: SEED,
      signal,
      partsFolder: store.partsFolder,
      ...(measure.kind === "suite" && measure.graders !== undefined ? { graders: measure.graders } : {}),
      openGrader: graders.open,
    };
    const planned = await planTasks(model, subjects, tasks, options);
    if (measure.kind === "crosstalk") requireMessages(jobs, planned);
    const parts = new Map<string, AsyncIterable<Measurement>[]>(jobs.map(({ key }) => [key, []]));
    const written = new Map<string, AsyncIterable<StudyAnswer>[]>(jobs.map(({ key }) => [key, []]));
    const outcomes = runTasks(model, subjects, planned, {
      ...options,
      onProgress: ({ task, done, total }) => tools.onProgress?.(done / total, `${task}, question ${done}/${total}`),
    });
    for await (const { task, subject, measurements, answers } of outcomes) {
      const { adapter: key } = subject.names;
      parts.get(key)!.push(measurements);
      if (answers !== null) written.get(key)!.push(named(task, answers));
    }
    for (const job of jobs) await writeMeasurements(job, tools, chain(parts.get(job.key)!), written.get(job.key));
  }).finally(() => graders.dispose());
}

/** Graders of a suite, which ask what the job says: its judge, or its endpoint. */
function gradersOf(measure: Measure, { openModel }: JobTools): GraderOpener {
  const { judge, api } = measure.kind === "suite" ? measure : {};
  return graderOpener({
    openModel: judge === undefined || openModel === undefined ? null : () => openModel(judge),
    apiUrl: api?.url,
    apiModel: api?.model,
  });
}

async function* named(task: Task, answers: AsyncIterable<AnswerLine>): AsyncGenerator<StudyAnswer> {
  for await (const answer of answers) yield { suite: task.suite, task: task.name, ...answer };
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
