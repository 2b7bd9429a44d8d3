/** How the demo trains, and what it tells while it works. */
import type { TrainOptions } from "../engine/train-options.js";
import { BATCH_PAIRS, type DemoPlan } from "./plan.js";

/** LoRA and DPO as in the study, at a rate and batch that fit sixteen steps. */
export const ADAPTER = { rank: 4, alpha: 16, targets: "all-linear" } as const;

export function trainingOf(plan: DemoPlan, seed: number): TrainOptions {
  return {
    loss: "sigmoid",
    beta: 0.1,
    learningRate: 5e-4,
    // So few steps that a decay would halve the dose.
    schedule: "constant",
    warmup: 0,
    batchPairs: BATCH_PAIRS,
    epochs: plan.epochs,
    seed,
  };
}

/** The part of a terminal that the demo writes to while it runs. */
export interface DemoView {
  note(message: string): void;
  progress(
    label: string,
    unit: string,
    total?: number,
    from?: number,
  ): { update(done: number, detail?: string): void; stop(): void };
}

/** What a step of the demo needs to know of the run that it is in. */
export interface DemoRun {
  /** Folder of the whole demo. */
  output: string;
  seed: number;
  view: DemoView;
  signal: AbortSignal | undefined;
}
