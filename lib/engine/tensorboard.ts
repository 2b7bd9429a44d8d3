/**
 * A training run for TensorBoard: one event file in the run's folder, which holds what metrics.jsonl holds. It is written
 * from there wherever a run starts or goes on, so that no step stands in it twice; then each step is appended.
 */
import { appendFile } from "node:fs/promises";
import { describeFileError, FileError } from "../errors.js";
import { createAtomicWriter } from "../files/atomic.js";
import { scalarsRecord, versionRecord } from "../files/event-file.js";
import { readJsonLines } from "../files/json-lines.js";
import type { TrainStep } from "./train-options.js";

/** TensorBoard takes every file whose name holds "tfevents", and calls the run after the folder. */
export const EVENT_FILE = "events.out.tfevents.valora";

/**
 * Charts as TRL's trainer has them in TensorBoard, so that runs of both lie over each other: its names behind "train/", or
 * "eval/" for what is held out.
 */
export function scalarsOf(step: TrainStep): Record<string, number> {
  const all: Record<string, number | undefined> = {
    "train/loss": step.loss,
    "train/grad_norm": step.grad_norm,
    "train/learning_rate": step.learning_rate,
    "train/epoch": step.epoch,
    "train/rewards/chosen": step.chosen_reward,
    "train/rewards/rejected": step.rejected_reward,
    "train/rewards/margins": step.margin,
    "train/rewards/accuracies": step.accuracy,
    "train/logps/chosen": step.chosen_logp,
    "train/logps/rejected": step.rejected_logp,
    "train/kl": step.kl,
    "eval/loss": step.eval_loss,
    "eval/rewards/margins": step.eval_margin,
    "eval/rewards/accuracies": step.eval_accuracy,
  };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, number] => entry[1] !== undefined));
}

/** The steps of `metrics`, as if they had been trained without a break and just now. @throws FileError */
export async function writeEvents(path: string, metrics: string): Promise<void> {
  let seconds = 0;
  for await (const { value } of readJsonLines(metrics)) seconds += (value as TrainStep).seconds;
  let time = Date.now() / 1000 - seconds;
  const writer = await createAtomicWriter(path);
  try {
    await writer.write(versionRecord(time));
    for await (const { value } of readJsonLines(metrics)) {
      const step = value as TrainStep;
      time += step.seconds;
      await writer.write(scalarsRecord(time, step.step, scalarsOf(step)));
    }
    await writer.commit();
  } finally {
    await writer.abort();
  }
}

/** @throws FileError */
export async function appendEvents(path: string, step: TrainStep): Promise<void> {
  try {
    await appendFile(path, scalarsRecord(Date.now() / 1000, step.step, scalarsOf(step)));
  } catch (error) {
    throw new FileError(`${path} cannot be written: ${describeFileError(error)}`, { cause: error });
  }
}
