/** Dose curves: the target's shift against steps and KL, and what came along with it. */
import { doseKey, type Effect, isMeasure, type Results } from "../collect.js";
import { formatDelta, formatInterval, type Unit, unitName } from "../format.js";
import { groupBy } from "../group.js";
import { html } from "../html.js";
import { measureTitle } from "../measures.js";
import type { ChartSpec } from "../page-data.js";
import { foldedTable, type Table } from "../table.js";
import { conclude, renderChart, renderViews, runsPhrase, type Section, type SectionContext } from "./section.js";

/** One checkpoint of one induced value. */
export interface Dose {
  model: string;
  arm: string;
  value: string;
  step: number;
  kl: number | null;
  target: Effect;
  /** Root mean square of the changes of the other values, same measure and unit; null where there are none. */
  side: number | null;
  sideCells: number;
}

export function dosesOf(results: Results): Dose[] {
  const cells = results.effects.filter((effect) => effect.place === "matrix" && isMeasure(effect, results.primary));
  return [...groupBy(cells, doseKey).values()].flatMap((checkpoint) => {
    const target = checkpoint.find(({ onTarget }) => onTarget);
    if (target === undefined || target.step === null) return [];
    const others = checkpoint.filter(({ onTarget }) => !onTarget);
    const square = others.reduce((sum, { mean }) => sum + mean ** 2, 0) / others.length;
    const { model, arm, value, step } = target;
    const kl = results.kl.get(doseKey(target)) ?? null;
    return [
      {
        model,
        arm,
        value,
        step,
        kl,
        target,
        side: others.length === 0 ? null : Math.sqrt(square),
        sideCells: others.length,
      },
    ];
  });
}

export function doseSection({ results }: SectionContext): Section | null {
  const doses = dosesOf(results);
  const curves = [...groupBy(doses, ({ model, arm, value }) => JSON.stringify([model, arm, value])).values()];
  if (!curves.some((curve) => curve.length > 1)) return null;
  const charts: Record<string, ChartSpec> = {};
  const views = results.models.flatMap((model) =>
    results.arms.flatMap((arm) => {
      const chosen = doses.filter((dose) => dose.model === model && dose.arm === arm);
      if (chosen.length < 2) return [];
      return kindsOf(chosen).map(({ label, spec }) => {
        const name = `dose-${Object.keys(charts).length}`;
        charts[name] = spec;
        const caption = `${label}, ${model}, arm ${arm}`;
        return {
          labels: { Model: model, Arm: arm, Curve: label },
          body: html`<figure>${renderChart(name, `${caption}: one line a value, one point a checkpoint; the table below has the numbers`)}<figcaption>${caption}</figcaption></figure>`,
        };
      });
    }),
  );
  const { primary } = results;
  return {
    id: "dose",
    title: "Dose curves",
    body: html`<p>How far each checkpoint moved its own target, and how much else moved with it. Side effects are the root mean
square of the changes of all other values, under the same measure${primary === null ? "" : ` (${measureTitle(primary.suite, primary.metric, primary.grader)})`}.</p>
${renderViews("dose", views)}
${foldedTable(
  "Checkpoints",
  ["induced", "arm", "step", "KL, nats", "target’s shift", "95 % interval", "side effects"],
  doses.map(({ value, arm, step, kl, target, side }) => [
    value,
    arm,
    String(step),
    kl === null ? "–" : kl.toFixed(2),
    formatDelta(target.mean, target.unit),
    formatInterval(target.low, target.high, target.unit),
    side === null ? "–" : formatDelta(side, target.unit).slice(1),
  ]),
)}
${conclude(
  `At an equal shift of the target, a value whose curve lies higher drags more along, for ${runsPhrase(results)}.`,
  "Steps are not a common scale: equal steps are not equal doses, so compare at equal target shift or equal KL. Side effects have a floor above zero, since noise has a size and no sign. Points of one line are one run and do not vary independently.",
)}`,
    tables: [doseTable(doses)],
    charts,
  };
}

function kindsOf(doses: readonly Dose[]): { label: string; spec: ChartSpec }[] {
  const unit = doses[0]!.target.unit;
  const nats = unitName(unit);
  const curves = groupBy(doses, ({ value }) => value);
  const chart = (
    xTitle: string,
    yTitle: string,
    pointOf: (dose: Dose) => { x: number | null; y: number | null; low: number | null; high: number | null },
    xUnit: Unit,
  ): ChartSpec => ({
    kind: "lines",
    xTitle,
    yTitle,
    xUnit,
    yUnit: unit,
    series: [...curves].map(([name, curve]) => ({
      name,
      points: curve.flatMap((dose) => {
        const { x, y, low, high } = pointOf(dose);
        return x === null || y === null ? [] : [{ x, y, low, high, label: `step ${dose.step}` }];
      }),
    })),
  });
  const own = ({ target }: Dose) => ({ y: target.mean, low: target.low, high: target.high });
  const alone = (y: number | null) => ({ y, low: null, high: null });
  const kinds = [
    {
      label: "target shift against side effects",
      spec: chart(
        `shift of the target, ${nats}`,
        `side effects, ${nats}`,
        (dose) => ({ x: dose.target.mean, ...alone(dose.side) }),
        unit,
      ),
    },
    {
      label: "target shift against steps",
      spec: chart("step", `shift of the target, ${nats}`, (dose) => ({ x: dose.step, ...own(dose) }), ""),
    },
    {
      label: "side effects against steps",
      spec: chart("step", `side effects, ${nats}`, (dose) => ({ x: dose.step, ...alone(dose.side) }), ""),
    },
  ];
  if (doses.some(({ kl }) => kl !== null)) {
    const kl = "KL to the untrained model, nats";
    kinds.push(
      {
        label: "target shift against KL",
        spec: chart(kl, `shift of the target, ${nats}`, (dose) => ({ x: dose.kl, ...own(dose) }), "nats"),
      },
      {
        label: "side effects against KL",
        spec: chart(kl, `side effects, ${nats}`, (dose) => ({ x: dose.kl, ...alone(dose.side) }), "nats"),
      },
    );
  }
  return kinds;
}

function doseTable(doses: readonly Dose[]): Table {
  return {
    name: "dose",
    about:
      "Each checkpoint's shift of its own target with its 95 % interval, its KL to the untrained model, and the root mean square of the other values' changes.",
    columns: [
      "model",
      "arm",
      "induced",
      "step",
      "kl",
      "target_delta",
      "ci_low",
      "ci_high",
      "side_rms",
      "side_cells",
      "seeds",
    ],
    rows: doses.map(({ model, arm, value, step, kl, target, side, sideCells }) => [
      ...[model, arm, value, step, kl, target.mean, target.low, target.high, side, sideCells, target.seeds],
    ]),
  };
}
