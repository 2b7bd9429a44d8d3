/** Training runs side by side: how far one seed's shift is from another's. */
import { type Effect, isMeasure } from "../collect.js";
import { formatDelta, unitName } from "../format.js";
import { unique } from "../group.js";
import { html } from "../html.js";
import type { ChartSpec, Point } from "../page-data.js";
import { foldedTable, type Table } from "../table.js";
import { conclude, renderChart, renderViews, type Section, type SectionContext } from "./section.js";

export function seedsSection({ results }: SectionContext): Section {
  const cells = results.effects.filter(
    (effect) => effect.final && isMeasure(effect, results.primary) && effect.arm === results.arms[0],
  );
  const own = cells.filter(({ onTarget }) => onTarget);
  if (results.seeds < 2)
    return {
      id: "seeds",
      title: "Seeds",
      body: html`<p>Each value was induced once.</p>${conclude(
        "What these very adapters do.",
        "What another training run would do: intervals over prompts are narrower than intervals over runs. Several seeds (five, where affordable) would show it.",
      )}`,
      tables: [],
      charts: {},
    };
  const charts: Record<string, ChartSpec> = {};
  const views = results.models.flatMap((model) => {
    const chosen = own.filter((effect) => effect.model === model);
    if (chosen.length === 0) return [];
    const name = `seeds-${Object.keys(charts).length}`;
    charts[name] = chartOf(chosen);
    const caption = `Shift of the value itself in each training run, ${model}`;
    return [
      {
        labels: { Model: model },
        body: html`<figure>${renderChart(name, `${caption}; the table below has the numbers`)}<figcaption>${caption}</figcaption></figure>`,
      },
    ];
  });
  return {
    id: "seeds",
    title: "Seeds",
    body: html`<p>Every point is one training run. ${signAgreement(cells)}</p>
${renderViews("seeds", views)}
${foldedTable(
  "Runs",
  ["value", "model", "runs", "mean", "spread (sd)", "smallest", "largest"],
  own.map((effect) => {
    const { sd, low, high } = spread(effect);
    return [
      effect.value,
      effect.model,
      String(effect.seeds),
      formatDelta(effect.mean, effect.unit),
      sd === null ? "–" : formatDelta(sd, effect.unit).replace("+", ""),
      formatDelta(low, effect.unit),
      formatDelta(high, effect.unit),
    ];
  }),
)}
${conclude(
  "Where points of a value lie close together, the shift is the recipe's and not the seed's.",
  "A few runs show a rough spread: with three, the standard deviation itself may be off by half.",
)}`,
    tables: [runsTable(results.effects.filter((effect) => effect.final && effect.place === "matrix"))],
    charts,
  };
}

function signAgreement(cells: readonly Effect[]): string {
  const off = cells.filter((effect) => !effect.onTarget && effect.perRun.length > 1);
  if (off.length === 0) return "";
  const same = off.filter(({ perRun }) => new Set(perRun.map(({ mean }) => Math.sign(mean))).size === 1).length;
  return `In ${same} of ${off.length} off-diagonal cells all runs agree on the sign.`;
}

function spread({ perRun }: Effect): { sd: number | null; low: number; high: number } {
  const means = perRun.map(({ mean }) => mean);
  const centre = means.reduce((sum, mean) => sum + mean, 0) / means.length;
  const square = means.reduce((sum, mean) => sum + (mean - centre) ** 2, 0);
  return {
    sd: means.length < 2 ? null : Math.sqrt(square / (means.length - 1)),
    low: Math.min(...means),
    high: Math.max(...means),
  };
}

function chartOf(effects: readonly Effect[]): ChartSpec {
  const { unit } = effects[0]!;
  const seeds = unique(effects.flatMap(({ perRun }) => perRun.map(({ seed }) => seed)));
  return {
    kind: "intervals",
    unit,
    xTitle: `shift of the value itself${unit === "" ? "" : `, ${unitName(unit)}`}`,
    rows: effects.map(({ value }) => value),
    series: seeds.map((seed) => ({
      name: seed === null ? "run" : `seed ${seed}`,
      points: effects.map(({ perRun }): Point | null => {
        const run = perRun.find((each) => each.seed === seed);
        return run === undefined ? null : [run.mean, null, null];
      }),
    })),
  };
}

function runsTable(effects: readonly Effect[]): Table {
  return {
    name: "runs",
    about: "Mean change of each training run in each cell of the matrices, at the last checkpoint.",
    columns: ["model", "arm", "induced", "measured", "suite", "metric", "grader", "step", "seed", "delta"],
    rows: effects.flatMap(({ model, arm, value, task, suite, metric, grader, step, perRun }) =>
      perRun.map(({ seed, mean }) => [model, arm, value, task, suite, metric, grader, step, seed, mean]),
    ),
  };
}
