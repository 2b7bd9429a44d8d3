/** Decides how large the demo is: by the plan file of an earlier run, else by the speed of two training steps. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Model } from "../engine/model.js";
import { trainDpo } from "../engine/train.js";
import { UsageError } from "../errors.js";
import { writeFileAtomic } from "../files/atomic.js";
import { INDUCED_TRAITS, MEASURED_TRAITS, readSample } from "./data.js";
import { BATCH_PAIRS, choosePlan, DEMO_PLANS, type DemoPlan, describeCuts, expectedSeconds } from "./plan.js";
import { ADAPTER, type DemoRun, trainingOf } from "./settings.js";

/** Kept as plan.json, so that a run that was interrupted goes on with the same work. */
export interface PlanFile {
  model: string;
  minutes: number;
  plan: DemoPlan;
  pairsPerSecond: number;
  expectedSeconds: number;
}

const WORK = { induced: INDUCED_TRAITS.length, measured: MEASURED_TRAITS.length, scored: INDUCED_TRAITS.length + 1 };

/**
 * The plan of an earlier run where model and minutes are the same, else a new one.
 *
 * @throws UsageError where the folder holds what is no demo's: a run writes over its own adapters
 */
export async function planDemo(model: Model, minutes: number, run: DemoRun): Promise<PlanFile> {
  const path = join(run.output, "plan.json");
  const modelHash = await model.hash();
  const earlier = await readPlan(path);
  if (earlier === null && (await readdir(run.output)).length > 0)
    throw new UsageError(`output ${run.output}: it holds other work and no demo's plan.json; choose another folder`);
  if (earlier !== null && earlier.model === modelHash && earlier.minutes === minutes) return earlier;
  const pairsPerSecond = await measureSpeed(model, run);
  const plan = choosePlan(minutes * 60, WORK, pairsPerSecond);
  const file = {
    model: modelHash,
    minutes,
    plan,
    pairsPerSecond,
    expectedSeconds: expectedSeconds(plan, WORK, pairsPerSecond),
  };
  await writeFileAtomic(path, `${JSON.stringify(file, null, 2)}\n`);
  return file;
}

/** What the plan leaves out, as notes for terminal and report. */
export function cutsOf({ plan }: PlanFile): string[] {
  return describeCuts(plan);
}

async function readPlan(path: string): Promise<PlanFile | null> {
  try {
    const file = JSON.parse(await readFile(path, "utf8")) as PlanFile;
    return typeof file.plan.trainPairs === "number" ? file : null;
  } catch {
    return null;
  }
}

/**
 * Pairs a second of a training step, on an adapter that is thrown away. The first step also reads the weights from
 * disk, so the second one counts.
 */
async function measureSpeed(model: Model, run: DemoRun): Promise<number> {
  const pairs = await readSample(INDUCED_TRAITS[0], "train", 2 * BATCH_PAIRS);
  const bar = run.view.progress("measuring speed", "steps", 2);
  await using adapter = await model.createAdapter({ ...ADAPTER, seed: run.seed });
  const settings = {
    ...trainingOf(DEMO_PLANS[0]!, run.seed),
    ...(run.signal === undefined ? {} : { signal: run.signal }),
  };
  const { epochs: _, ...rest } = settings;
  let rate = 0;
  try {
    for await (const step of trainDpo(model, adapter, pairs, { ...rest, steps: 2 })) {
      rate = step.pairs / step.seconds;
      bar.update(step.step);
    }
  } finally {
    bar.stop();
  }
  return rate;
}
