/** The page of a crosstalk study: what moved, as a sentence, a picture, a table, and the answers before and after. */
import type { Crosstalk, CrosstalkCell } from "../metrics/crosstalk.js";
import { renderHeatMap, signed } from "./heat-map.js";
import { type Html, html, renderPage } from "./html.js";
import { DARK, LIGHT, STEP_RULES, themeVariables } from "./palette.js";

export interface Answer {
  /** "base", or the value that was induced. */
  adapter: string;
  text: string;
}

export interface CrosstalkPage {
  title: string;
  crosstalk: Crosstalk;
  /** The prompt that the answers are to. */
  prompt: string;
  answers: readonly Answer[];
  /** What was left out to stay within the time, one sentence each. */
  cuts: readonly string[];
  /** Pairs of name and value: model, device, settings. */
  facts: readonly (readonly [string, string])[];
  /** Name and description of the files beside the page. */
  files: readonly (readonly [string, string])[];
  /** Sentences on where the data comes from and under which licence. */
  sources: readonly string[];
}

export function renderCrosstalkPage(page: CrosstalkPage): string {
  const { crosstalk } = page;
  const n = Math.min(...crosstalk.cells.map((cell) => cell.delta.n));
  const body = html`<main>
<header>
<h1>${page.title}</h1>
${summarise(crosstalk).map((sentence) => html`<p class="lead">${sentence}</p>`)}
${page.cuts.length === 0 ? null : html`<p class="note"><strong>Cut to stay within the time:</strong> ${page.cuts.join("; ")}.</p>`}
</header>
<section aria-labelledby="matrix">
<h2 id="matrix">Crosstalk matrix</h2>
<p>Each cell is the mean change, against the untrained model, of log p(statement that matches the trait) − log p(statement
that does not), per held-out pair, in nats. Beneath it, a 95 % interval over ${n} pairs. The outlined
cells are the induced trait itself; “?” marks an interval that holds zero. Colour follows the square root of the size.</p>
<div class="scroll" tabindex="0" role="group" aria-label="Crosstalk matrix, scrolls sideways">
${renderHeatMap({
  title: "Crosstalk matrix",
  description: "The same numbers are in the table below.",
  rows: crosstalk.induced,
  columns: crosstalk.measured,
  rowTitle: "Induced",
  columnTitle: "Measured on held-out pairs of",
  cells: crosstalk.cells.map(({ delta }) => ({ value: delta.mean, low: delta.low, high: delta.high })),
  unit: "nats per pair",
})}
</div>
</section>
<section aria-labelledby="table">
<h2 id="table">The same as a table</h2>
<p>Accuracy is the share of held-out pairs whose matching statement is the likelier one.</p>
<div class="scroll" tabindex="0" role="group" aria-label="Table of the matrix, scrolls sideways">
${renderTable(crosstalk)}
</div>
</section>
<section aria-labelledby="answers">
<h2 id="answers">One answer, before and after</h2>
<p>Greedy decoding, asked: “${page.prompt}”</p>
<dl class="answers">
${page.answers.map(({ adapter, text }) => html`<dt>${adapter === "base" ? "untrained" : adapter}</dt><dd>${text === "" ? html`<em>(empty)</em>` : text}</dd>`)}
</dl>
</section>
<section aria-labelledby="made">
<h2 id="made">How it was made</h2>
<dl class="facts">
${page.facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}
</dl>
${page.sources.map((sentence) => html`<p>${sentence}</p>`)}
<h3>Files beside this page</h3>
<dl class="facts">
${page.files.map(([name, description]) => html`<dt><code>${name}</code></dt><dd>${description}</dd>`)}
</dl>
</section>
</main>`;
  return renderPage({ title: page.title, style: STYLE, body });
}

/** One sentence per induced value: its own shift, then what else moved most among the cells that are clear of zero. */
export function summarise(crosstalk: Crosstalk): string[] {
  return crosstalk.induced.map((induced) => {
    const row = crosstalk.cells.filter((cell) => cell.induced === induced);
    const own = row.find((cell) => cell.measured === induced);
    const others = row
      .filter((cell) => cell !== own && (cell.delta.low > 0 || cell.delta.high < 0))
      .sort((a, b) => Math.abs(b.delta.mean) - Math.abs(a.delta.mean));
    const start =
      own === undefined
        ? `Inducing ${induced}`
        : `Inducing ${induced} moved its own held-out margin by ${shift(own)} nats and accuracy from ${own.accuracyBefore.toFixed(2)} to ${own.accuracyAfter.toFixed(2)}`;
    if (others.length === 0) return `${start}; no other trait's interval is clear of zero.`;
    const list = others.map((cell) => `${cell.measured} ${shift(cell)}`);
    return `${start}; along with it moved ${joinWords(list)}.`;
  });
}

function shift({ delta }: CrosstalkCell): string {
  return `${signed(delta.mean)} [${signed(delta.low)}, ${signed(delta.high)}]`;
}

function joinWords(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function renderTable(crosstalk: Crosstalk): Html {
  return html`<table>
<thead><tr><th scope="col">induced</th><th scope="col">measured</th><th scope="col" class="n">change, nats</th><th scope="col" class="n">95 % interval</th><th scope="col" class="n">accuracy before</th><th scope="col" class="n">after</th><th scope="col" class="n">change [95 %]</th><th scope="col" class="n">pairs</th></tr></thead>
<tbody>
${crosstalk.cells.map(
  (
    cell,
  ) => html`<tr${cell.induced === cell.measured ? html` class="own"` : null}><th scope="row">${cell.induced}</th><td>${cell.measured}</td><td class="n">${signed(cell.delta.mean)}</td><td class="n">${signed(cell.delta.low)} … ${signed(cell.delta.high)}</td><td class="n">${cell.accuracyBefore.toFixed(2)}</td><td class="n">${cell.accuracyAfter.toFixed(2)}</td><td class="n">${share(cell.accuracyDelta.mean)} [${share(cell.accuracyDelta.low)}, ${share(cell.accuracyDelta.high)}]</td><td class="n">${cell.delta.n}</td></tr>
`,
)}
</tbody>
</table>`;
}

function share(value: number): string {
  const text = Math.abs(value).toFixed(2);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
}

const STYLE = `
:root{${themeVariables(LIGHT)}}
@media (prefers-color-scheme:dark){:root{${themeVariables(DARK)}}}
*{box-sizing:border-box}
body{margin:0;background:var(--surface);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:64rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 1rem;letter-spacing:-.01em}
h2{font-size:1.25rem;margin:2.75rem 0 .5rem}
h3{font-size:1rem;margin:1.5rem 0 .25rem}
p{margin:.4rem 0 .8rem;max-width:46rem}
.lead{font-size:1.02rem}
.note{border-left:3px solid var(--accent);padding-left:.75rem}
section>p{color:var(--muted)}
.scroll{overflow-x:auto}
.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:3px}
.heat-map{width:100%;min-width:44rem;display:block;font-family:inherit;font-variant-numeric:tabular-nums}
.heat-map text{fill:var(--text);font-size:14px}
.heat-map .axis,.heat-map .tick{fill:var(--muted);font-size:12px}
.heat-map .tick,.heat-map .middle{text-anchor:middle}
.heat-map .number{font-size:20px;font-weight:600;text-anchor:middle}
.heat-map .interval{font-size:12.5px;text-anchor:middle}
.heat-map .unclear{font-weight:400}
.heat-map .target{stroke:var(--text);stroke-width:2}
${STEP_RULES.replaceAll(".ink-", ".heat-map .ink-")}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;min-width:44rem;width:100%}
th,td{text-align:left;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line);font-weight:400;white-space:nowrap}
thead th{white-space:normal;color:var(--muted);font-size:.85rem;vertical-align:bottom}
.n{text-align:right}
.own th,.own td{font-weight:600}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.35rem 1.25rem;margin:.5rem 0 1rem}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
.answers dd{white-space:pre-wrap}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media (max-width:36rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}}
@media print{.scroll{overflow:visible}}
`;
