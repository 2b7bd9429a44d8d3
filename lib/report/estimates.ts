/**
 * The one place where the report meets the statistics of lib/metrics: differences from the untrained model in, estimates
 * with intervals, adjusted p-values and verdicts out. Sections know nothing of how they are made.
 */
import { type CrossedEstimate, crossedMean } from "../metrics/crossed.js";
import { type CrosstalkStudyOptions, crosstalkOfTable, type StudyCell } from "../metrics/crosstalk-study.js";
import { crossedRatio } from "../metrics/fieller.js";
import { StudyTable } from "../metrics/study-items.js";
import type { Unit } from "./format.js";
import type { Scope, Verdict } from "./page-data.js";

/** Differences (induced − untrained) of one training run, by item. */
export interface RunDeltas {
  seed: number | null;
  items: readonly { item: string; cluster: string; delta: number }[];
}

export interface Estimate {
  mean: number;
  /** 95 %; null where nothing varies that could be drawn again. */
  low: number | null;
  high: number | null;
  /** Two-sided, and the same adjusted for the family that it was estimated with. */
  p: number | null;
  adjusted: number | null;
  verdict: Verdict;
  margin: number | null;
  over: Scope;
  seeds: number;
  clusters: number;
  items: number;
  /** What a ratio to another estimate needs: its influence by run and cluster. */
  crossed: CrossedEstimate | null;
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

/**
 * Shifts this small count as none, stated before any data: two points of a share; one nat, which multiplies odds by e; for
 * per-token margins the same over fifty tokens. Measures without a unit have no margin, and no cell of theirs is
 * "equivalent".
 */
const MARGINS: Readonly<Record<Unit, number | null>> = {
  share: 0.02,
  nats: 1,
  "nats/token": 0.02,
  ratio: null,
  "": null,
};

/** How the estimates are made, for the page's method section. */
export const METHOD =
  "Differences are paired by item. Intervals are 95 % t intervals over training runs × prompts; with one run they are over " +
  "prompts alone. Variances between runs are moderated over the cells of a matrix. P-values are adjusted over the cells of " +
  "a matrix off the diagonal, and over those on it, by Benjamini and Yekutieli (beyond a control arm of twenty runs or more by max-T); “different” and “equivalent” are at 5 %. " +
  "Equivalence margins: 2 points, 1 nat, 0.02 nats per token. Ratios have Fieller’s intervals.";

const METRIC = "y";

/**
 * The estimates of cells that are tested together, in their order.
 *
 * @param name of the family, the same for families whose rows have the same runs
 */
export function estimateFamily(name: string, cells: readonly FamilyCell[], unit: Unit): Estimate[] {
  const table = new StudyTable();
  addCells(table, cells, INDUCE, new Map());
  const margin = MARGINS[unit];
  const [study] = crosstalkOfTable(table, optionsOf(margin));
  const runsOf = (row: string) => table.runs(INDUCE).filter(({ value }) => value === row);
  return cells.map(({ row, column, runs }) => {
    const cell = study!.cells.find(({ induced, measured }) => induced === row && measured === column);
    const seeds = runs.map(({ seed }) => seed).join(" ");
    const array = table.arm(METRIC, column, `${name}: ${row}: ${seeds}`, runsOf(row))?.array;
    return estimateOf(cell, array === undefined ? null : crossedMean(array), runs, margin);
  });
}

/**
 * The same beyond a control arm: each cell minus the control's change in the same cell. Null where the control lacks one of
 * them.
 */
export function estimateBeyond(
  cells: readonly FamilyCell[],
  controls: readonly FamilyCell[],
  unit: Unit,
): Estimate[] | null {
  const placeOf = ({ row, column }: FamilyCell): string => JSON.stringify([row, column]);
  const there = new Set(controls.map(placeOf));
  if (!cells.every((cell) => there.has(placeOf(cell)))) return null;
  const wanted = new Set(cells.map(placeOf));
  const table = new StudyTable();
  const known = new Map<string, Set<string>>();
  addCells(table, cells, INDUCE, known);
  addCells(
    table,
    controls.filter((cell) => wanted.has(placeOf(cell))),
    CONTROL,
    known,
  );
  const margin = MARGINS[unit];
  const [study] = crosstalkOfTable(table, { ...optionsOf(margin), control: CONTROL });
  return cells.map(({ row, column, runs }) => {
    const cell = study!.cells.find(({ induced, measured }) => induced === row && measured === column);
    return estimateOf(cell, null, runs, margin);
  });
}

const INDUCE = "induce";
const CONTROL = "control";

function optionsOf(margin: number | null): CrosstalkStudyOptions {
  return margin === null ? {} : { margins: { [METRIC]: margin } };
}

/** @param known items of the untrained model that the table has, by column */
function addCells(table: StudyTable, cells: readonly FamilyCell[], arm: string, known: Map<string, Set<string>>): void {
  for (const { row, column, runs } of cells) {
    const base = known.get(column) ?? new Set();
    known.set(column, base);
    for (const [run, { seed, items }] of runs.entries())
      for (const { item, cluster, delta } of items) {
        // The differences are against the untrained model already, so that one is zero on every item.
        if (!base.has(item)) table.add({ adapter: "base", task: column, metric: METRIC, item, cluster, y: 0 });
        base.add(item);
        const adapter = `${row} ${seed ?? `run ${run}`}`;
        table.add({ adapter, value: row, arm, task: column, metric: METRIC, item, cluster, y: delta });
      }
  }
}

function estimateOf(
  cell: StudyCell | undefined,
  crossed: CrossedEstimate | null,
  runs: readonly RunDeltas[],
  margin: number | null,
): Estimate {
  if (cell === undefined) {
    // Runs that share no item: each was measured, and they cannot be put together.
    const means = runs.map(({ items }) => items.reduce((sum, { delta }) => sum + delta, 0) / items.length);
    const mean = means.reduce((sum, each) => sum + each, 0) / means.length;
    const sizes = { seeds: runs.length, clusters: 0, items: 0 };
    return {
      mean,
      low: null,
      high: null,
      p: null,
      adjusted: null,
      verdict: "undecided",
      margin,
      over: "nothing",
      ...sizes,
      crossed,
    };
  }
  const { estimate, low, high, over, runs: seeds, clusters, items } = cell.moderated ?? cell.delta;
  const { p, adjustedP: adjusted, verdict } = cell;
  return { mean: estimate, low, high, p, adjusted, verdict, margin, over, seeds, clusters, items, crossed };
}

const BLANKS: Readonly<Record<string, string>> = {
  "denominator not shown to differ from 0": "the target’s own shift is not shown to differ from zero",
  "denominator not measured": "the target’s own shift was not measured",
  "no interval": "the target’s own shift has no interval",
};

/** An effect per unit of the shift of the target itself, blank where that is not shown to differ from zero. */
export function perUnitOf(effect: Estimate, target: Estimate | null): PerUnit {
  if (target === null || target.crossed === null || effect.crossed === null)
    return { kind: "blank", reason: BLANKS["denominator not measured"]! };
  const ratio = crossedRatio(effect.crossed, target.crossed);
  if (ratio.kind === "blank") return { kind: "blank", reason: BLANKS[ratio.why] ?? ratio.why };
  // One by definition, whatever the data.
  if (effect === target) return { kind: "ratio", mean: 1, low: null, high: null };
  return { kind: "ratio", mean: ratio.ratio, low: ratio.low, high: ratio.high };
}
