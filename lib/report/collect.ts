/**
 * Series → effects: for every induced model, checkpoint, task and metric the difference from the untrained model on the
 * same items, with its estimate. Everything that a report shows is an effect, or a selection of effects.
 */
import { DataFormatError } from "../errors.js";
import {
  type Estimate,
  estimateBeyond,
  estimateFamily,
  type FamilyCell,
  type PerUnit,
  perUnitOf,
  type RunDeltas,
} from "./estimates.js";
import type { Unit } from "./format.js";
import { groupBy, pushTo, unique } from "./group.js";
import { measureOrder, type Place, placeOf, unitOf } from "./measures.js";
import type { CellDetail } from "./page-data.js";
import type { Series, SeriesTable } from "./series.js";

export interface Effect extends CellDetail {
  place: Place;
  /** At the last checkpoint of its model, value and arm. */
  final: boolean;
  /** The task is the induced value itself. */
  onTarget: boolean;
  perRun: readonly { seed: number | null; mean: number }[];
  /** Where its items are: one series a run, and the untrained model's. */
  series: readonly Series[];
  base: Series;
  crossed: Estimate["crossed"];
}

export interface Results {
  effects: Effect[];
  models: string[];
  /** Induced values, tasks of the matrices, arms: in order of first appearance, "induce" first. */
  values: string[];
  arms: string[];
  /** Most training runs that any effect is over. */
  seeds: number;
  items: number;
  /** The matrix measure that the page opens with; null where there is none. */
  primary: { suite: string; metric: string; grader: string | null } | null;
  /** Mean KL to the untrained model, by `doseKey`. */
  kl: Map<string, number>;
  /** The items behind it: one series a run and checkpoint. */
  divergence: Series[];
}

/** @throws DataFormatError where there is no untrained model, or nothing to compare with it */
export function collectResults(table: SeriesTable): Results {
  const bases = baseSeries(table.series);
  const units = unitsOf(table.series);
  const groups = new Map<string, Series[]>();
  for (const series of table.series) {
    if (series.value === null || ["hidden", "dose-axis"].includes(placeOf(series.suite, series.metric))) continue;
    const { model, value, arm, step, suite, task, metric, grader } = series;
    pushTo(groups, JSON.stringify([model, value, arm, step, suite, task, metric, grader]), series);
  }
  if (bases.size === 0) throw new DataFormatError("items.jsonl has no items of the untrained model (adapter base)");
  const lastStep = lastSteps(table.series);
  const drafts = [...groups.values()].flatMap((series) => draftOf(series, bases, units, lastStep) ?? []);
  if (drafts.length === 0)
    throw new DataFormatError("items.jsonl has no induced model that shares an item with the untrained one");
  estimateAll(drafts);
  const effects = drafts.map(({ effect }) => effect);
  const primary = primaryOf(effects);
  addPerUnit(effects, primary);
  const arms = unique(effects.map(({ arm }) => arm));
  // It needs no untrained model beside it: its items are differences from that already.
  const divergence = table.series.filter(
    ({ suite, metric, value }) => placeOf(suite, metric) === "dose-axis" && value !== null,
  );
  return {
    effects,
    models: unique(effects.map(({ model }) => model)),
    values: unique(effects.map(({ value }) => value)),
    arms: [...arms.filter((arm) => isArm(arm, "induce")), ...arms.filter((arm) => !isArm(arm, "induce"))],
    seeds: effects.reduce((most, { seeds }) => Math.max(most, seeds), 0),
    items: table.items,
    primary,
    kl: divergences(divergence),
    divergence,
  };
}

/** One checkpoint of one induced value, whatever its seeds. */
export function doseKey({ model, value, arm, step }: Pick<Series, "model" | "value" | "arm" | "step">): string {
  return JSON.stringify([model, value, arm, step]);
}

/** Whether an arm is `kind`, with whatever was varied in it. */
export function isArm(arm: string, kind: string): boolean {
  return arm === kind || arm.startsWith(`${kind}, `);
}

function divergences(all: readonly Series[]): Map<string, number> {
  const sums = new Map<string, { sum: number; count: number }>();
  for (const series of all) {
    const key = doseKey(series);
    const total = sums.get(key) ?? { sum: 0, count: 0 };
    for (const { sum, count } of series.items.values()) {
      total.sum += sum / count;
      total.count += 1;
    }
    sums.set(key, total);
  }
  return new Map([...sums].map(([key, { sum, count }]) => [key, sum / count]));
}

interface Draft {
  effect: Effect;
  runs: RunDeltas[];
}

const taskKey = ({ model, suite, task, metric, grader }: Series): string =>
  JSON.stringify([model, suite, task, metric, grader]);

function baseSeries(all: readonly Series[]): Map<string, Series[]> {
  const bases = new Map<string, Series[]>();
  for (const series of all) if (series.value === null) pushTo(bases, taskKey(series), series);
  return bases;
}

/** A metric is a share where every number that any model got lies from 0 to 1. */
function unitsOf(all: readonly Series[]): Map<string, Unit> {
  const within = new Map<string, boolean>();
  for (const { suite, metric, items } of all) {
    const key = `${suite}\n${metric}`;
    let holds = within.get(key) ?? true;
    if (holds) for (const { sum, count } of items.values()) holds &&= sum >= 0 && sum <= count;
    within.set(key, holds);
  }
  return new Map([...within].map(([key, holds]) => [key, unitOf(key.split("\n")[1]!, holds)]));
}

function lastSteps(all: readonly Series[]): Map<string, number> {
  const last = new Map<string, number>();
  for (const { model, value, arm, step } of all) {
    const key = JSON.stringify([model, value, arm]);
    last.set(key, Math.max(last.get(key) ?? Number.NEGATIVE_INFINITY, step ?? 0));
  }
  return last;
}

/** The runs of one cell, each paired with the untrained model by item; null where they share no item. */
function draftOf(
  series: readonly Series[],
  bases: Map<string, Series[]>,
  units: Map<string, Unit>,
  lastStep: Map<string, number>,
): Draft | null {
  const first = series[0]!;
  const candidates = bases.get(taskKey(first)) ?? [];
  let before = 0;
  let after = 0;
  let compared = 0;
  let aboveBefore = 0;
  let aboveAfter = 0;
  const runs: RunDeltas[] = [];
  let base = candidates[0];
  for (const run of series) {
    const own = candidates.find(({ seed }) => seed === run.seed) ?? candidates[0];
    if (own === undefined) return null;
    base = own;
    const items: RunDeltas["items"][number][] = [];
    for (const [item, { cluster, sum, count }] of run.items) {
      const untrained = own.items.get(item);
      if (untrained === undefined) continue;
      const y = sum / count;
      const baseY = untrained.sum / untrained.count;
      items.push({ item, cluster: `${run.suite} ${cluster}`, delta: y - baseY });
      before += baseY;
      after += y;
      aboveBefore += Number(baseY > 0);
      aboveAfter += Number(y > 0);
      compared += 1;
    }
    if (items.length > 0) runs.push({ seed: run.seed, items });
  }
  if (runs.length === 0) return null;
  const { model, value, arm, step, suite, task, metric, grader } = first;
  const place = placeOf(suite, metric);
  const unit = units.get(`${suite}\n${metric}`) ?? "";
  const isMargin = place === "matrix" && (unit === "nats" || unit === "nats/token");
  const perRun = runs.map(({ seed, items }) => ({
    seed,
    mean: items.reduce((sum, { delta }) => sum + delta, 0) / items.length,
  }));
  const effect: Effect = {
    model,
    value: value!,
    arm: arm!,
    step,
    suite,
    task,
    metric,
    grader,
    unit,
    before: before / compared,
    after: after / compared,
    aboveBefore: isMargin ? aboveBefore / compared : null,
    aboveAfter: isMargin ? aboveAfter / compared : null,
    mean: Number.NaN,
    low: null,
    high: null,
    p: null,
    adjusted: null,
    verdict: "undecided",
    margin: null,
    over: "nothing",
    seeds: runs.length,
    clusters: 0,
    items: 0,
    unitMean: null,
    unitLow: null,
    unitHigh: null,
    unitBlank: null,
    control: null,
    beyondMean: null,
    beyondLow: null,
    beyondHigh: null,
    beyondVerdict: null,
    runs: perRun.map(({ seed, mean }) => `${seed ?? ""}:${Number(mean.toPrecision(5))}`).join(" "),
    place,
    final: (step ?? 0) === lastStep.get(JSON.stringify([model, value, arm])),
    onTarget: place === "matrix" && task === value,
    perRun,
    series,
    base: base!,
    crossed: null,
  };
  return { effect, runs };
}

/** Cells of one model, arm, measure and checkpoint are a family: they are read, and tested, together. */
function estimateAll(drafts: readonly Draft[]): void {
  const familyOf = ({ model, step, final, suite, metric, grader }: Effect, arm: string): string =>
    JSON.stringify([model, arm, final ? "final" : step, suite, metric, grader]);
  const families = groupBy(drafts, ({ effect }) => familyOf(effect, effect.arm));
  for (const family of families.values()) {
    const { model, arm, step, final, unit, place } = family[0]!.effect;
    const estimates = estimateFamily(JSON.stringify([model, arm, final ? "final" : step]), family.map(cellOf), unit);
    family.forEach(({ effect }, index) => {
      Object.assign(effect, estimates[index]);
    });
    if (!final || place !== "matrix" || !isArm(arm, "induce")) continue;
    // The flipped one has the lengths and the flips of the induce arm (docs/curation.md): its first choice of a control.
    const control = ["flipped-random", "random"]
      .map((kind) => arm.replace("induce", kind))
      .find((name) => families.has(familyOf(family[0]!.effect, name)));
    if (control !== undefined) addBeyond(family, families.get(familyOf(family[0]!.effect, control))!, control);
  }
}

const cellOf = ({ effect, runs }: Draft): FamilyCell => ({ row: effect.value, column: effect.task, runs });

function addBeyond(family: readonly Draft[], controls: readonly Draft[], control: string): void {
  const beyond = estimateBeyond(family.map(cellOf), controls.map(cellOf), family[0]!.effect.unit);
  if (beyond === null) return;
  family.forEach(({ effect }, index) => {
    const { mean, low, high, verdict } = beyond[index]!;
    Object.assign(effect, { control, beyondMean: mean, beyondLow: low, beyondHigh: high, beyondVerdict: verdict });
  });
}

function primaryOf(effects: readonly Effect[]): Results["primary"] {
  const candidates = effects.filter(({ place }) => place === "matrix");
  const onTarget = candidates.filter((effect) => effect.onTarget);
  const [first] = [...(onTarget.length > 0 ? onTarget : candidates)].sort(
    (a, b) => measureOrder(a.metric) - measureOrder(b.metric),
  );
  return first === undefined ? null : { suite: first.suite, metric: first.metric, grader: first.grader };
}

export function isMeasure(
  effect: Pick<Effect, "suite" | "metric" | "grader">,
  measure: { suite: string; metric: string; grader: string | null } | null,
): boolean {
  return (
    measure !== null &&
    effect.suite === measure.suite &&
    effect.metric === measure.metric &&
    effect.grader === measure.grader
  );
}

/** Every effect over the shift of its own target: of the same measure in a matrix, of the primary one elsewhere. */
function addPerUnit(effects: readonly Effect[], primary: Results["primary"]): void {
  const targets = new Map<string, Effect>();
  const key = (effect: Effect, measure: NonNullable<Results["primary"]>): string =>
    JSON.stringify([
      effect.model,
      effect.value,
      effect.arm,
      effect.step,
      measure.suite,
      measure.metric,
      measure.grader,
    ]);
  for (const effect of effects) if (effect.onTarget) targets.set(key(effect, effect), effect);
  for (const effect of effects) {
    const measure = effect.place === "matrix" ? effect : primary;
    const target = measure === null ? undefined : targets.get(key(effect, measure));
    const perUnit: PerUnit = perUnitOf(effect, target ?? null);
    if (perUnit.kind === "blank") effect.unitBlank = perUnit.reason;
    else {
      effect.unitMean = perUnit.mean;
      effect.unitLow = perUnit.low;
      effect.unitHigh = perUnit.high;
    }
  }
}
