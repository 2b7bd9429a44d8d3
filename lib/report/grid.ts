/**
 * A matrix as a table whose cells are coloured: the heat map of the report. It is a table so that it reads without a
 * script, aloud, on paper and in both themes; the script adds arrow keys and opens what a cell stands for.
 */
import { formatDelta, formatInterval, type Unit, unitName } from "./format.js";
import { type Html, html } from "./html.js";
import type { Verdict } from "./page-data.js";
import { STEPS_A_SIDE, stepOf, stepRange } from "./palette.js";

export interface GridCell {
  value: number;
  low: number | null;
  high: number | null;
  verdict: Verdict;
  unit: Unit;
  /** Outlined: the induced value itself. */
  own: boolean;
  /** Number of the cell in the page's data; null where there is nothing to open. */
  detail: number | null;
}

export interface Grid {
  caption: string;
  /** What rows and columns are, e.g. "induced ↓ measured →". */
  corner: string;
  rows: readonly string[];
  columns: readonly string[];
  /** Row by row; a text says why there is no number. */
  cells: readonly (readonly (GridCell | string)[])[];
  /** False where cells are counts and no estimates, so that no verdict is explained. */
  marks?: boolean;
}

/** From this many columns on cells show their number alone, and headings stand upright. */
const DENSE_FROM = 8;

export function renderGrid(grid: Grid): Html {
  const limits = limitsOf(grid);
  const dense = grid.columns.length >= DENSE_FROM;
  return html`<div class="grid">
<div class="scroll" tabindex="0" role="group" aria-label="${grid.caption}"><table class="heat${dense ? " dense" : ""}">
<caption><span>${grid.caption}</span></caption>
<thead><tr><td class="corner">${grid.corner}</td>${grid.columns.map((column) => html`<th scope="col"><span>${column}</span></th>`)}</tr></thead>
<tbody>
${grid.rows.map(
  (row, at) => html`<tr><th scope="row">${row}</th>${grid.cells[at]!.map((cell) => renderCell(cell, limits))}</tr>
`,
)}</tbody>
</table></div>
${[...limits].map(([unit, limit]) => renderLegend(limit, unit))}
${grid.marks === false ? null : MARKS}
</div>`;
}

/** Where the colours of each unit end: units do not compare, and rows of one unit do. */
function limitsOf({ cells }: Grid): Map<Unit, number> {
  const largest = new Map<Unit, number>();
  for (const cell of cells.flat())
    if (typeof cell !== "string") largest.set(cell.unit, Math.max(largest.get(cell.unit) ?? 0, Math.abs(cell.value)));
  return new Map([...largest].map(([unit, value]) => [unit, niceLimit(value)]));
}

function renderCell(cell: GridCell | string, limits: ReadonlyMap<Unit, number>): Html {
  if (typeof cell === "string") return html`<td class="blank"><span class="vh">no number: ${cell}</span></td>`;
  const step = stepOf(cell.value, limits.get(cell.unit)!) + STEPS_A_SIDE;
  const mark = cell.verdict === "undecided" ? "?" : cell.verdict === "equivalent" ? "≈" : "";
  const kinds = [`s${step}`, cell.own ? "own" : "", cell.verdict === "different" ? "clear" : ""].filter(
    (kind) => kind !== "",
  );
  const open = cell.detail === null ? null : html` data-cell="${cell.detail}"`;
  return html`<td class="${kinds.join(" ")}"${open}><b>${formatDelta(cell.value, cell.unit)}${mark === "" ? null : html`<sup>${mark}</sup>`}</b>${cell.low === null ? null : html`<i>${formatInterval(cell.low, cell.high, cell.unit)}</i>`}</td>`;
}

function renderLegend(limit: number, unit: Unit): Html {
  const steps = Array.from({ length: 2 * STEPS_A_SIDE + 1 }, (_, index) => {
    const step = index - STEPS_A_SIDE;
    const [low, high] = stepRange(Math.abs(step), limit);
    const middle = step === 0 ? 0 : Math.abs(step) === STEPS_A_SIDE ? limit : (low + high) / 2;
    return html`<li class="s${index}">${step === 0 ? `±${formatDelta(high, unit).slice(1)}` : formatDelta(Math.sign(step) * middle, unit)}</li>`;
  });
  return html`<div class="legend"><ol class="steps" aria-label="Colour scale, ${unitName(unit)}">${steps}</ol><span>${unit === "" ? "in units of the measure" : unitName(unit)}; colour follows the square root of the size</span></div>`;
}

const MARKS = html`<p class="marks"><span><span class="swatch own"></span> the induced value itself</span> <span><strong>bold</strong> different from the untrained model</span> <span><b>?</b> undecided, once the number of cells is allowed for</span> <span><b>≈</b> equivalent within the stated margin</span> <span><span class="swatch blank"></span> not supported by the data</span></p>`;

/** 1, 2, 3, 4, 5, 6, 8 or 10 times a power of ten, at least `value`. */
function niceLimit(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10]
    .map((factor) => factor * power)
    .find((candidate) => candidate >= value * (1 - 1e-12))!;
}
