/**
 * A training job: one adapter, kept at the end of the run and at each dose on the way. It goes on from the newest
 * checkpoint, and comes to the same bits however often it was interrupted.
 */
import { readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { readPairs } from "../data/pairs.js";
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import { MODEL_CARD, type TrainManifest, writeModelCard } from "../engine/model-card.js";
import { type TrainStep, trainDpo } from "../engine/train.js";
import { UsageError } from "../errors.js";
import { finishFolder } from "../files/artefact-folder.js";
import { temporaryName } from "../files/atomic.js";
import { sha256File } from "../files/hash.js";
import { readJsonLines } from "../files/json-lines.js";
import { readManifest } from "../files/manifest.js";
import type { ModelRef, TrainJob } from "./jobs.js";
import type { StudyStore } from "./store.js";

export interface JobTools {
  store: StudyStore;
  signal?: AbortSignal | undefined;
  /** @param share of the job, from 0 to 1 */
  onProgress?: ((share: number, detail: string) => void) | undefined;
  /** Opens the judge of suites whose graders ask one. */
  openModel?: ((model: ModelRef) => Promise<Model>) | undefined;
}

const ADAPTER_FILES = ["adapter_config.json", "adapter_model.safetensors"];

/** The adapter of a dose; null is the end of the run. Relative to the job's folder. */
export function doseFolder(dose: number | null): string {
  return dose === null ? "run" : `at-${dose}`;
}

/** The step that a dose stands for in a run of `steps`. @throws UsageError past the end */
export function stepOfDose(dose: number | null, steps: number): number {
  if (dose === null) return steps;
  const step = dose < 1 ? Math.max(1, Math.round(dose * steps)) : Math.round(dose);
  if (step > steps) throw new UsageError(`doses: step ${step} is past the end of the run, which has ${steps} steps`);
  return step;
}

/** @throws what training throws; the job's folder then holds what it can go on from */
export async function runTrain(job: TrainJob, model: Model, tools: JobTools): Promise<void> {
  const folder = await tools.store.begin(job.key);
  for (let attempt = 0; ; attempt++) {
    try {
      await train(job, model, folder, tools);
      break;
    } catch (error) {
      // What is there is of no use: a dose was lost between its step and a checkpoint, or an older program left it.
      const useless = error instanceof DoseLost || (error instanceof UsageError && /another run/.test(error.message));
      if (!useless || attempt > 0) throw error;
      await rm(folder, { recursive: true, force: true });
    }
  }
  await rm(join(folder, "run/checkpoints"), { recursive: true, force: true });
  const steps = await lastStep(join(folder, "run/metrics.jsonl"));
  for (const dose of job.doses) await describeDose(folder, dose, stepOfDose(dose, steps));
  const files = [null, ...job.doses].flatMap((dose) => ADAPTER_FILES.map((name) => join(doseFolder(dose), name)));
  await finishFolder(folder, { ...tools.store.plannedManifest(job), seed: job.seed, steps }, files);
  await tools.store.publish(job.key, folder);
}

/** A run that is past a dose whose adapter is not there. */
class DoseLost extends Error {}

async function train(job: TrainJob, model: Model, folder: string, tools: JobTools): Promise<void> {
  const { signal, onProgress, store } = tools;
  const kept = new Map<number, number[]>();
  let [total, resumedAt, first] = [0, 0, true];
  await using adapter = await model.createAdapter({ ...job.adapter, seed: job.seed });
  const steps = trainDpo(model, adapter, readPairs(join(store.folder, job.pairs.path)), {
    ...job.training,
    seed: job.seed,
    output: join(folder, "run"),
    resume: true,
    tensorboard: true,
    source: { pairs: basename(job.pairs.path), sha256: job.pairs.sha256 },
    ...(signal === undefined ? {} : { signal }),
    onReference: ({ done, total }) => onProgress?.(0, `reference ${done}/${total}`),
    onStart: (report) => {
      for (const dose of job.doses) {
        const step = stepOfDose(dose, report.steps);
        kept.set(step, [...(kept.get(step) ?? []), dose]);
      }
      total = report.steps;
      resumedAt = report.resumedAt;
    },
  });
  for await (const step of steps) {
    if (first) await requireDoses(folder, kept, resumedAt);
    first = false;
    for (const dose of kept.get(step.step) ?? []) await saveDose(adapter, join(folder, doseFolder(dose)));
    const rate = (step.pairs / step.seconds).toPrecision(3);
    onProgress?.(step.step / total, `step ${step.step}/${total}, loss ${step.loss.toFixed(3)}, ${rate} pairs/s`);
  }
  for (const dose of job.doses) if (!(await holdsAdapter(join(folder, doseFolder(dose))))) throw new DoseLost();
}

async function requireDoses(folder: string, kept: Map<number, number[]>, resumedAt: number): Promise<void> {
  for (const [step, doses] of kept)
    for (const dose of doses)
      if (step <= resumedAt && !(await holdsAdapter(join(folder, doseFolder(dose))))) throw new DoseLost();
}

async function holdsAdapter(folder: string): Promise<boolean> {
  return readFile(join(folder, ADAPTER_FILES[0]!)).then(
    () => true,
    () => false,
  );
}

/** The folder appears whole. */
async function saveDose(adapter: Adapter, folder: string): Promise<void> {
  const draft = temporaryName(folder);
  await adapter.save(draft);
  await rm(folder, { recursive: true, force: true });
  await rename(draft, folder);
}

/** The model card of a checkpoint: that of the run, with the figures of its own step. */
async function describeDose(folder: string, dose: number, step: number): Promise<void> {
  const run = (await readManifest(join(folder, "run/manifest.json"))) as TrainManifest;
  const own = join(folder, doseFolder(dose));
  const adapter = await sha256File(join(own, ADAPTER_FILES[1]!));
  for await (const { value } of readJsonLines(join(folder, "run/metrics.jsonl"))) {
    const result = value as TrainStep;
    if (result.step === step)
      await writeModelCard(join(own, MODEL_CARD), { ...run, result, sha256: { ...run.sha256, adapter } });
  }
}

async function lastStep(metrics: string): Promise<number> {
  let last = 0;
  for await (const { value } of readJsonLines(metrics)) last = (value as { step: number }).step;
  return last;
}
