/**
 * Summary rows of an evaluation: for each suite, task, metric, adapter and grader the mean over items with its standard
 * error and 95 % interval; differences from the base model, paired by item, as rows `delta_<metric>`; ratios of sums
 * (perplexity); and rows over groups of tasks. Everything is computed from items alone.
 *
 * With items in clusters c of n_c items and sum S_c, N = Σ n_c items, G clusters, and mean m = Σ S_c / N,
 *
 *     stderr² = G / (G − 1) · Σ_c (S_c − n_c m)² / N²
 *
 * the cluster-robust variance of a mean (Liang and Zeger 1986; Miller, "Adding Error Bars to Evals", 2024); where each
 * item stands alone it is s²/n, as lm-evaluation-harness has it. A ratio R = Σ a / Σ b is treated alike with residuals
 * a_c − R b_c over Σ b, and e^R by the delta method. Intervals are m ± 1.96 stderr; of a share of items that stand alone,
 * Wilson's; of e^R, e to the ends of R's.
 */

import { wilson } from "../metrics/classification.js";
import { normalQuantile } from "../metrics/normal.js";
import type { EvaluationItem } from "./item.js";
import type { Ratio, Task } from "./task.js";

export interface SummaryRow {
  suite: string;
  task: string;
  /** `delta_<metric>` is the adapter minus base. */
  metric: string;
  adapter: string;
  value: number;
  /** null where one cluster is all there is. */
  stderr: number | null;
  ci_low: number | null;
  ci_high: number | null;
  /** Items. */
  n: number;
  /** "" where no grader read an answer. */
  grader: string;
}

/** What a summary has to know of a task. */
export type TaskShape = Pick<Task, "suite" | "name" | "group" | "ratios">;

export const BASE = "base";

const Z = normalQuantile(0.975);

/** Sums over the items of one cluster. */
interface Sums {
  sum: number;
  n: number;
}

/** The items of one suite, task, metric, grader and adapter. */
interface Cell {
  suite: string;
  task: string;
  metric: string;
  grader: string;
  adapter: string;
  clusters: Map<string, Sums>;
  n: number;
  total: number;
  /** Every y is 0 or 1, and every cluster has one item. */
  isShare: boolean;
}

export class Summary {
  private readonly shapes: Map<string, TaskShape>;
  /** In the order in which they came. */
  private readonly cells = new Map<string, Cell>();

  /** @param tasks in the order of their rows */
  constructor(tasks: readonly TaskShape[]) {
    this.shapes = new Map(tasks.map((task) => [JSON.stringify([task.suite, task.name]), task]));
  }

  add(item: EvaluationItem): void {
    this.put(item, item.task, item.cluster);
    const { group } = this.shapes.get(JSON.stringify([item.suite, item.task])) ?? {};
    // Tasks of a group have clusters of their own.
    if (group !== undefined && group !== item.task) this.put(item, group, `${item.task} ${item.cluster}`);
  }

  private put({ suite, metric, grader = "", adapter, y }: EvaluationItem, task: string, cluster: string): void {
    const key = cellKey(suite, task, metric, grader, adapter);
    let cell = this.cells.get(key);
    if (cell === undefined) {
      cell = { suite, task, metric, grader, adapter, clusters: new Map(), n: 0, total: 0, isShare: true };
      this.cells.set(key, cell);
    }
    const sums = cell.clusters.get(cluster);
    if (sums === undefined) cell.clusters.set(cluster, { sum: y, n: 1 });
    else {
      sums.sum += y;
      sums.n += 1;
    }
    cell.n += 1;
    cell.total += y;
    cell.isShare &&= sums === undefined && (y === 0 || y === 1);
  }

  /** Groups first among the tasks of their suite; within a task metric by metric, differences behind what they are of. */
  rows(): SummaryRow[] {
    const groups = new Map<string, Cell[]>();
    for (const cell of this.cells.values()) {
      const key = JSON.stringify([cell.suite, cell.task]);
      groups.set(key, [...(groups.get(key) ?? []), cell]);
    }
    return [...groups]
      .sort(([a, first], [b, second]) => this.placeOf(a, first[0]!) - this.placeOf(b, second[0]!))
      .flatMap(([key, cells]) => this.rowsOf(cells, this.ratiosOf(key)));
  }

  /** Where a task's rows stand: with the first task of its group, the group's own before. */
  private placeOf(key: string, { suite, task }: Cell): number {
    const shapes = [...this.shapes.entries()];
    const at = shapes.findIndex(([other]) => other === key);
    if (at >= 0) return 2 * at + 1;
    return 2 * shapes.findIndex(([, shape]) => shape.suite === suite && shape.group === task);
  }

  private ratiosOf(key: string): Readonly<Record<string, Ratio>> {
    const own = this.shapes.get(key);
    if (own !== undefined) return own.ratios ?? {};
    const [suite, group] = JSON.parse(key) as [string, string];
    return [...this.shapes.values()].find((shape) => shape.suite === suite && shape.group === group)?.ratios ?? {};
  }

  private rowsOf(cells: readonly Cell[], ratios: Readonly<Record<string, Ratio>>): SummaryRow[] {
    const rows: SummaryRow[] = [];
    const parts = new Set(Object.values(ratios).flatMap(({ over, by }) => [over, by]));
    const find = (like: Cell, metric: string, adapter: string): Cell | undefined =>
      this.cells.get(cellKey(like.suite, like.task, metric, like.grader, adapter));
    const metrics = new Map<string, Cell[]>();
    for (const cell of cells) {
      const key = JSON.stringify([cell.metric, cell.grader]);
      metrics.set(key, [...(metrics.get(key) ?? []), cell]);
    }
    for (const alike of metrics.values()) {
      const [{ metric }] = alike as [Cell];
      if (parts.has(metric)) continue;
      for (const cell of alike) rows.push(meanRow(cell));
      for (const cell of alike) {
        const base = find(cell, metric, BASE);
        const delta = cell.adapter === BASE || base === undefined ? null : deltaRow(cell, base);
        if (delta !== null) rows.push(delta);
      }
    }
    for (const [name, ratio] of Object.entries(ratios)) {
      const over = cells.filter(({ metric }) => metric === ratio.over);
      const pair = (adapter: string): RatioCells | null => {
        const a = find(over[0]!, ratio.over, adapter);
        const b = find(over[0]!, ratio.by, adapter);
        return a === undefined || b === undefined ? null : { over: a, by: b };
      };
      for (const { adapter } of over) {
        const own = pair(adapter);
        if (own !== null) rows.push(ratioRow(name, ratio, own));
      }
      for (const { adapter } of over) {
        const [own, base] = [pair(adapter), pair(BASE)];
        if (adapter !== BASE && own !== null && base !== null) rows.push(ratioDelta(name, ratio, own, base));
      }
    }
    return rows;
  }
}

function cellKey(suite: string, task: string, metric: string, grader: string, adapter: string): string {
  return JSON.stringify([suite, task, metric, grader, adapter]);
}

function rowOf(
  cell: Cell,
  metric: string,
  value: number,
  stderr: number | null,
  interval?: [number, number],
): SummaryRow {
  const { suite, task, adapter, n, grader } = cell;
  const [low, high] = interval ?? (stderr === null ? [null, null] : [value - Z * stderr, value + Z * stderr]);
  return { suite, task, metric, adapter, value, stderr, ci_low: low, ci_high: high, n, grader };
}

/** The cluster-robust standard error of a sum of residuals, one a cluster, over `by`; they add up to 0. */
function standardError(residuals: readonly number[], by: number): number | null {
  const clusters = residuals.length;
  if (clusters < 2) return null;
  const squares = residuals.reduce((sum, residual) => sum + residual ** 2, 0);
  return Math.sqrt((clusters / (clusters - 1)) * squares) / Math.abs(by);
}

function meanRow(cell: Cell): SummaryRow {
  const { clusters, n, total, isShare, metric } = cell;
  const mean = total / n;
  const stderr = standardError(
    [...clusters.values()].map((sums) => sums.sum - sums.n * mean),
    n,
  );
  if (!isShare) return rowOf(cell, metric, mean, stderr);
  const { low, high } = wilson(total, n);
  return rowOf(cell, metric, mean, stderr, [low, high]);
}

/** null where the two do not have the same items. */
function deltaRow(cell: Cell, base: Cell): SummaryRow | null {
  if (cell.n !== base.n || cell.clusters.size !== base.clusters.size) return null;
  const delta = (cell.total - base.total) / cell.n;
  const residuals: number[] = [];
  for (const [cluster, { sum, n }] of cell.clusters) {
    const other = base.clusters.get(cluster);
    if (other?.n !== n) return null;
    residuals.push(sum - other.sum - n * delta);
  }
  return rowOf(cell, `delta_${cell.metric}`, delta, standardError(residuals, cell.n));
}

interface RatioCells {
  over: Cell;
  by: Cell;
}

/** The ratio and its residuals, cluster by cluster. */
function ratioOf({ over, by }: RatioCells): { ratio: number; residuals: number[] } {
  const ratio = over.total / by.total;
  const residuals = [...over.clusters].map(([cluster, { sum }]) => sum - ratio * (by.clusters.get(cluster)?.sum ?? 0));
  return { ratio, residuals };
}

/** f and f' of a ratio. */
function scaled({ scale }: Ratio, ratio: number): { value: number; slope: number } {
  if (scale === "exp") return { value: Math.exp(ratio), slope: Math.exp(ratio) };
  if (scale === "bits") return { value: ratio / Math.LN2, slope: 1 / Math.LN2 };
  return { value: ratio, slope: 1 };
}

function ratioRow(name: string, scale: Ratio, cells: RatioCells): SummaryRow {
  const { ratio, residuals } = ratioOf(cells);
  const { value, slope } = scaled(scale, ratio);
  const stderr = standardError(residuals, cells.by.total);
  if (stderr === null) return rowOf(cells.over, name, value, null);
  const interval = [-1, 1].map((side) => scaled(scale, ratio + side * Z * stderr).value) as [number, number];
  return rowOf(cells.over, name, value, slope * stderr, interval);
}

function ratioDelta(name: string, scale: Ratio, own: RatioCells, base: RatioCells): SummaryRow {
  const [a, b] = [ratioOf(own), ratioOf(base)];
  const [first, second] = [scaled(scale, a.ratio), scaled(scale, b.ratio)];
  // Clusters come in the order of the data, so they are the same ones.
  const residuals = a.residuals.map(
    (residual, index) =>
      (first.slope * residual) / own.by.total - (second.slope * (b.residuals[index] ?? 0)) / base.by.total,
  );
  return rowOf(own.over, `delta_${name}`, first.value - second.value, standardError(residuals, 1));
}
