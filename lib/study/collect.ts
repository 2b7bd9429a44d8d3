/**
 * Puts a study's results together: items.jsonl, every measured number under the names of its cell, and checkpoints.csv,
 * how far each checkpoint has moved its own value and gone from the untrained model. Order and bytes depend on the study
 * alone, not on when which job ran.
 */
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { formatItem, type Measurement, type SubjectNames } from "../evaluation/item.js";
import { writeArtefact } from "../files/artefact.js";
import { readJsonLines } from "../files/json-lines.js";
import type { Manifest } from "../files/manifest.js";
import type { Cell } from "./jobs.js";
import { CROSSTALK } from "./measure.js";
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

export async function collect(cells: readonly Cell[], store: StudyStore, manifest: Manifest): Promise<Collection> {
  const path = join(store.folder, "items.jsonl");
  const checkpoints: CheckpointRow[] = [];
  let missing = 0;
  const bases = new Map<string, Margins>();
  await writeArtefact(path, manifest, async (write) => {
    const written = new Set<string>();
    for (const cell of cells) {
      const step = await stepOfCell(cell, store);
      const done = await Promise.all(cell.evaluations.map((key) => store.isDone(key)));
      if (step === null || done.includes(false)) missing++;
      if (step === null) continue;
      // Two doses of a short run may be the same step.
      const name = JSON.stringify([cell.model, cell.adapter, step]);
      if (written.has(name)) continue;
      written.add(name);
      const names = namesOf(cell, step);
      const seen = new Margins(cell.value);
      for (const [index, key] of cell.evaluations.entries()) {
        if (!done[index]) continue;
        for await (const { value } of readJsonLines(join(store.pathOf(key), "items.jsonl"))) {
          const measured = value as Measurement;
          seen.add(measured);
          await write(formatItem(names, measured));
        }
      }
      if (cell.value === undefined) bases.set(cell.model, seen);
      else checkpoints.push(...rowOf(cell, step, seen, bases.get(cell.model)));
    }
  });
  const csv = checkpoints.length === 0 ? "" : stringify(checkpoints, { header: true });
  await writeArtefact(join(store.folder, "checkpoints.csv"), null, (write) => write(csv));
  return { items: path, checkpoints, missing };
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
