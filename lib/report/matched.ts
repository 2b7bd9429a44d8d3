/**
 * Crosstalk at an equal distance from the untrained model. Rows of a matrix were not trained to the same strength; at one
 * KL divergence they are alike in that, and what is left differs by what was induced (metrics/matched-kl.ts).
 */
import { reachedKl, shiftAtKl, type Trajectory } from "../metrics/matched-kl.js";
import { benjaminiYekutieli } from "../metrics/multiplicity.js";
import type { Effect, Results } from "./collect.js";
import { groupBy, unique } from "./group.js";
import type { ItemMean, Series } from "./series.js";

export interface MatchedCell {
  value: string;
  task: string;
  /** Why there is no number, or the shift at that KL with its 95 % interval. */
  shift: MatchedShift | string;
}

export interface MatchedShift {
  mean: number;
  low: number | null;
  high: number | null;
  p: number | null;
  /** Over the cells of the matrix on the diagonal, or over those off it (Benjamini and Yekutieli). */
  adjusted: number | null;
}

export interface MatchedMatrix {
  /** Nats, the same for every row. */
  kl: number;
  cells: MatchedCell[];
}

/** Of the rows of a matrix, so many come as far as the distance that they are compared at. */
const SHARE_OF_ROWS = 0.75;

/**
 * @param final cells of one matrix: one model, arm and measure, at the last checkpoint
 * @returns null where no divergence was measured
 */
export function matchAtKl(final: readonly Effect[], results: Results): MatchedMatrix | null {
  const [first] = final;
  if (first === undefined) return null;
  const like = (one: { model: string; arm: string | null }) => one.model === first.model && one.arm === first.arm;
  const divergence = groupBy(results.divergence.filter(like), ({ value }) => value!);
  const checkpoints = groupBy(
    results.effects.filter(
      (effect) =>
        like(effect) &&
        effect.suite === first.suite &&
        effect.metric === first.metric &&
        effect.grader === first.grader,
    ),
    ({ value, task }) => JSON.stringify([value, task]),
  );
  const trajectories = final.map(({ value, task }) =>
    trajectoryOf(checkpoints.get(JSON.stringify([value, task])) ?? [], divergence.get(value) ?? []),
  );
  const reached = new Map<string, number>();
  for (const [index, trajectory] of trajectories.entries()) {
    if (trajectory === null) continue;
    const { value } = final[index]!;
    reached.set(value, Math.max(reachedKl(trajectory), reached.get(value) ?? 0));
  }
  const ends = [...reached.values()].sort((a, b) => b - a);
  const kl = roundDown(ends[Math.ceil(SHARE_OF_ROWS * ends.length) - 1] ?? 0);
  if (!(kl > 0)) return null;
  const cells = final.map(({ value, task }, index): MatchedCell => {
    const trajectory = trajectories[index];
    if (trajectory === null || trajectory === undefined)
      return { value, task, shift: "its divergence was not measured" };
    const found = shiftAtKl(trajectory, kl);
    if (found.kind === "blank")
      return { value, task, shift: `a run of it came no farther than ${found.reached.toPrecision(2)} nats` };
    const { estimate: mean, low, high, p } = found.shift;
    return { value, task, shift: { mean, low, high, p, adjusted: null } };
  });
  for (const onTarget of [true, false])
    adjust(cells.flatMap(({ shift }, index) => (final[index]!.onTarget === onTarget ? [shift] : [])));
  return { kl, cells };
}

function adjust(shifts: readonly (MatchedShift | string)[]): void {
  const tested = shifts.filter((shift) => typeof shift !== "string").filter(({ p }) => p !== null);
  const adjusted = benjaminiYekutieli(tested.map(({ p }) => p!));
  tested.forEach((shift, index) => {
    shift.adjusted = adjusted[index]!;
  });
}

/** Two digits, so that it can be said; down, so that it is reached. */
function roundDown(value: number): number {
  if (!(value > 0)) return 0;
  const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.floor(value / unit) * unit).toPrecision(2));
}

/** One cell's runs along their checkpoints; null where a run lacks a checkpoint or its divergence. */
function trajectoryOf(effects: readonly Effect[], divergence: readonly Series[]): Trajectory | null {
  const sorted = [...effects].sort((a, b) => (a.step ?? 0) - (b.step ?? 0));
  const seeds = unique(sorted.flatMap(({ series }) => series.map(({ seed }) => seed)));
  const steps = sorted.map(({ step }) => step);
  const shifts: Map<string, ItemMean>[] = [];
  const divergences: Map<string, ItemMean>[] = [];
  for (const seed of seeds)
    for (const effect of sorted) {
      const run = effect.series.find((one) => one.seed === seed);
      const own = divergence.find((one) => one.seed === seed && one.step === effect.step);
      if (run === undefined || own === undefined || effect.step === null) return null;
      shifts.push(changes(run.items, effect.base.items));
      divergences.push(own.items);
    }
  if (shifts.length === 0) return null;
  const clusters = new Map<string, number>();
  const shift = sumUp(shifts, clusters);
  const kl = sumUp(divergences, clusters);
  if (shift === null || kl === null) return null;
  const spread = ({ counts, sums }: Sums) => ({
    counts: padded(counts, clusters.size),
    sums: Float64Array.from(sums.flatMap((each) => [...padded(each, clusters.size)])),
  });
  const [s, k] = [spread(shift), spread(kl)];
  return {
    runs: seeds.length,
    steps: steps as number[],
    klCounts: k.counts,
    shiftCounts: s.counts,
    kl: k.sums,
    shift: s.sums,
  };
}

function changes(items: ReadonlyMap<string, ItemMean>, base: ReadonlyMap<string, ItemMean>): Map<string, ItemMean> {
  const result = new Map<string, ItemMean>();
  for (const [item, { cluster, sum, count }] of items) {
    const untrained = base.get(item);
    if (untrained === undefined) continue;
    result.set(item, { cluster, sum: sum / count - untrained.sum / untrained.count, count: 1 });
  }
  return result;
}

interface Sums {
  counts: number[];
  /** One list for each table. */
  sums: number[][];
}

/** Over the items that all tables have, by cluster; clusters get numbers as they come. Null where there is no such item. */
function sumUp(tables: readonly ReadonlyMap<string, ItemMean>[], clusters: Map<string, number>): Sums | null {
  const counts: number[] = [];
  const sums = tables.map((): number[] => []);
  let items = 0;
  for (const [item, { cluster }] of tables[0]!) {
    if (!tables.every((table) => table.has(item))) continue;
    items += 1;
    const at = clusters.get(cluster) ?? clusters.size;
    clusters.set(cluster, at);
    counts[at] = (counts[at] ?? 0) + 1;
    for (const [index, table] of tables.entries()) {
      const { sum, count } = table.get(item)!;
      sums[index]![at] = (sums[index]![at] ?? 0) + sum / count;
    }
  }
  return items === 0 ? null : { counts, sums };
}

function padded(values: readonly (number | undefined)[], length: number): Float64Array {
  return Float64Array.from({ length }, (_, index) => values[index] ?? 0);
}
