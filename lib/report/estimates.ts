/**
 * The one place where the report meets the statistics of lib/metrics: differences from the untrained model in, estimates
 * with intervals and verdicts out. Sections know nothing of how they are made.
 */
import { bootstrapMean } from "../metrics/bootstrap.js";
import type { Verdict } from "./page-data.js";

/** Differences (induced − untrained) of one training run, by item. */
export interface RunDeltas {
  seed: number | null;
  items: readonly { item: string; cluster: string; delta: number }[];
}

export interface Estimate {
  mean: number;
  low: number | null;
  high: number | null;
  p: number | null;
  /** For the family of cells that it was estimated with. */
  adjusted: number | null;
  verdict: Verdict;
  margin: number | null;
  seeds: number;
  clusters: number;
  items: number;
}

export type PerUnit =
  | { kind: "ratio"; mean: number; low: number | null; high: number | null }
  | { kind: "blank"; reason: string };

/** One cell of a family: what inducing `row` did to `column`. */
export interface FamilyCell {
  row: string;
  column: string;
  runs: readonly RunDeltas[];
}

export interface FamilyOptions {
  seed: number;
  /** Which cells get an interval; a picture of many checkpoints needs none for most. */
  withInterval: (cell: FamilyCell) => boolean;
  /** Differences within ± this count as none; null where none is stated. */
  margin: number | null;
}

/** How the estimates are made, for the page's method section. */
export const METHOD =
  "Differences are paired by item and averaged within clusters of items (one prompt, one cluster). Intervals are 95 % BCa " +
  "bootstraps over clusters; runs with several seeds are averaged first, so the intervals speak of prompts and not of seeds.";

/** The estimates of cells that are tested together, in their order. */
export function estimateFamily(cells: readonly FamilyCell[], options: FamilyOptions): Estimate[] {
  return cells.map((cell, stream) => estimateCell(cell, stream, options));
}

function estimateCell(cell: FamilyCell, stream: number, { seed, withInterval, margin }: FamilyOptions): Estimate {
  const values = clusterMeans(cell.runs);
  const items = new Set(cell.runs.flatMap((run) => run.items.map(({ item }) => item))).size;
  const shared = { p: null, adjusted: null, seeds: cell.runs.length, clusters: values.length, items, margin };
  if (!withInterval(cell)) {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return { mean, low: null, high: null, verdict: "undecided", ...shared };
  }
  const { mean, low, high } = bootstrapMean(values, { seed, stream });
  return { mean, low, high, verdict: verdictOf(low, high, margin), ...shared };
}

/** The mean of each cluster over its items and runs: what is independent of one another, given the runs. */
function clusterMeans(runs: readonly RunDeltas[]): number[] {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const { items } of runs)
    for (const { cluster, delta } of items) {
      const entry = sums.get(cluster);
      if (entry === undefined) sums.set(cluster, { sum: delta, count: 1 });
      else {
        entry.sum += delta;
        entry.count += 1;
      }
    }
  return [...sums.values()].map(({ sum, count }) => sum / count);
}

function verdictOf(low: number, high: number, margin: number | null): Verdict {
  if (low > 0 || high < 0) return "different";
  return margin !== null && low > -margin && high < margin ? "equivalent" : "undecided";
}

/** An effect per unit of the shift of the target itself, blank where that is not clear of zero. */
export function perUnitOf(effect: Estimate, target: Estimate | null): PerUnit {
  if (target === null) return { kind: "blank", reason: "the target's own shift was not measured" };
  if (target.low === null || target.high === null) return { kind: "blank", reason: "the target's shift has no interval" };
  if (target.low <= 0 && target.high >= 0)
    return { kind: "blank", reason: "the interval of the target's own shift holds zero" };
  return { kind: "ratio", mean: effect.mean / target.mean, low: null, high: null };
}
