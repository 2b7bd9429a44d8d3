/**
 * The crosstalk matrix of a study: what inducing value i does to the measure of every value j, over training seeds and
 * prompts. A cell is the mean change from the untrained model on the same items, minus the control arm's change where
 * there is one, with an interval, a p-value adjusted for the number of cells, a verdict, and the change per unit of what
 * the induction did to its own target. docs/statistics.md says what each figure may be read as.
 */
import {
  type CrossedEstimate,
  crossedDifference,
  crossedMean,
  crossedVariance,
  type Inference,
  infer,
} from "./crossed.js";
import { equivalenceP, type Verdict, verdict } from "./equivalence.js";
import { crossedRatio, type Ratio } from "./fieller.js";
import { countRelabellings, type PromptPart, relabelledMaxT } from "./max-t.js";
import { fitVariancePrior, moderate, type VariancePrior } from "./moderated.js";
import { benjaminiYekutieli, holm } from "./multiplicity.js";
import { type ArmMeans, type StudyItem, type StudyRun, StudyTable } from "./study-items.js";

export type CorrectionName = "max-t" | "benjamini-yekutieli" | "holm";

export interface CrosstalkStudyOptions {
  /** Metrics to look at, for example the log-probability margin in total and per token; default: all there are. */
  metrics?: readonly string[];
  /** Arm whose runs are the rows; default "induce". */
  arm?: string;
  /**
   * Arm whose change is subtracted, for example "random". A row takes the runs of that arm with its own value, or, where
   * there are none, those without a value. Default: nothing is subtracted.
   */
  control?: string;
  /** The column that a value is to move; default: the one of its name. */
  targetOf?: (value: string) => string;
  /** By metric: the shift that still counts as no change. Without one no cell is called equivalent. */
  margins?: Readonly<Record<string, number>>;
  /** Default 0.95; verdicts are at 1 − confidence. */
  confidence?: number;
  /** Default: max-T where the control arm's runs allow it, else Benjamini and Yekutieli. */
  correction?: CorrectionName;
  /** Of relabellings that are drawn. */
  seed?: number;
}

export interface StudyCell {
  induced: string;
  measured: string;
  onTarget: boolean;
  /** Change from the untrained model. */
  shift: Inference;
  /** The same minus the control arm's change; `shift` where there is none. */
  delta: Inference;
  /** `delta` with its variance between runs moderated over the cells; null with one run, or too few cells. */
  moderated: Inference | null;
  /** Two-sided; the moderated one where there is one. */
  p: number | null;
  /** Over the off-diagonal cells, or over the on-target ones. */
  adjustedP: number | null;
  /** Of "the shift is as large as the margin, or larger". */
  equivalenceP: number | null;
  verdict: Verdict;
  /** Delta per unit of the row's on-target delta; blank where that is not shown to differ from 0. */
  perUnit: Ratio;
  /** Items that the untrained model or a run lacks. */
  leftOut: number;
}

export interface CrosstalkStudy {
  metric: string;
  arm: string;
  control: string | null;
  induced: string[];
  measured: string[];
  correction: {
    method: CorrectionName;
    /** Off-diagonal cells with a p-value. */
    cells: number;
    /** Why this one: what there was of control runs. */
    why: string;
  };
  /** Priors of the variance between runs, nats² or the metric's; null where there are too few cells. */
  priors: { onTarget: VariancePrior | null; offTarget: VariancePrior | null; control: VariancePrior | null };
  /** Row by row, `induced` outermost. Cells whose runs share no item with the untrained model are not there. */
  cells: StudyCell[];
}

/** So many random-subset runs are needed before their largest statistics say anything about 5 %. */
export const FEWEST_NULL_RUNS = 20;

/**
 * One matrix a metric. Items of one model, suite, dose and grader; of other arms than the two named nothing is read.
 *
 * @throws RangeError for items that contradict each other (study-items.ts), a control arm without runs, no untrained
 *   model, or several runs of one value with one seed (checkpoints or doses of a run have to be looked at one by one)
 */
export async function crosstalkStudy(
  items: AsyncIterable<StudyItem> | Iterable<StudyItem>,
  options: CrosstalkStudyOptions = {},
): Promise<CrosstalkStudy[]> {
  const table = new StudyTable();
  for await (const item of items) table.add(item);
  return crosstalkOfTable(table, options);
}

/** The same from items that are already in a table. */
export function crosstalkOfTable(table: StudyTable, options: CrosstalkStudyOptions = {}): CrosstalkStudy[] {
  return (options.metrics ?? table.metrics()).map((metric) => matrixOf(table, metric, options));
}

/** A cell before anything is said of the others. */
interface RawCell {
  induced: string;
  measured: string;
  onTarget: boolean;
  arm: ArmMeans;
  shift: CrossedEstimate;
  delta: CrossedEstimate;
}

function matrixOf(table: StudyTable, metric: string, options: CrosstalkStudyOptions): CrosstalkStudy {
  const { arm = "induce", control, confidence = 0.95, targetOf = (value: string) => value } = options;
  const measured = table.columns(metric);
  if (measured.length === 0) throw new RangeError(`${metric}: the untrained model (base) has no items to compare with`);
  const rows = rowsOf(table.runs(arm), arm);
  const controls = control === undefined ? [] : table.runs(control);
  if (control !== undefined && controls.length === 0)
    throw new RangeError(`there is no run of the control arm ${control}`);

  const raw: RawCell[] = [];
  const controlMeans = new Map<string, CrossedEstimate>();
  for (const [induced, runs] of rows) {
    const own = controls.filter(({ value }) => value === induced);
    const chosen = own.length > 0 ? own : controls.filter(({ value }) => value === undefined);
    if (control !== undefined && chosen.length === 0)
      throw new RangeError(`${induced} has no run of the control arm ${control}, and none is without a value`);
    const controlGroup = `${control}:${own.length > 0 ? induced : ""}`;
    for (const column of measured) {
      const means = table.arm(metric, column, `${arm}:${induced}`, runs);
      if (means === null) continue;
      const shift = crossedMean(means.array);
      let delta = shift;
      if (control !== undefined) {
        const key = JSON.stringify([controlGroup, column]);
        const known = controlMeans.get(key);
        const other = known ?? controlMean(table, metric, column, controlGroup, chosen);
        controlMeans.set(key, other);
        delta = crossedDifference(shift, other);
      }
      raw.push({ induced, measured: column, onTarget: targetOf(induced) === column, arm: means, shift, delta });
    }
  }

  const priors = {
    onTarget: priorOf(raw.filter(({ onTarget }) => onTarget).map(({ shift }) => shift)),
    offTarget: priorOf(raw.filter(({ onTarget }) => !onTarget).map(({ shift }) => shift)),
    control: priorOf([...controlMeans.values()]),
  };
  const cells = raw.map((cell) => estimateCell(cell, raw, priors, { metric, arm, confidence, options }));
  const correction = adjust(cells, raw, { table, metric, rows, controls, options });
  for (const cell of cells) {
    cell.verdict = verdict({ differenceP: cell.adjustedP, equivalenceP: cell.equivalenceP }, 1 - confidence);
  }
  return {
    metric,
    arm,
    control: control ?? null,
    induced: [...rows.keys()],
    measured,
    correction,
    priors,
    cells,
  };
}

/** Runs by the value they induce. */
function rowsOf(runs: readonly StudyRun[], arm: string): Map<string, StudyRun[]> {
  const rows = new Map<string, StudyRun[]>();
  for (const run of runs) {
    if (run.value === undefined) throw new RangeError(`${run.adapter} of arm ${arm} induces no value`);
    const row = rows.get(run.value) ?? [];
    const twin = row.find(({ seed }) => seed !== undefined && seed === run.seed);
    if (twin !== undefined)
      throw new RangeError(
        `${run.value}: ${twin.adapter} at step ${twin.step} and ${run.adapter} at step ${run.step} have the same seed; keep one dose`,
      );
    rows.set(run.value, [...row, run]);
  }
  return rows;
}

function controlMean(
  table: StudyTable,
  metric: string,
  column: string,
  group: string,
  runs: readonly StudyRun[],
): CrossedEstimate {
  const means = table.arm(metric, column, group, runs);
  if (means === null) throw new RangeError(`the control arm has no items of ${column} (${metric})`);
  return crossedMean(means.array);
}

/** Of the variance between runs, over cells. */
function priorOf(estimates: readonly CrossedEstimate[]): VariancePrior | null {
  const samples = estimates.flatMap((estimate) =>
    crossedVariance(estimate).runs.map(({ variance, size, df }) => ({ variance: variance * size, df })),
  );
  const prior = fitVariancePrior(samples);
  return prior.df > 0 ? prior : null;
}

function estimateCell(
  cell: RawCell,
  raw: readonly RawCell[],
  priors: CrosstalkStudy["priors"],
  context: { metric: string; arm: string; confidence: number; options: CrosstalkStudyOptions },
): StudyCell {
  const { metric, arm, confidence, options } = context;
  const { induced, measured, onTarget, delta } = cell;
  const plain = infer(delta, { confidence });
  const prior = onTarget ? priors.onTarget : priors.offTarget;
  const priorOfGroup = (group: string): VariancePrior | null =>
    group === `${arm}:${induced}` ? prior : priors.control;
  const canModerate = plain.runs > 1 && crossedVariance(delta).runs.some(({ group }) => priorOfGroup(group) !== null);
  const moderated = canModerate
    ? infer(delta, {
        confidence,
        runVariance: ({ group, size, variance, df }) => {
          const ownPrior = priorOfGroup(group);
          if (ownPrior === null) return { variance, df };
          const better = moderate({ variance: variance * size, df }, ownPrior);
          return { variance: better.variance / size, df: better.df };
        },
      })
    : null;
  const best = moderated ?? plain;
  const target = raw.find((other) => other.induced === induced && other.onTarget);
  const margin = options.margins?.[metric];
  return {
    induced,
    measured,
    onTarget,
    shift: infer(cell.shift, { confidence }),
    delta: plain,
    moderated,
    p: best.p,
    adjustedP: null,
    equivalenceP: margin === undefined ? null : equivalenceP(best, margin),
    verdict: "undecided",
    perUnit:
      target === undefined
        ? { kind: "blank", why: "denominator not measured" }
        : crossedRatio(delta, target.delta, confidence),
    leftOut: cell.arm.leftOut,
  };
}

/** Fills `adjustedP`, and says how. */
function adjust(
  cells: StudyCell[],
  raw: readonly RawCell[],
  context: {
    table: StudyTable;
    metric: string;
    rows: Map<string, StudyRun[]>;
    controls: readonly StudyRun[];
    options: CrosstalkStudyOptions;
  },
): CrosstalkStudy["correction"] {
  const { rows, controls, options } = context;
  const confidence = options.confidence ?? 0.95;
  const offTarget = cells.filter(({ onTarget, p }) => !onTarget && p !== null);
  const { method, why } = chooseCorrection(rows, controls.length, 1 - confidence, options.correction);
  const byP = method === "holm" ? holm : benjaminiYekutieli;
  const fill = (family: StudyCell[]): void => {
    const adjusted = byP(family.map(({ p }) => p!));
    for (const [index, cell] of family.entries()) cell.adjustedP = adjusted[index]!;
  };
  fill(cells.filter(({ onTarget, p }) => onTarget && p !== null));
  if (method === "max-t") adjustByMaxT(cells, raw, context);
  else fill(offTarget);
  return { method, cells: offTarget.length, why };
}

/** Relabelling says no p below rows / (number of relabellings): of no use where that is not well below α. */
function chooseCorrection(
  rows: Map<string, StudyRun[]>,
  nullRuns: number,
  alpha: number,
  asked: CorrectionName | undefined,
): { method: CorrectionName; why: string } {
  const finest = Math.max(
    ...[...rows.values()].map((runs) => rows.size / countRelabellings(runs.length, runs.length + nullRuns)),
  );
  const possible = nullRuns >= FEWEST_NULL_RUNS && finest <= alpha / 2;
  if (asked === "max-t" && !possible)
    throw new RangeError(
      `max-T needs ${FEWEST_NULL_RUNS} control runs and relabellings down to p = ${alpha / 2}; ` +
        `there are ${nullRuns} runs, down to p = ${finest.toPrecision(2)}`,
    );
  const there = `${nullRuns} control runs, whose relabellings reach an adjusted p of ${finest.toPrecision(2)}`;
  if (asked !== undefined) return { method: asked, why: "asked for" };
  if (possible) return { method: "max-t", why: there };
  return { method: "benjamini-yekutieli", why: nullRuns === 0 ? "no control runs" : there };
}

/**
 * Step-down max-T over the off-diagonal cells of a row, then times the number of rows (Bonferroni): rows have runs of
 * their own, and over such families a Bonferroni correction gives away next to nothing.
 */
function adjustByMaxT(
  cells: StudyCell[],
  raw: readonly RawCell[],
  {
    table,
    metric,
    rows,
    controls,
    options,
  }: {
    table: StudyTable;
    metric: string;
    rows: Map<string, StudyRun[]>;
    controls: readonly StudyRun[];
    options: CrosstalkStudyOptions;
  },
): void {
  for (const induced of rows.keys()) {
    const family = cells.flatMap((cell, index) => {
      if (cell.induced !== induced || cell.onTarget) return [];
      const nulls = table.arm(metric, cell.measured, "null", controls);
      return nulls === null ? [] : [{ cell, own: raw[index]!, nulls }];
    });
    if (family.length === 0) continue;
    const byRun = (means: readonly Float64Array[]): number[][] =>
      Array.from({ length: means[0]!.length }, (_, run) => means.map((column) => column[run]!));
    const adjusted = relabelledMaxT(
      byRun(family.map(({ own }) => own.arm.means)),
      byRun(family.map(({ nulls }) => nulls.means)),
      { seed: options.seed, prompts: family.map(({ own, nulls }) => promptPart(own.shift, crossedMean(nulls.array))) },
    );
    for (const [index, { cell }] of family.entries()) cell.adjustedP = Math.min(1, rows.size * adjusted[index]!);
  }
}

function promptPart(induced: CrossedEstimate, nulls: CrossedEstimate): PromptPart {
  const difference = crossedDifference(induced, nulls);
  const { clusters, interactions } = crossedVariance(difference);
  const shown = interactions.reduce((sum, { variance }) => sum + variance, 0);
  return {
    clusters: difference.clusters,
    byCluster: difference.byCluster,
    variance: Math.max(0, (clusters?.variance ?? 0) - shown),
  };
}
