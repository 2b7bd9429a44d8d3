/** Walking a heat map by arrow keys, and a line beneath it that says what the cell under the pointer holds. */
import { all, element } from "./dom.js";

export function startGrids(open: (cell: number) => void): void {
  for (const table of all<HTMLTableElement>("table.heat")) startGrid(table, open);
}

function startGrid(table: HTMLTableElement, open: (cell: number) => void): void {
  const rows = [...table.tBodies[0]!.rows].map((row) => all<HTMLTableCellElement>("td", row));
  const cells = rows.flat();
  if (cells.length === 0) return;
  const columns = all<HTMLTableCellElement>("th", table.tHead!).map((head) => head.textContent ?? "");
  const heads = [...table.tBodies[0]!.rows].map((row) => row.cells[0]!.textContent ?? "");
  // A grid is entered by one Tab and walked by arrows; 225 stops would shut the rest of the page off.
  table.setAttribute("role", "grid");
  for (const cell of cells) cell.tabIndex = -1;
  cells[0]!.tabIndex = 0;
  const readout = element(
    "p",
    { class: "readout", "aria-hidden": "true" },
    "Arrow keys walk the cells; Enter or a click opens one.",
  );
  const scroll = table.closest<HTMLElement>(".scroll")!;
  scroll.after(readout);
  // Walking the cells scrolls them into view: the box needs no stop of its own.
  scroll.removeAttribute("tabindex");

  const placeOf = (cell: HTMLTableCellElement): [row: number, column: number] => {
    const row = rows.findIndex((each) => each.includes(cell));
    return [row, rows[row]?.indexOf(cell) ?? -1];
  };
  const describe = (cell: HTMLTableCellElement): void => {
    const [row, column] = placeOf(cell);
    const number = cell.querySelector("b")?.textContent ?? "";
    const interval = cell.querySelector("i")?.textContent;
    const text = number === "" ? (cell.textContent ?? "") : `${number}${interval ? `  [${interval}]` : ""}`;
    readout.textContent = `${heads[row]} → ${columns[column]}: ${text}`;
  };
  const enter = (cell: HTMLTableCellElement): void => {
    for (const each of cells) each.tabIndex = each === cell ? 0 : -1;
    cell.focus();
  };
  const openCell = (cell: HTMLTableCellElement): void => {
    if (cell.dataset.cell !== undefined) open(Number(cell.dataset.cell));
  };
  const cellOf = (event: Event): HTMLTableCellElement | null => (event.target as Element).closest("tbody td");

  table.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (cell === null) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      openCell(cell);
      return;
    }
    const [row, column] = placeOf(cell);
    const next = nextPlace(event, row, column, rows.length, rows[row]!.length);
    if (next === null) return;
    event.preventDefault();
    enter(rows[next[0]]![next[1]]!);
  });
  table.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (cell === null) return;
    enter(cell);
    openCell(cell);
  });
  for (const name of ["focusin", "pointerover"])
    table.addEventListener(name, (event) => {
      const cell = cellOf(event);
      if (cell !== null) describe(cell);
    });
}

/** Where a key leads, kept within the grid; null for a key that leads nowhere. */
function nextPlace(
  { key, ctrlKey }: KeyboardEvent,
  row: number,
  column: number,
  rows: number,
  columns: number,
): [number, number] | null {
  const moves: Record<string, [number, number]> = {
    ArrowUp: [row - 1, column],
    ArrowDown: [row + 1, column],
    ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1],
    Home: [ctrlKey ? 0 : row, 0],
    End: [ctrlKey ? rows - 1 : row, columns - 1],
  };
  const move = moves[key];
  if (move === undefined) return null;
  const clamp = (at: number, size: number): number => Math.min(Math.max(at, 0), size - 1);
  return [clamp(move[0], rows), clamp(move[1], columns)];
}
