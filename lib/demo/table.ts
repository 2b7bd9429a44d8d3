/** The crosstalk matrix as a table for a terminal of 100 columns. */
import type { Crosstalk, CrosstalkCell } from "../metrics/crosstalk.js";
import { signed } from "../report/heat-map.js";

/** A longer name is broken at its hyphens. */
const LONGEST_HEADER = 17;
const GAP = 2;

/** Three lines a row: mean change, interval, accuracy before → after. */
export function renderCrosstalkTable(crosstalk: Crosstalk): string {
  const columns = crosstalk.measured.map((name) => {
    const header = wrapHeader(name);
    const cells = crosstalk.cells.filter((cell) => cell.measured === name).map(cellLines);
    return { header, width: GAP + Math.max(...[header, ...cells].flat().map((line) => line.length)) };
  });
  const labelWidth = Math.max("induced ↓".length, ...crosstalk.induced.map((name) => name.length));
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
  for (const induced of crosstalk.induced) {
    const cells = crosstalk.cells.filter((cell) => cell.induced === induced).map(cellLines);
    for (let line = 0; line < 3; ++line) {
      lines.push(
        row(
          line === 0 ? induced : "",
          cells.map((cell) => cell[line] ?? ""),
        ),
      );
    }
    lines.push("");
  }
  const n = Math.min(...crosstalk.cells.map((cell) => cell.delta.n));
  lines.push(
    `Change of log p(matching) − log p(not matching) against the untrained model, nats per held-out pair,`,
    `with its 95 % interval over ${n} pairs ("?" where it holds 0), and accuracy before → after.`,
  );
  return `${lines.join("\n")}\n`;
}

function cellLines({ delta, accuracyBefore, accuracyAfter }: CrosstalkCell): string[] {
  return [
    `${signed(delta.mean)}${delta.low <= 0 && delta.high >= 0 ? " ?" : ""}`,
    `[${signed(delta.low)}, ${signed(delta.high)}]`,
    `${accuracyBefore.toFixed(2)} → ${accuracyAfter.toFixed(2)}`,
  ];
}

/** "politically-conservative" → "politically-", "conservative". */
function wrapHeader(name: string): string[] {
  return name.length <= LONGEST_HEADER ? [name] : name.split(/(?<=-)/);
}
