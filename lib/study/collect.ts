/**
 * Puts a study's results together: items.jsonl, every measured number under the names of its cell; answers.jsonl and
 * examples.jsonl, the texts behind them; and checkpoints.csv, how far each checkpoint has moved its own value and gone from
 * the untrained model. Order and bytes depend on the study alone, not on when which job ran.
 *
 * What a value's runs say of another value's pairs that are labelled with the first as well is left out: training on the
 * label moves them whatever else it does.
 */
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { readPairs } from "../data/pairs.js";
import { throwIfAborted } from "../errors.js";
import { examplesOf } from "../evaluation/example.js";
import { formatItem, type Measurement, type SubjectNames } from "../evaluation/item.js";
import { isThere } from "../evaluation/parts.js";
import { writeArtefact } from "../files/artefact.js";
import { readJsonLines } from "../files/json-lines.js";
import type { Manifest } from "../files/manifest.js";
import type { StudyData } from "./data/prepare.js";
import { type Cell, heldOutOf } from "./jobs.js";
import { CROSSTALK, SEED, type StudyAnswer, tasksOf } from "./measure.js";
import type { PreparedStudy } from "./prepare-study.js";
import { doseFolder, stepOfDose } from "./run-train.js";
import type { StudyStore } from "./store.js";

export interface Collection {
  items: string;
  checkpoints: CheckpointRow[];
  /** Cells that lack results because their jobs failed. */
  missing: number;
}

/** One checkpoint (or system prompt) of one run. */
export interface CheckpointRow {
  model: string;
  adapter: string;
  value: string;
  arm: string;
  seed: number | undefined;
  beta: number | undefined;
  learning_rate: number | undefined;
  step: number | undefined;
  /** Held-out pairs of the value. */
  pairs: number;
  /** Mean change of the log margin against the untrained model, nats a pair. */
  shift: number;
  /** The same a token. */
  shift_per_token: number;
  /** Share of the pairs whose matching side is the more likely one. */
  accuracy: number;
  /** Mean over the sampled answers, nats. */
  kl: number | undefined;
  kl_per_token: number | undefined;
  /** Of the adapter, within the study's. */
  folder: string | undefined;
}

/** @throws CancelledError, and what reading the jobs' files throws */
export async function collect(
  { cells, data, suites }: Pick<PreparedStudy, "cells" | "data" | "suites">,
  store: StudyStore,
  manifest: Manifest,
  signal?: AbortSignal,
): Promise<Collection> {
  const path = join(store.folder, "items.jsonl");
  const checkpoints: CheckpointRow[] = [];
  const labels = await labelsOf(data, store);
  const finished: { cell: Cell; step: number | undefined; keys: string[] }[] = [];
  let missing = 0;
  const written = new Set<string>();
  for (const cell of cells) {
    throwIfAborted(signal);
    const step = await stepOfCell(cell, store);
    const done = await Promise.all(cell.evaluations.map((key) => store.isDone(key)));
    if (step === null || done.includes(false)) missing++;
    if (step === null) continue;
    // Two doses of a short run may be the same step.
    const name = JSON.stringify([cell.model, cell.adapter, step]);
    if (written.has(name)) continue;
    written.add(name);
    finished.push({ cell, step, keys: cell.evaluations.filter((_, index) => done[index]) });
  }
  const bases = new Map<string, Margins>();
  await writeArtefact(path, manifest, async (write) => {
    for (const { cell, step, keys } of finished) {
      throwIfAborted(signal);
      const names = namesOf(cell, step);
      const seen = new Margins(cell.value);
      for (const key of keys)
        for await (const measured of linesOf<Measurement>(store, key, "items.jsonl")) {
          const { suite, task, item } = measured;
          if (suite === CROSSTALK && task !== cell.value && labels.has(task, item, cell.value)) continue;
          seen.add(measured);
          await write(formatItem(names, measured));
        }
      if (cell.value === undefined) bases.set(cell.model, seen);
      else checkpoints.push(...rowOf(cell, step, seen, bases.get(cell.model)));
    }
  });
  await writeTexts({ data, suites }, finished, store, signal);
  const csv = checkpoints.length === 0 ? "" : stringify(checkpoints, { header: true });
  await writeArtefact(join(store.folder, "checkpoints.csv"), null, (write) => write(csv));
  return { items: path, checkpoints, missing };
}

/** What was asked, once, and what was answered, by all. */
async function writeTexts(
  { data, suites }: Pick<PreparedStudy, "data" | "suites">,
  finished: readonly { cell: Cell; step: number | undefined; keys: readonly string[] }[],
  store: StudyStore,
  signal: AbortSignal | undefined,
): Promise<void> {
  const crosstalk = { kind: "crosstalk" as const, values: heldOutOf(data) };
  await writeArtefact(join(store.folder, "examples.jsonl"), null, async (write) => {
    for (const measure of [crosstalk, ...suites.map((suite) => suite.measure)]) {
      const { tasks, data: sources, limit } = await tasksOf(measure, { store, signal });
      for await (const example of examplesOf(tasks, { data: sources, limit, seed: SEED, signal }))
        await write(`${JSON.stringify(example)}\n`);
    }
  });
  const answered: { cell: Cell; step: number | undefined; key: string }[] = [];
  for (const { cell, step, keys } of finished)
    for (const key of keys)
      if (await isThere(join(store.pathOf(key), "answers.jsonl"))) answered.push({ cell, step, key });
  if (answered.length === 0) return;
  await writeArtefact(join(store.folder, "answers.jsonl"), null, async (write) => {
    for (const { cell, step, key } of answered)
      for await (const answer of linesOf<StudyAnswer>(store, key, "answers.jsonl"))
        await write(`${JSON.stringify({ ...namesOf(cell, step), ...answer })}\n`);
  });
}

async function* linesOf<T>(store: StudyStore, key: string, name: string): AsyncGenerator<T> {
  for await (const { value } of readJsonLines(join(store.pathOf(key), name))) yield value as T;
}

/** The values that a held-out pair is labelled with, on either side. */
async function labelsOf(data: StudyData, store: StudyStore) {
  const labels = new Map<string, Set<string>>();
  for (const { value, heldOut } of data.values)
    for await (const { id, values } of readPairs(join(store.folder, heldOut.path)))
      labels.set(`${value}\n${id}`, new Set([...(values?.chosen ?? []), ...(values?.rejected ?? [])]));
  return {
    has: (task: string, item: string, value: string | undefined): boolean =>
      value !== undefined && labels.get(`${task}\n${item}`)?.has(value) === true,
  };
}

function namesOf({ model, adapter, value, arm, seed }: Cell, step: number | undefined): SubjectNames {
  const given = Object.entries({ value, arm, seed, step }).filter(([, name]) => name !== undefined);
  return { model, adapter, ...Object.fromEntries(given) };
}

/** Undefined where there are no steps; null where the adapter is not there. */
async function stepOfCell({ train, dose }: Cell, store: StudyStore): Promise<number | undefined | null> {
  if (train === undefined) return undefined;
  const manifest = await store.manifestOf(train);
  return manifest === null ? null : stepOfDose(dose ?? null, manifest.steps as number);
}

/** Margins of a cell's own value (of every value for the base), and its divergence. */
class Margins {
  readonly total = new Map<string, number>();
  readonly perToken = new Map<string, number>();
  private readonly sums = new Map<string, { sum: number; count: number }>();

  constructor(private readonly value: string | undefined) {}

  add({ suite, task, metric, item, y }: Measurement): void {
    if (suite === "divergence") {
      const sum = this.sums.get(metric) ?? { sum: 0, count: 0 };
      this.sums.set(metric, { sum: sum.sum + y, count: sum.count + 1 });
    }
    if (suite !== CROSSTALK || (this.value !== undefined && task !== this.value)) return;
    if (metric === "log_margin") this.total.set(`${task}\n${item}`, y);
    if (metric === "log_margin_per_token") this.perToken.set(`${task}\n${item}`, y);
  }

  mean(metric: string): number | undefined {
    const sum = this.sums.get(metric);
    return sum === undefined ? undefined : sum.sum / sum.count;
  }
}

function rowOf(cell: Cell, step: number | undefined, seen: Margins, base: Margins | undefined): CheckpointRow[] {
  const pairs = seen.total.size;
  if (base === undefined || pairs === 0) return [];
  const change = (of: "total" | "perToken"): number => {
    let sum = 0;
    for (const [item, y] of seen[of]) sum += y - base[of].get(item)!;
    return sum / pairs;
  };
  return [
    {
      model: cell.model,
      adapter: cell.adapter,
      value: cell.value!,
      arm: cell.arm!,
      seed: cell.seed,
      beta: cell.beta,
      learning_rate: cell.learningRate,
      step,
      pairs,
      shift: change("total"),
      shift_per_token: change("perToken"),
      accuracy: [...seen.total.values()].filter((margin) => margin > 0).length / pairs,
      kl: seen.mean("kl"),
      kl_per_token: seen.mean("kl_per_token"),
      folder: cell.train === undefined ? undefined : `adapters/${cell.train}/${doseFolder(cell.dose ?? null)}`,
    },
  ];
}
