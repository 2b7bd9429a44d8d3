/**
 * The report as one document: sections with their tables, the data and the script of their charts. It loads nothing and
 * runs nothing but its own script, whose hash its policy names.
 */
import { createHash } from "node:crypto";
import { type Html, html, Html as Markup } from "./html.js";
import { type PageData, scriptJson } from "./page-data.js";
import type { Section } from "./sections/section.js";
import { REPORT_STYLE } from "./style.js";

export interface ReportPage {
  title: string;
  /** What the study says of itself; null where it says nothing. */
  description: string | null;
  /** What was found, one sentence each. */
  findings: readonly string[];
  /** What a reader has to know before reading on, one sentence each. */
  warnings: readonly string[];
  /** Name and number of what there is: models, values, runs. */
  tiles: readonly (readonly [name: string, number: string])[];
  sections: readonly Section[];
  data: PageData;
  /** The page's script: this project's own, with ECharts. */
  script: string;
}

export function renderReport(page: ReportPage): string {
  const { title, sections } = page;
  // The script is built with the package; one that ends its own element would be a fault of the build.
  if (/<\/script|<!--/i.test(page.script))
    throw new RangeError("the page's script holds text that ends a script element");
  const hash = createHash("sha256").update(page.script).digest("base64");
  const policy = `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'`;
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${new Markup(REPORT_STYLE)}</style>
</head>
<body>
<a class="skip" href="#matrix">Skip to the results</a>
<header class="top">
<div class="bar"><span class="mark">valora</span><button type="button" class="theme" hidden>Theme: as the system</button></div>
<h1>${title}</h1>
${page.description === null ? null : html`<p class="lead">${page.description}</p>`}
<dl class="tiles">${page.tiles.map(([name, number]) => html`<div><dt>${name}</dt><dd>${number}</dd></div>`)}</dl>
${page.warnings.map((warning) => html`<p class="note">${warning}</p>`)}
${page.findings.length === 0 ? null : renderFindings(page.findings)}
<noscript><p class="note">Charts need a script, which this browser does not run; every chart’s numbers are in the table beneath it.</p></noscript>
</header>
<div class="columns">
<nav aria-label="Sections"><ol>${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ol></nav>
<main>
${sections.map(
  ({
    id,
    title: name,
    body,
  }) => html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${name}</h2>
${body}
</section>
`,
)}</main>
</div>
<dialog id="detail" aria-labelledby="detail-title"></dialog>
<script type="application/json" id="data">${new Markup(scriptJson(page.data))}</script>
<script>${new Markup(page.script)}</script>
</body>
</html>
`;
  return document.markup;
}

/** The first few, and the others behind a line that opens them. */
function renderFindings(findings: readonly string[]): Html {
  const item = (finding: string): Html => html`<li>${finding}</li>`;
  const [shown, more] = [findings.slice(0, 5), findings.slice(5)];
  return html`<div class="findings"><ul>${shown.map(item)}</ul>${
    more.length === 0 ? null : html`<details><summary>${more.length} more</summary><ul>${more.map(item)}</ul></details>`
  }</div>`;
}
