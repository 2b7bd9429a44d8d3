/** Induced × measured: what inducing each value did to every value, raw and per unit of on-target shift. */
import { type Effect, isArm, isMeasure, type Results } from "../collect.js";
import { formatDelta, joinWords, unitName } from "../format.js";
import { type GridCell, renderGrid } from "../grid.js";
import { unique } from "../group.js";
import { html } from "../html.js";
import { type MatchedMatrix, matchAtKl } from "../matched.js";
import { measureOrder, measureTitle } from "../measures.js";
import type { Table } from "../table.js";
import { conclude, gridCell, renderViews, runsPhrase, type Section, type SectionContext } from "./section.js";

export function matrixSection(context: SectionContext): Section | null {
  const { results } = context;
  const effects = results.effects.filter(({ place, final }) => place === "matrix" && final);
  if (effects.length === 0) return null;
  const measures = unique(effects.map(({ suite, metric, grader }) => JSON.stringify([suite, metric, grader])))
    .map((text) => JSON.parse(text) as [string, string, string | null])
    .sort((a, b) => measureOrder(a[1]) - measureOrder(b[1]));
  const matchedRows: Table["rows"][number][] = [];
  const views = results.models.flatMap((model) =>
    results.arms.flatMap((arm) =>
      measures.flatMap(([suite, metric, grader]) => {
        const cells = effects.filter(
          (effect) => effect.model === model && effect.arm === arm && isMeasure(effect, { suite, metric, grader }),
        );
        if (cells.length === 0) return [];
        const labels = { Model: model, Arm: arm, Measure: measureTitle(suite, metric, grader) };
        const control = cells.find((effect) => effect.control !== null)?.control;
        const scales: [Scale, string][] = [
          ["change", "change"],
          ["per unit", "per unit of on-target shift"],
        ];
        if (control) scales.push(["beyond", `change beyond the arm ${control}`]);
        const matched = matchAtKl(cells, results);
        matchedRows.push(...rowsOf(matched, cells));
        if (matched !== null) scales.push(["matched", `change at a KL of ${matched.kl} nats`]);
        return scales.map(([scale, label]) => ({
          labels: { ...labels, Scale: label },
          body: matrixOf(cells, context, scale, matched),
        }));
      }),
    ),
  );
  return {
    id: "matrix",
    title: "Crosstalk",
    body: html`<p>Each row is an induced value, each column a value that is measured on items kept from training. A cell is
the mean change against the untrained model on the same items. Open a cell for its interval, its runs and its examples.</p>
${renderViews("matrix", views)}
${conclude(
  `A bold cell moved on these held-out items, for this model and these settings; ${runsPhrase(results)}. “Equivalent” says that the change is smaller than the stated margin.`,
  `A cell without a mark of its own is not a proof of no effect, and cells of two rows compare only per unit of on-target shift: rows were not trained to the same strength. Likelihood shifts say what a model comes to prefer, not how often it will say so. ${controlsPhrase(results)}`,
)}`,
    tables: [matrixTable(effects), ...(matchedRows.length === 0 ? [] : [matchedTable(matchedRows)])],
    charts: {},
  };
}

function controlsPhrase({ arms }: Results): string {
  return arms.some((arm) => isArm(arm, "random") || isArm(arm, "flipped-random"))
    ? "The random arm shows how much of it any training on pairs of this kind would do."
    : "Without a random arm, what any training on pairs would have moved is not told apart from what the value moved.";
}

type Scale = "change" | "per unit" | "beyond" | "matched";

function matrixOf(effects: readonly Effect[], context: SectionContext, scale: Scale, matched: MatchedMatrix | null) {
  const columns = orderColumns(effects, context.results.values);
  const rows = unique(effects.map(({ value }) => value));
  const byPlace = new Map(effects.map((effect) => [JSON.stringify([effect.value, effect.task]), effect]));
  const cells = rows.map((row) =>
    columns.map((column): GridCell | string => {
      const effect = byPlace.get(JSON.stringify([row, column]));
      if (effect === undefined) return "not measured";
      const cell = gridCell(effect, context);
      return scale === "matched" ? matchedCell(matched!, effect, cell) : scaledCell(effect, cell, scale);
    }),
  );
  const { model, arm, suite, metric, grader, control } = effects[0]!;
  const unit = unitName(scale === "per unit" ? "ratio" : effects[0]!.unit);
  const what = {
    change: "change against the untrained model",
    "per unit": "shift",
    beyond: `change against the untrained model, minus that of the arm ${control}`,
    matched: `change where KL to the untrained model is ${matched?.kl} nats`,
  }[scale];
  return renderGrid({
    caption: `${measureTitle(suite, metric, grader)}, ${model}, arm ${arm}: ${what}${unit === "" ? "" : `, ${unit}`}`,
    corner: "induced ↓  measured →",
    rows,
    columns,
    cells,
  });
}

function matchedCell({ cells }: MatchedMatrix, { value, task }: Effect, cell: GridCell): GridCell | string {
  const shift = cells.find((one) => one.value === value && one.task === task)?.shift ?? "not measured";
  if (typeof shift === "string") return shift;
  const { mean, low, high, adjusted } = shift;
  return { ...cell, value: mean, low, high, verdict: adjusted !== null && adjusted < 0.05 ? "different" : "undecided" };
}

function scaledCell(effect: Effect, cell: GridCell, scale: Scale): GridCell | string {
  if (scale === "change") return cell;
  if (scale === "beyond") {
    const { beyondMean: value, beyondLow: low, beyondHigh: high, beyondVerdict: verdict, control } = effect;
    return value === null || verdict === null ? `the arm ${control} lacks it` : { ...cell, value, low, high, verdict };
  }
  const { unitMean: value, unitLow: low, unitHigh: high, unitBlank } = effect;
  return value === null ? (unitBlank ?? "no ratio") : { ...cell, value, low, high, unit: "ratio" };
}

/** Induced values first, in their order, so that the diagonal is a diagonal. */
function orderColumns(effects: readonly Effect[], values: readonly string[]): string[] {
  const tasks = unique(effects.map(({ task }) => task));
  return [...values.filter((value) => tasks.includes(value)), ...tasks.filter((task) => !values.includes(task))];
}

function matrixTable(effects: readonly Effect[]): Table {
  return {
    name: "crosstalk",
    about:
      "Change of each measure on the held-out items of each value against the untrained model, at the last checkpoint, with its 95 % interval; per_unit is per unit of the on-target shift, above_zero the share of items above 0 (of a margin, the accuracy); beyond is the change minus that of the control arm.",
    columns: [
      ...["model", "arm", "induced", "measured", "suite", "metric", "grader", "step", "before", "after"],
      ...[
        "above_zero_before",
        "above_zero_after",
        "delta",
        "ci_low",
        "ci_high",
        "p",
        "p_adjusted",
        "verdict",
        "per_unit",
        "per_unit_low",
        "per_unit_high",
        "per_unit_blank",
      ],
      ...["control", "beyond", "beyond_low", "beyond_high", "beyond_verdict", "seeds", "clusters", "items"],
    ],
    rows: effects.map((effect) => [
      ...[effect.model, effect.arm, effect.value, effect.task, effect.suite, effect.metric, effect.grader, effect.step],
      ...[effect.before, effect.after, effect.aboveBefore, effect.aboveAfter, effect.mean, effect.low, effect.high],
      ...[effect.p, effect.adjusted, effect.verdict],
      ...[effect.unitMean, effect.unitLow, effect.unitHigh, effect.unitBlank],
      ...[effect.control, effect.beyondMean, effect.beyondLow, effect.beyondHigh, effect.beyondVerdict],
      ...[effect.seeds, effect.clusters, effect.items],
    ]),
  };
}

function rowsOf(matched: MatchedMatrix | null, cells: readonly Effect[]): Table["rows"][number][] {
  return (matched?.cells ?? []).map(({ shift }, index) => {
    const { model, arm, value, task, suite, metric, grader } = cells[index]!;
    const blank = typeof shift === "string";
    const { mean, low, high, p, adjusted } = blank ? NO_SHIFT : shift;
    return [
      model,
      arm,
      value,
      task,
      suite,
      metric,
      grader,
      matched!.kl,
      mean,
      low,
      high,
      p,
      adjusted,
      blank ? shift : null,
    ];
  });
}

const NO_SHIFT = { mean: null, low: null, high: null, p: null, adjusted: null };

function matchedTable(rows: Table["rows"]): Table {
  return {
    name: "crosstalk-at-kl",
    about:
      "The same change where the KL divergence to the untrained model is the same for every row: interpolated along each run’s checkpoints, with a 95 % bootstrap interval over runs and prompts; blank says why there is none.",
    columns: [
      ...["model", "arm", "induced", "measured", "suite", "metric", "grader"],
      ...["kl", "delta", "ci_low", "ci_high", "p", "p_adjusted", "blank"],
    ],
    rows,
  };
}

/** One sentence per induced value of the first model: its own shift, then what else moved most. */
export function summarise({ effects, models, arms, primary }: Results): string[] {
  const main = effects.filter(
    (effect) => effect.final && effect.model === models[0] && effect.arm === arms[0] && isMeasure(effect, primary),
  );
  return unique(main.map(({ value }) => value)).map((value) => {
    const row = main.filter((effect) => effect.value === value);
    const own = row.find(({ onTarget }) => onTarget);
    const others = row
      .filter((effect) => effect !== own && effect.verdict === "different")
      .sort((a, b) => Math.abs(b.mean) - Math.abs(a.mean));
    const start =
      own === undefined
        ? `Inducing ${value}`
        : `Inducing ${value} moved it by ${formatDelta(own.mean, own.unit)} ${unitName(own.unit)} [${formatDelta(own.low, own.unit)}, ${formatDelta(own.high, own.unit)}]`;
    if (others.length === 0) return `${start}; nothing else is shown to differ.`;
    const named = others.slice(0, 4).map((effect) => `${effect.task} ${formatDelta(effect.mean, effect.unit)}`);
    const more = others.length > 4 ? [`${others.length - 4} more`] : [];
    return `${start}; along with it moved ${joinWords([...named, ...more])}.`;
  });
}
