/** The crosstalk matrix as a table for a terminal of 100 columns. */
import type { Crosstalk } from "../metrics/crosstalk.js";
import { signed } from "../report/heat-map.js";

const COLUMN = 16;

/** Three lines a row: mean change, interval, accuracy before → after. */
export function renderCrosstalkTable(crosstalk: Crosstalk): string {
  const label = Math.max("induced ↓".length, ...crosstalk.induced.map((name) => name.length)) + 2;
  const headers = crosstalk.measured.map(wrapHeader);
  const height = Math.max(...headers.map((lines) => lines.length));
  const lines: string[] = [];
  for (let line = 0; line < height; ++line) {
    const cells = headers.map((words) => words[line - (height - words.length)] ?? "");
    lines.push(row(line === height - 1 ? "induced ↓" : "", label, cells));
  }
  lines.push("─".repeat(label + COLUMN * crosstalk.measured.length));
  for (const induced of crosstalk.induced) {
    const cells = crosstalk.cells.filter((cell) => cell.induced === induced);
    lines.push(
      row(
        induced,
        label,
        cells.map(({ delta }) => `${signed(delta.mean)}${delta.low <= 0 && delta.high >= 0 ? " ?" : ""}`),
      ),
    );
    lines.push(
      row(
        "",
        label,
        cells.map(({ delta }) => `[${signed(delta.low)}, ${signed(delta.high)}]`),
      ),
    );
    lines.push(
      row(
        "",
        label,
        cells.map((cell) => `${cell.accuracyBefore.toFixed(2)} → ${cell.accuracyAfter.toFixed(2)}`),
      ),
    );
    lines.push("");
  }
  const n = Math.min(...crosstalk.cells.map((cell) => cell.delta.n));
  lines.push(
    `Change of log p(matching) − log p(not matching) against the untrained model, nats per held-out pair,`,
    `with its 95 % bootstrap interval over ${n} pairs ("?" where it holds 0), and accuracy before → after.`,
  );
  return `${lines.join("\n")}\n`;
}

function row(label: string, width: number, cells: readonly string[]): string {
  return (label.padEnd(width) + cells.map((cell) => cell.padStart(COLUMN)).join("")).trimEnd();
}

/** "politically-conservative" → "politically-", "conservative". */
function wrapHeader(name: string): string[] {
  return name.length < COLUMN ? [name] : name.split(/(?<=-)/);
}
