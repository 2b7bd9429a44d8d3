/** How the numbers were made, and from what. */
import { METHOD } from "../estimates.js";
import { count } from "../format.js";
import { html } from "../html.js";
import type { Table } from "../table.js";
import type { Section, SectionContext } from "./section.js";

export function methodSection(
  { inputs, results }: SectionContext,
  ofMaker: readonly (readonly [string, string])[],
  tables: readonly Table[],
): Section {
  const facts: (readonly [string, string])[] = [
    ...ofMaker,
    ["items", count(results.items, "line")],
    ["models", results.models.join(", ")],
    ["arms", results.arms.join(", ")],
    ["training runs a value", results.seeds < 2 ? "1" : `up to ${results.seeds}`],
    ["read", inputs.files.join(", ")],
    ...inputs.facts,
  ];
  return {
    id: "method",
    title: "How it was made",
    body: html`<p>${METHOD} “Beyond” an arm is the difference of the two changes, with the runs of both. Every number derives from items.jsonl.</p>
<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
<h3>Tables beside this page</h3>
<p>Each as CSV and as JSON in the folder <code>tables</code>.</p>
<dl class="facts">${tables.map(({ name, about }) => html`<dt><code>${name}</code></dt><dd>${about}</dd>`)}</dl>`,
    tables: [],
    charts: {},
  };
}
