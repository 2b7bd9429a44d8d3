/** Trains one adapter of the demo, goes on with one that was interrupted, or takes one that is finished. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import { trainDpo } from "../engine/train.js";
import { UsageError } from "../errors.js";
import { type InducedTrait, readSample } from "./data.js";
import type { DemoPlan } from "./plan.js";
import { ADAPTER, type DemoRun, trainingOf } from "./settings.js";

export interface Induced {
  adapter: Adapter;
  /** Optimiser steps of the whole run. */
  steps: number;
  /** It was there already and nothing has changed. */
  reused: boolean;
}

export async function induceTrait(model: Model, trait: InducedTrait, plan: DemoPlan, run: DemoRun): Promise<Induced> {
  const dir = join(run.output, "adapters", trait);
  const pairs = await readSample(trait, "train", plan.trainPairs);
  let trained: number;
  try {
    trained = await train(model, trait, dir, pairs, plan, run);
  } catch (error) {
    // The folder holds the adapter of other settings or data: this demo's own work, done again.
    if (!(error instanceof UsageError)) throw error;
    await rm(dir, { recursive: true, force: true });
    trained = await train(model, trait, dir, pairs, plan, run);
  }
  const steps = plan.epochs * Math.ceil(plan.trainPairs / (trainingOf(plan, run.seed).batchPairs ?? 1));
  return { adapter: await model.loadAdapter(dir), steps, reused: trained === 0 };
}

/** Returns the number of steps that had to be trained. */
async function train(
  model: Model,
  trait: string,
  dir: string,
  pairs: Awaited<ReturnType<typeof readSample>>,
  plan: DemoPlan,
  run: DemoRun,
): Promise<number> {
  await using adapter = await model.createAdapter({ ...ADAPTER, seed: run.seed });
  let bar = run.view.progress(`reference for ${trait}`, "pairs", pairs.length);
  let trained = 0;
  try {
    const steps = trainDpo(model, adapter, pairs, {
      ...trainingOf(plan, run.seed),
      output: dir,
      resume: true,
      ...(run.signal === undefined ? {} : { signal: run.signal }),
      onReference: ({ done }) => bar.update(done),
      onStart: (report) => {
        bar.stop();
        bar = run.view.progress(`training ${trait}`, "steps", report.steps, report.resumedAt);
      },
    });
    for await (const step of steps) {
      trained++;
      const rate = (step.pairs / step.seconds).toFixed(1);
      bar.update(step.step, `loss ${step.loss.toFixed(3)}  accuracy ${step.accuracy.toFixed(2)}  ${rate} pairs/s`);
    }
  } finally {
    bar.stop();
  }
  return trained;
}
