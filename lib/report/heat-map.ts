/**
 * A matrix as an SVG picture: one coloured cell a number, its interval beneath, a legend of what each colour spans. The
 * picture scales with the page and takes its colours from the page's custom properties (palette.ts), light or dark.
 */
import { type Html, html } from "./html.js";
import { STEPS_A_SIDE, stepOf, stepRange } from "./palette.js";

export interface HeatMapCell {
  value: number;
  low: number;
  high: number;
}

export interface HeatMap {
  /** What the picture shows, for those who cannot see it. */
  title: string;
  description: string;
  rows: readonly string[];
  columns: readonly string[];
  /** What rows and columns are, e.g. "induced" and "measured". */
  rowTitle: string;
  columnTitle: string;
  /** Row by row. */
  cells: readonly HeatMapCell[];
  /** Unit of the values, for the legend. */
  unit: string;
}

const CELL_WIDTH = 148;
const CELL_HEIGHT = 72;
const LABEL_WIDTH = 148;
const HEADER_HEIGHT = 66;
const GAP = 3;
const LEGEND_HEIGHT = 66;

export function renderHeatMap(map: HeatMap): Html {
  const width = LABEL_WIDTH + map.columns.length * CELL_WIDTH;
  const height = HEADER_HEIGHT + map.rows.length * CELL_HEIGHT + LEGEND_HEIGHT;
  const limit = niceLimit(Math.max(...map.cells.map((cell) => Math.abs(cell.value))));
  return html`<svg class="heat-map" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="heat-title heat-description">
<title id="heat-title">${map.title}</title>
<desc id="heat-description">${map.description}</desc>
<text class="axis" x="0" y="${HEADER_HEIGHT - 12}">${map.rowTitle} ↓</text>
<text class="axis" x="${LABEL_WIDTH + GAP}" y="12">${map.columnTitle} →</text>
${map.columns.map((label, column) => columnLabel(label, LABEL_WIDTH + (column + 0.5) * CELL_WIDTH))}
${map.rows.map((label, row) => rowLabel(label, HEADER_HEIGHT + (row + 0.5) * CELL_HEIGHT))}
${map.cells.map((cell, index) => {
  const row = Math.floor(index / map.columns.length);
  const column = index % map.columns.length;
  return drawCell(
    cell,
    map.rows[row] === map.columns[column],
    LABEL_WIDTH + column * CELL_WIDTH,
    HEADER_HEIGHT + row * CELL_HEIGHT,
    limit,
  );
})}
${drawLegend(limit, map.unit, HEADER_HEIGHT + map.rows.length * CELL_HEIGHT, width)}
</svg>`;
}

function drawCell(cell: HeatMapCell, onTarget: boolean, x: number, y: number, limit: number): Html {
  const step = stepOf(cell.value, limit) + STEPS_A_SIDE;
  const unclear = cell.low <= 0 && cell.high >= 0;
  const middle = x + CELL_WIDTH / 2;
  return html`<g>
<rect class="step-${step}${onTarget ? " target" : ""}" x="${x + GAP}" y="${y + GAP}" width="${CELL_WIDTH - 2 * GAP}" height="${CELL_HEIGHT - 2 * GAP}" rx="4"/>
<text class="number ink-${step}" x="${middle}" y="${y + 34}">${signed(cell.value)}${unclear ? html`<tspan class="unclear"> ?</tspan>` : null}</text>
<text class="interval ink-${step}" x="${middle}" y="${y + 53}">${signed(cell.low)} … ${signed(cell.high)}</text>
</g>`;
}

function columnLabel(label: string, x: number): Html {
  const lines = wrapLabel(label);
  return html`${lines.map((line, index) => html`<text class="label middle" x="${x}" y="${HEADER_HEIGHT - 12 - 17 * (lines.length - 1 - index)}">${line}</text>`)}`;
}

function rowLabel(label: string, y: number): Html {
  const lines = wrapLabel(label);
  return html`${lines.map((line, index) => html`<text class="label" x="0" y="${y + 5 + 17 * (index - (lines.length - 1) / 2)}">${line}</text>`)}`;
}

/** The scale from lowest to highest step, with the sizes it spans. */
function drawLegend(limit: number, unit: string, y: number, width: number): Html {
  const count = 2 * STEPS_A_SIDE + 1;
  const box = Math.min(62, (width - LABEL_WIDTH) / count);
  return html`<g>
<text class="axis" x="0" y="${y + 33}">${unit}</text>
${Array.from({ length: count }, (_, index) => {
  const step = index - STEPS_A_SIDE;
  const [low, high] = stepRange(Math.abs(step), limit);
  const sign = step < 0 ? "−" : "+";
  const text =
    step === 0
      ? `±${plain(high)}`
      : step === STEPS_A_SIDE || step === -STEPS_A_SIDE
        ? `${sign}${plain(limit)}`
        : `${sign}${plain((low + high) / 2)}`;
  const x = LABEL_WIDTH + GAP + index * box;
  return html`<rect class="step-${index}" x="${x}" y="${y + 20}" width="${box - 2}" height="16" rx="2"/><text class="tick" x="${x + box / 2 - 1}" y="${y + 51}">${text}</text>`;
})}
</g>`;
}

/** "politically-conservative" → two lines; short names stay one. */
function wrapLabel(label: string): string[] {
  const words = label.split(/[-\s]+/);
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= 16) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** 1, 2, 4, 5 or 10 times a power of ten, at least `value`. */
function niceLimit(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((candidate) => candidate >= value)!;
}

/** With its sign, one decimal below 100: "+38.1", "−0.4". */
export function signed(value: number): string {
  const text = Math.abs(value) >= 100 ? Math.abs(value).toFixed(0) : Math.abs(value).toFixed(1);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
}

function plain(value: number): string {
  return value >= 10 ? value.toFixed(0) : value.toFixed(1);
}
