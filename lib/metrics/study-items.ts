/** Evaluation items as crossed arrays: the change from the untrained model, item by item, of the runs of an arm. */
import type { CrossedArray } from "./crossed.js";

/** What is read of a line of items.jsonl; other fields are the caller's to filter by. */
export interface StudyItem {
  /** "base" is the untrained model. */
  adapter: string;
  /** The induced value; absent for the untrained model and for runs that induce none. */
  value?: string;
  /** Default "induce". */
  arm?: string;
  seed?: number;
  step?: number;
  /** What is measured: the column. */
  task: string;
  metric: string;
  item: string;
  /** Default: each item its own. */
  cluster?: string;
  sample?: number;
  y: number;
}

/** One trained adapter at one step. */
export interface StudyRun {
  adapter: string;
  value?: string;
  arm: string;
  seed?: number;
  step?: number;
}

interface Measured {
  cluster: string;
  sum: number;
  count: number;
  /** Numbers of the samples; an item that has one only, sample 0, needs no set. */
  samples?: Set<number>;
}

/** item → what was measured, over its samples. */
type Items = Map<string, Measured>;

export interface ArmMeans {
  array: CrossedArray;
  /** Of each run: its mean change. */
  means: Float64Array;
  /** Items of the untrained model that one of the runs lacks, or the other way round; they are in no estimate. */
  leftOut: number;
}

/** Items by metric, run and column. Memory grows with the number of (run, item) pairs, not of samples. */
export class StudyTable {
  readonly #runs = new Map<string, StudyRun>();
  #last: { key: string; run: StudyRun } | undefined;
  /** metric → column → run key → items; the untrained model's key is BASE. */
  readonly #metrics = new Map<string, Map<string, Map<string, Items>>>();

  /** @throws RangeError for a y that is not finite, a line that appears twice, or an item in two clusters */
  add(line: StudyItem): void {
    const { metric, task, item, cluster = item, sample = 0, y } = line;
    if (!Number.isFinite(y)) throw new RangeError(`item ${item} of ${task}: ${metric} is ${y}`);
    const key = line.adapter === BASE ? BASE : this.#keyOf(line);
    const columns = getOrMake(this.#metrics, metric, () => new Map<string, Map<string, Items>>());
    const runs = getOrMake(columns, task, () => new Map<string, Items>());
    const items = getOrMake(runs, key, () => new Map<string, Measured>());
    const measured = items.get(item);
    if (measured === undefined) {
      items.set(item, { cluster, sum: y, count: 1, ...(sample === 0 ? {} : { samples: new Set([sample]) }) });
      return;
    }
    measured.samples ??= new Set([0]);
    if (measured.samples.has(sample))
      throw new RangeError(
        `item ${item} of ${task} appears twice under ${line.adapter} (${metric}); keep one suite, grader and step`,
      );
    if (measured.cluster !== cluster)
      throw new RangeError(`item ${item} of ${task} is in cluster ${cluster} and in ${measured.cluster}`);
    measured.samples.add(sample);
    measured.count++;
    measured.sum += y;
  }

  /** Lines mostly come run by run, so the last one's key is kept. */
  #keyOf({ adapter, value, arm = "induce", seed, step }: StudyItem): string {
    const last = this.#last;
    if (last?.run.adapter === adapter && last.run.arm === arm && last.run.seed === seed)
      if (last.run.value === value && last.run.step === step) return last.key;
    const key = runKey({ adapter, value, arm, seed, step });
    this.#last = { key, run: getOrMake(this.#runs, key, () => ({ adapter, value, arm, seed, step })) };
    return key;
  }

  metrics(): string[] {
    return [...this.#metrics.keys()];
  }

  /** Columns that the untrained model was measured on, in order of first appearance. */
  columns(metric: string): string[] {
    const columns = this.#metrics.get(metric) ?? new Map<string, Map<string, Items>>();
    return [...columns].filter(([, runs]) => runs.has(BASE)).map(([column]) => column);
  }

  /** Runs of an arm, in order of first appearance. */
  runs(arm: string): StudyRun[] {
    return [...this.#runs.values()].filter((run) => run.arm === arm);
  }

  /**
   * Changes from the untrained model in one column, of runs that are an arm's; null where they share no item. Several
   * samples of an item count as their mean.
   */
  arm(metric: string, column: string, group: string, runs: readonly StudyRun[]): ArmMeans | null {
    const byRun = this.#metrics.get(metric)?.get(column);
    const base = byRun?.get(BASE);
    if (byRun === undefined || base === undefined || runs.length === 0) return null;
    const tables = runs.map((run) => byRun.get(runKey(run)));
    const union = new Set(base.keys());
    for (const table of tables) for (const item of table?.keys() ?? []) union.add(item);
    const shared = [...base.keys()].filter((item) => tables.every((table) => table?.has(item)));
    if (shared.length === 0) return null;

    const index = new Map<string, number>();
    for (const item of shared) {
      const { cluster } = base.get(item)!;
      if (!index.has(cluster)) index.set(cluster, index.size);
    }
    const C = index.size;
    const counts = new Float64Array(C);
    const sums = new Float64Array(runs.length * C);
    const means = new Float64Array(runs.length);
    for (const item of shared) {
      const before = base.get(item)!;
      const c = index.get(before.cluster)!;
      counts[c]!++;
      for (const [s, table] of tables.entries()) {
        const after = table!.get(item)!;
        if (after.cluster !== before.cluster)
          throw new RangeError(`item ${item} of ${column} is in cluster ${after.cluster} and in ${before.cluster}`);
        const change = after.sum / after.count - before.sum / before.count;
        sums[s * C + c]! += change;
        means[s]! += change / shared.length;
      }
    }
    const array = { group, runs: runs.length, clusters: [...index.keys()], counts, sums };
    return { array, means, leftOut: union.size - shared.length };
  }
}

const BASE = "base";

function runKey({ adapter, value, arm, seed, step }: StudyRun): string {
  return JSON.stringify([adapter, value, arm, seed, step]);
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
