/**
 * The table that annotators fill in: CSV that spreadsheets open as it is - UTF-8 with a byte-order mark, everything quoted
 * that needs it - and in which no text of a model becomes a formula.
 */
import { stringify } from "csv-stringify/sync";
import { readRecords } from "../../data/records.js";
import { DataFormatError } from "../../errors.js";
import type { AnnotationItem, KeyEntry } from "./items.js";

/** A spreadsheet's cell holds 32,767 characters; Excel cuts what is longer without a word. */
const MAX_CELL = 32_000;
const CUT = " […]";

export function annotationCsv(items: readonly AnnotationItem[]): string {
  const choices = items[0]?.labels.length ?? 0;
  const columns = [
    "item",
    "prompt",
    "response",
    ...Array.from({ length: choices }, (_, i) => `label_${i + 1}`),
    "picked",
  ];
  const rows = items.map(({ item, prompt, response, labels }) => [item, fit(prompt), fit(response), ...labels, ""]);
  // =, +, -, @, tab and return at the start of a cell get an apostrophe in front (OWASP, "CSV Injection").
  return stringify([columns, ...rows], {
    bom: true,
    escape_formulas: true,
    record_delimiter: "windows",
    // By itself it quotes for "\r\n" alone, and a line feed ends a row for everybody who reads this.
    quoted_match: /[\r\n]/,
  });
}

function fit(text: string): string {
  return text.length <= MAX_CELL ? text : text.slice(0, MAX_CELL) + CUT;
}

/** An annotator's picks, by item; what was left empty is not there. */
export type Picks = Map<string, ReadonlySet<string>>;

/** Words for "none of the labels". */
const NONE = new Set(["0", "none", "-", "'-"]);

/**
 * Reads a table that was filled in: `picked` holds the numbers or the names of labels, or "none".
 *
 * @throws FileError, or DataFormatError naming file, line and what was picked
 */
export async function readPicks(path: string, key: ReadonlyMap<string, KeyEntry>): Promise<Picks> {
  const picks: Picks = new Map();
  for await (const { value, where } of readRecords(path)) {
    const [item, picked] = [cell(value, "item", where), cell(value, "picked", where)];
    const entry = key.get(item);
    if (entry === undefined)
      throw new DataFormatError(`${where}: the key has no item "${item}"; give the key of this table`);
    if (picks.has(item)) throw new DataFormatError(`${where}: ${item} is there twice; keep one of the rows`);
    if (picked !== "") picks.set(item, new Set(labelsOf(picked, entry.labels, `${where}: picked`)));
  }
  if (picks.size === 0) throw new DataFormatError(`${path}: nothing is picked; fill in the column "picked"`);
  return picks;
}

function cell(row: Record<string, unknown>, column: string, where: string): string {
  const text = row[column];
  if (typeof text === "string" || typeof text === "number") return String(text).trim();
  throw new DataFormatError(
    `${where}: there is no column "${column}"; give the table that --export-csv wrote, filled in`,
  );
}

function labelsOf(picked: string, labels: readonly string[], where: string): string[] {
  if (NONE.has(picked.toLowerCase())) return [];
  return picked
    .split(/[;,\n]|\s+(?=\d)/)
    .map((word) => word.trim())
    .filter((word) => word !== "")
    .map((word) => {
      // Spreadsheets write whole numbers as "2.0" now and then.
      const label = /^\d+(\.0+)?$/.test(word)
        ? labels[Number(word) - 1]
        : labels.find((name) => name === word.toLowerCase());
      if (label !== undefined) return label;
      throw new DataFormatError(
        `${where} has to be numbers from 1 to ${labels.length}, some of ${labels.join(", ")}, or none, not "${word}"`,
      );
    });
}
