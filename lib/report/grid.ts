/**
 * A matrix as a table whose cells are coloured: the heat map of the report. It is a table so that it reads without a
 * script, aloud, on paper and in both themes; the script adds arrow keys and opens what a cell stands for.
 */
import { formatDelta, formatInterval, type Unit, unitName } from "./format.js";
import { type Html, html } from "./html.js";
import { STEPS_A_SIDE, stepOf, stepRange } from "./palette.js";
import type { Verdict } from "./page-data.js";

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
  /** The colour scale ends at the largest value of the whole grid, or of each row where rows have units of their own. */
  scale: "grid" | "row";
  /** False where cells are counts and no estimates, so that no verdict is explained. */
  marks?: boolean;
}

/** From this many columns on cells show their number alone, and headings stand upright. */
const DENSE_FROM = 8;

export function renderGrid(grid: Grid): Html {
  const sizes = grid.cells.map((row) => Math.max(0, ...row.map((cell) => (typeof cell === "string" ? 0 : Math.abs(cell.value)))));
  const whole = niceLimit(Math.max(0, ...sizes));
  const dense = grid.columns.length >= DENSE_FROM;
  const unit = grid.cells.flat().find((cell) => typeof cell !== "string");
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${grid.caption}"><table class="heat${dense ? " dense" : ""}">
<caption>${grid.caption}</caption>
<thead><tr><td class="corner">${grid.corner}</td>${grid.columns.map((column) => html`<th scope="col"><span>${column}</span></th>`)}</tr></thead>
<tbody>
${grid.rows.map((row, at) => {
  const limit = grid.scale === "grid" ? whole : niceLimit(sizes[at]!);
  return html`<tr><th scope="row">${row}</th>${grid.cells[at]!.map((cell) => renderCell(cell, limit))}</tr>
`;
})}</tbody>
</table></div>
${grid.scale === "grid" && unit !== undefined && typeof unit !== "string" ? renderLegend(whole, unit.unit) : null}
${grid.marks === false ? null : renderMarks(grid.scale === "row" ? "Colour is relative to the largest change of each row." : null)}`;
}

function renderCell(cell: GridCell | string, limit: number): Html {
  if (typeof cell === "string") return html`<td class="blank"><span class="vh">no number: ${cell}</span></td>`;
  const step = stepOf(cell.value, limit) + STEPS_A_SIDE;
  const mark = cell.verdict === "undecided" ? "?" : cell.verdict === "equivalent" ? "≈" : "";
  const kinds = [`s${step}`, cell.own ? "own" : "", cell.verdict === "different" ? "clear" : ""].filter((kind) => kind !== "");
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
  return html`<div class="legend"><ol class="steps" aria-label="Colour scale, ${unitName(unit)}">${steps}</ol><span>${unitName(unit)}; colour follows the square root of the size</span></div>`;
}

function renderMarks(first: string | null): Html {
  return html`<p class="marks">${first === null ? null : `${first} `}<span class="swatch own"></span> the induced value itself · <strong>bold</strong> different from the untrained model · <sup>?</sup> undecided · <sup>≈</sup> equivalent within the stated margin · <span class="swatch blank"></span> not supported by the data</p>`;
}

/** 1, 2, 3, 4, 5, 6, 8 or 10 times a power of ten, at least `value`. */
function niceLimit(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((candidate) => candidate >= value * (1 - 1e-12))!;
}
