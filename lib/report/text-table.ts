/** Tables for the terminal. */

/** The first column to the left, the others to the right, a line under the titles. */
export function textTable(titles: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = titles.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd();
  const width = widths.reduce((sum, each) => sum + each + 2, -2);
  return [line(titles), "─".repeat(width), ...rows.map(line)];
}
