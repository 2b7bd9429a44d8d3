/** A button at every table that saves what it shows as CSV. */
import { all, element } from "./dom.js";

export function startDownloads(): void {
  for (const table of all<HTMLTableElement>("main table")) {
    const button = element("button", { type: "button" }, "Save as CSV");
    button.addEventListener("click", () => save(table));
    const place = table.closest(".grid") ?? table.closest(".scroll");
    place?.after(element("div", { class: "tools" }, button));
  }
}

function save(table: HTMLTableElement): void {
  const name = (table.caption?.textContent ?? "table")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 60);
  const url = URL.createObjectURL(new Blob([tableText(table)], { type: "text/csv" }));
  element("a", { href: url, download: `${name}.csv` }).click();
  URL.revokeObjectURL(url);
}

/** Rows of the table as CSV (RFC 4180); a cell's interval stands behind its number. */
export function tableText(table: HTMLTableElement): string {
  const cell = (node: HTMLTableCellElement): string => {
    const text = [...node.childNodes].map((child) => child.textContent ?? "").filter((part) => part !== "");
    const joined = text.join(" ").trim();
    return /[",\n\r]/.test(joined) ? `"${joined.replaceAll('"', '""')}"` : joined;
  };
  return [...table.rows]
    .map((row) => [...row.cells].map(cell).join(","))
    .join("\r\n")
    .concat("\r\n");
}
