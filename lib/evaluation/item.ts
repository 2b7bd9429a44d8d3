/** One line of items.jsonl, from which every number of a summary or report derives: what one measure said of one item. */
import { z } from "zod";
import { parseRecord } from "../engine/requests.js";
import { readJsonLines } from "../files/json-lines.js";

/** Whose numbers they are. */
export interface SubjectNames {
  model: string;
  /** "base" is the model without an adapter. */
  adapter: string;
  /** The value that was induced, where one was. */
  value?: string;
  /** How: "induce", "unflipped", "random", "flipped-random", "system". */
  arm?: string;
  seed?: number;
  /** Optimiser steps of the adapter. */
  step?: number;
}

/** What was measured, without whose it is. */
export interface Measurement {
  suite: string;
  task: string;
  metric: string;
  item: string;
  /** Items of one cluster are not independent: they share a prompt, or a text. */
  cluster: string;
  /** Which of several answers to one prompt. */
  sample?: number;
  /** Who read the answer, where a grader did. */
  grader?: string;
  /** In the metric's own unit: nats for log-probabilities, 0 or 1 for right and wrong. */
  y: number;
}

/** Fields that do not apply are left out. */
export interface EvaluationItem extends SubjectNames, Measurement {}

const itemSchema: z.ZodType<EvaluationItem> = z.looseObject({
  model: z.string(),
  adapter: z.string(),
  value: z.string().exactOptional(),
  arm: z.string().exactOptional(),
  seed: z.number().exactOptional(),
  step: z.number().exactOptional(),
  suite: z.string(),
  task: z.string(),
  metric: z.string(),
  item: z.string(),
  cluster: z.string(),
  sample: z.number().exactOptional(),
  grader: z.string().exactOptional(),
  y: z.number(),
});

/** One line, with its end; the fields in the order of the contract. */
export function formatItem(names: SubjectNames, measured: Measurement): string {
  const { model, adapter, value, arm, seed, step } = names;
  const { suite, task, metric, item, cluster, sample, grader, y } = measured;
  const line = { model, adapter, value, arm, seed, step, suite, task, metric, item, cluster, sample, grader, y };
  return `${JSON.stringify(line)}\n`;
}

/**
 * @throws FileError where the file cannot be read
 * @throws DataFormatError naming file, line and field
 */
export async function* readItems(path: string): AsyncGenerator<EvaluationItem> {
  for await (const { value, line } of readJsonLines(path))
    yield parseRecord(itemSchema, value, `${path}, line ${line}`);
}
