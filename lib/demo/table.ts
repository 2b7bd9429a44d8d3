/** The crosstalk matrix as a table for a terminal of 100 columns. */
import type { Effect } from "../report/collect.js";
import { formatDelta } from "../report/format.js";
import { unique } from "../report/group.js";

/** A longer name is broken at its hyphens. */
const LONGEST_HEADER = 17;
const GAP = 2;

/** Three lines a row: mean change, interval, accuracy before → after. */
export function renderCrosstalkTable(matrix: readonly Effect[]): string {
  const induced = unique(matrix.map(({ value }) => value));
  const columns = unique(matrix.map(({ task }) => task)).map((name) => {
    const header = wrapHeader(name);
    const cells = matrix.filter(({ task }) => task === name).map(cellLines);
    return { header, width: GAP + Math.max(...[header, ...cells].flat().map((line) => line.length)) };
  });
  const labelWidth = Math.max("induced ↓".length, ...induced.map((name) => name.length));
  const row = (label: string, cells: readonly string[]) =>
    [label.padEnd(labelWidth), ...columns.map(({ width }, i) => (cells[i] ?? "").padStart(width))].join("").trimEnd();

  const height = Math.max(...columns.map(({ header }) => header.length));
  const lines: string[] = [];
  for (let line = 0; line < height; ++line) {
    lines.push(
      row(
        line === height - 1 ? "induced ↓" : "",
        columns.map(({ header }) => header[line - (height - header.length)] ?? ""),
      ),
    );
  }
  lines.push("─".repeat(columns.reduce((sum, { width }) => sum + width, labelWidth)));
  for (const name of induced) {
    const cells = matrix.filter(({ value }) => value === name).map(cellLines);
    for (let line = 0; line < 3; ++line) {
      lines.push(
        row(
          line === 0 ? name : "",
          cells.map((cell) => cell[line] ?? ""),
        ),
      );
    }
    lines.push("");
  }
  const n = Math.min(...matrix.map(({ items }) => items));
  lines.push(
    `Change of log p(matching) − log p(not matching) against the untrained model, nats per held-out pair,`,
    `with its 95 % interval over ${n} pairs, and accuracy before → after. "?": undecided, once the number of`,
    `cells is allowed for; "≈": shown to be within the margin, ±1 nat.`,
  );
  return `${lines.join("\n")}\n`;
}

const MARKS: Readonly<Record<Effect["verdict"], string>> = { different: "", undecided: " ?", equivalent: " ≈" };

function cellLines({ mean, low, high, unit, verdict, aboveBefore, aboveAfter }: Effect): string[] {
  return [
    `${formatDelta(mean, unit)}${MARKS[verdict]}`,
    `[${formatDelta(low, unit)}, ${formatDelta(high, unit)}]`,
    `${aboveBefore?.toFixed(2)} → ${aboveAfter?.toFixed(2)}`,
  ];
}

/** "politically-conservative" → "politically-", "conservative". */
function wrapHeader(name: string): string[] {
  return name.length <= LONGEST_HEADER ? [name] : name.split(/(?<=-)/);
}
