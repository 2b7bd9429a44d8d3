/**
 * Parts: what one subject got for one task, kept on disk under the hash of everything it depends on. A run that was ended
 * goes on after the tasks that it had finished, and the base model is asked once for all studies.
 */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { type AtomicWriter, createAtomicWriter } from "../files/atomic.js";
import { readJsonLines } from "../files/json-lines.js";
import { cacheFolder } from "../models/registry.js";
import type { Measurement } from "./item.js";

/** Where parts are kept unless told otherwise. */
export function defaultPartsFolder(): string {
  return join(cacheFolder(), "evaluations");
}

/** An answer that a model wrote. */
export interface AnswerLine {
  item: string;
  sample: number;
  /** In a conversation, from 1; and what the user said before it, where that is not the prompt. */
  turn?: number;
  user?: string;
  text: string;
  tokens: number | null;
  finish: "stop" | "length";
}

/** Everything of a measurement that differs within a part. */
export type MeasurementLine = Omit<Measurement, "suite" | "task">;

export function partPath(folder: string, key: string): string {
  return join(folder, key.slice(0, 2), `${key}.jsonl`);
}

export async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A part is written whole or not at all, so what is there needs no second look. */
export async function* readPart<T>(path: string): AsyncGenerator<T> {
  for await (const { value } of readJsonLines(path)) yield value as T;
}

/** Writes several files side by side; where `work` fails, none of them appears. */
export async function writeParts<T>(
  paths: readonly string[],
  work: (write: (index: number, line: T) => Promise<void>) => Promise<void>,
): Promise<void> {
  const writers: AtomicWriter[] = [];
  try {
    for (const path of paths) writers.push(await createAtomicWriter(path));
    await work((index, line) => (writers[index] as AtomicWriter).write(`${JSON.stringify(line)}\n`));
    for (const writer of writers) await writer.commit();
  } finally {
    for (const writer of writers) await writer.abort();
  }
}
