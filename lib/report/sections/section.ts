/** What a section of the report is, and what sections share. */
import type { Effect, Results } from "../collect.js";
import type { GridCell } from "../grid.js";
import { type Html, html } from "../html.js";
import type { Inputs } from "../inputs.js";
import type { ChartSpec } from "../page-data.js";
import type { Table } from "../table.js";

export interface Section {
  id: string;
  title: string;
  body: Html;
  /** Written beside the page as CSV and JSON. */
  tables: readonly Table[];
  charts: Readonly<Record<string, ChartSpec>>;
}

export interface SectionContext {
  results: Results;
  inputs: Inputs;
  /** Number of an effect in the page's data; null where the page does not hold it. */
  detailOf(effect: Effect): number | null;
}

/** A sentence under a figure: what it shows, and what it does not. */
export function conclude(may: string, mayNot: string): Html {
  return html`<div class="conclude"><p><strong>May be concluded.</strong> ${may}</p><p><strong>May not be concluded.</strong> ${mayNot}</p></div>`;
}

/** Views of one figure, told apart by labels; the script shows one at a time and offers the labels as choices. */
export function renderViews(name: string, views: readonly { labels: Record<string, string>; body: Html }[]): Html {
  return html`<div class="views" data-views="${name}">
${views.map(({ labels, body }) => {
  const varying = Object.entries(labels).filter(([key]) => new Set(views.map((view) => view.labels[key])).size > 1);
  return html`<div class="view" data-labels="${JSON.stringify(Object.fromEntries(varying))}">${
    varying.length === 0 ? null : html`<h4>${varying.map(([, label]) => label).join(" · ")}</h4>`
  }${body}</div>
`;
})}</div>`;
}

/** A chart that the script draws, with what it shows in words for those who cannot see it. */
export function renderChart(name: string, description: string): Html {
  return html`<div class="chart" data-chart="${name}" role="img" aria-label="${description}"></div>`;
}

export function gridCell(effect: Effect, context: SectionContext): GridCell {
  const { mean: value, low, high, verdict, unit, onTarget: own } = effect;
  return { value, low, high, verdict, unit, own, detail: context.detailOf(effect) };
}

/** "one training run a value" or "5 training runs a value": what intervals over seeds can rest on. */
export function runsPhrase({ seeds }: Results): string {
  return seeds < 2 ? "one training run a value" : `up to ${seeds} training runs a value`;
}
