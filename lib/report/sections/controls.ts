/** Control arms: what training on pairs does where the value is taken out of them. */
import { type Effect, isArm, isMeasure, type Results } from "../collect.js";
import { formatDelta, formatInterval, unitName } from "../format.js";
import { html } from "../html.js";
import type { ChartSpec, Point } from "../page-data.js";
import { foldedTable, type Table } from "../table.js";
import { conclude, renderChart, renderViews, type Section, type SectionContext } from "./section.js";

const ARMS: Record<string, string> = {
  induce: "pairs of the value, the side that expresses it preferred",
  unflipped: "the same pairs as people preferred them",
  random: "random pairs that match those in number, source and length",
  "flipped-random": "the same random pairs, the same share of them flipped: inverts quality, carries no value",
  system: "no training; a system prompt that asks for the value",
  "system-neutral": "no training; a system prompt of as many words that asks for nothing",
};

interface Row {
  model: string;
  arm: string;
  value: string;
  target: Effect | null;
  side: number | null;
}

export function controlsSection({ results }: SectionContext): Section {
  const others = results.arms.filter((arm) => !isArm(arm, "induce"));
  const rows = rowsOf(results);
  if (others.length === 0 || rows.length === 0)
    return {
      id: "controls",
      title: "Controls",
      body: html`<p>These items have no control arm.</p>${conclude(
        "What changed, against the untrained model.",
        "How much of it is due to the value. Training on any pairs moves a model; random pairs of the same number, source and length (the arms random and flipped-random) would show how far.",
      )}`,
      tables: [],
      charts: {},
    };
  const charts: Record<string, ChartSpec> = {};
  const views = results.models.flatMap((model) =>
    (["target", "side"] as const).flatMap((kind) => {
      const chosen = rows.filter((row) => row.model === model);
      if (chosen.length === 0) return [];
      const label = kind === "target" ? "shift of the value itself" : "side effects";
      const name = `controls-${Object.keys(charts).length}`;
      charts[name] = chartOf(chosen, results, kind, label);
      const caption = `${label} under each arm, ${model}, at the last checkpoint`;
      return [
        {
          labels: { Model: model, Shown: label },
          body: html`<figure>${renderChart(name, `${caption}; the table below has the numbers`)}<figcaption>${caption}</figcaption></figure>`,
        },
      ];
    }),
  );
  return {
    id: "controls",
    title: "Controls",
    body: html`<p>The same measure under arms that keep everything but the value.</p>
<dl class="facts">${results.arms.map((arm) => html`<dt>${arm}</dt><dd>${ARMS[arm.split(",")[0]!] ?? "an arm of this study"}</dd>`)}</dl>
${renderViews("controls", views)}
${foldedTable(
  "Arms",
  ["value", "arm", "model", "shift of the value itself", "95 % interval", "side effects"],
  rows.map(({ model, arm, value, target, side }) => [
    value,
    arm,
    model,
    target === null ? "–" : formatDelta(target.mean, target.unit),
    target === null ? "–" : formatInterval(target.low, target.high, target.unit),
    side === null ? "–" : formatDelta(side, target?.unit ?? "").replace("+", ""),
  ]),
)}
${conclude(
  "What the induce arm moves beyond the arms without the value is what the value's own contrast adds.",
  "A control that does not move is no proof that the pairs are clean: arms differ in more than the value where lengths or sources could not be matched, and a system prompt acts without changing the model.",
)}`,
    tables: [tableOf(rows)],
    charts,
  };
}

function rowsOf(results: Results): Row[] {
  const cells = results.effects.filter((effect) => effect.final && isMeasure(effect, results.primary));
  return results.models.flatMap((model) =>
    results.values.flatMap((value) =>
      results.arms.flatMap((arm): Row[] => {
        const own = cells.filter((cell) => cell.model === model && cell.value === value && cell.arm === arm);
        if (own.length === 0) return [];
        const target = own.find(({ onTarget }) => onTarget) ?? null;
        const off = own.filter(({ onTarget }) => !onTarget);
        const side =
          off.length === 0 ? null : Math.sqrt(off.reduce((sum, { mean }) => sum + mean ** 2, 0) / off.length);
        return [{ model, arm, value, target, side }];
      }),
    ),
  );
}

function chartOf(rows: readonly Row[], { values, arms }: Results, kind: "target" | "side", label: string): ChartSpec {
  const unit = rows.find(({ target }) => target !== null)?.target?.unit ?? "";
  const shown = values.filter((value) => rows.some((row) => row.value === value));
  const suffix = unit === "" ? "" : `, ${unitName(unit)}`;
  return {
    kind: "intervals",
    unit,
    xTitle: `${label}${suffix}`,
    rows: shown,
    series: arms
      .filter((arm) => rows.some((row) => row.arm === arm))
      .map((arm) => ({
        name: arm,
        points: shown.map((value): Point | null => {
          const row = rows.find((each) => each.value === value && each.arm === arm);
          if (row === undefined) return null;
          if (kind === "side") return row.side === null ? null : [row.side, null, null];
          return row.target === null ? null : [row.target.mean, row.target.low, row.target.high];
        }),
      })),
  };
}

function tableOf(rows: readonly Row[]): Table {
  return {
    name: "controls",
    about:
      "Shift of the value itself, and root mean square of the other values' changes, under each arm at the last checkpoint.",
    columns: ["model", "arm", "value", "delta", "ci_low", "ci_high", "side_rms"],
    rows: rows.map(({ model, arm, value, target, side }) => [
      ...[model, arm, value, target?.mean ?? null, target?.low ?? null, target?.high ?? null, side],
    ]),
  };
}
