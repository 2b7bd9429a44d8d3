/**
 * What the page's script is given, as JSON in a script element that is never run. The script shows all of it as text:
 * nothing in here is markup.
 */
import type { Unit } from "./format.js";

/** What an interval speaks of: "prompts" means these very runs on other prompts. */
export type Scope = "runs and prompts" | "prompts" | "runs" | "nothing";

export type Verdict = "different" | "equivalent" | "undecided";

/** One cell of any grid: a difference from the untrained model, in full. */
export interface CellDetail {
  model: string;
  /** What was induced, and how. */
  value: string;
  arm: string;
  step: number | null;
  suite: string;
  task: string;
  metric: string;
  grader: string | null;
  unit: Unit;
  /** Mean of the untrained model and of the induced one, over the same items. */
  before: number;
  after: number;
  /** Share of items above 0: of a margin, the accuracy. Null where the unit has no such zero. */
  aboveBefore: number | null;
  aboveAfter: number | null;
  mean: number;
  low: number | null;
  high: number | null;
  /** Two-sided; adjusted for the cells that it was tested with. Null where there is none. */
  p: number | null;
  adjusted: number | null;
  verdict: Verdict;
  /** Differences within ± this count as none; in the unit of the mean. */
  margin: number | null;
  over: Scope;
  seeds: number;
  clusters: number;
  items: number;
  /** Per unit of the target's own shift, where the target moved. */
  unitMean: number | null;
  unitLow: number | null;
  unitHigh: number | null;
  /** Why there is none. */
  unitBlank: string | null;
  /** The change minus that of a control arm; null where there is none. */
  control: string | null;
  beyondMean: number | null;
  beyondLow: number | null;
  beyondHigh: number | null;
  beyondVerdict: Verdict | null;
  /** Mean of each training run, "seed:mean" joined by a space. */
  runs: string;
}

/** One item that a cell shows: what was asked, and what the models did. */
export interface ExampleText {
  item: string;
  prompt: string;
  /** Of a preference item: the side that expresses the value, and the other. */
  matching?: string;
  other?: string;
  /** Of another question whose answers were given: those. */
  choices?: string[];
}

export interface ExampleAnswer {
  text: string;
  /** "refusal-match: refusal". */
  labels: string;
}

export interface CellExample {
  /** Why this one: "largest rise", "nearest to the mean". */
  why: string;
  /** Index into `texts`. */
  text: number;
  before: number;
  after: number;
  /** Indices into `answers`; -1 where none was kept. */
  baseAnswer: number;
  answer: number;
}

/** [mean, low, high]; low and high may be absent. */
export type Point = readonly [mean: number, low: number | null, high: number | null];

export type ChartSpec =
  | {
      kind: "intervals";
      unit: Unit;
      xTitle: string;
      rows: readonly string[];
      /** A point for each row, null where there is none. */
      series: readonly { name: string; points: readonly (Point | null)[] }[];
    }
  | {
      kind: "lines";
      xTitle: string;
      yTitle: string;
      xUnit: Unit;
      yUnit: Unit;
      series: readonly {
        name: string;
        points: readonly { x: number; y: number; low: number | null; high: number | null; label: string }[];
      }[];
    };

/** Rows of one shape as columns: names once, and texts that repeat once. */
export interface Columns {
  length: number;
  numbers: Record<string, (number | null)[]>;
  texts: Record<string, { values: string[]; at: number[] }>;
}

export interface PageData {
  cells: Columns;
  texts: ExampleText[];
  answers: ExampleAnswer[];
  /** By index of the cell. */
  examples: Record<string, CellExample[]>;
  charts: Record<string, ChartSpec>;
}

/** Turns rows into columns; a column whose entries are all texts or null is kept as a dictionary (-1 is null). */
export function toColumns(rows: readonly object[]): Columns {
  const columns: Columns = { length: rows.length, numbers: {}, texts: {} };
  const records = rows as readonly Record<string, string | number | null>[];
  for (const key of Object.keys(records[0] ?? {})) {
    const entries = records.map((row) => row[key] ?? null);
    if (entries.every((entry) => typeof entry !== "string")) {
      columns.numbers[key] = entries.map((entry) => (entry === null ? null : shorten(entry as number)));
      continue;
    }
    const places = new Map<string, number>();
    const at = entries.map((entry) => {
      if (entry === null) return -1;
      const text = String(entry);
      if (!places.has(text)) places.set(text, places.size);
      return places.get(text)!;
    });
    columns.texts[key] = { values: [...places.keys()], at };
  }
  return columns;
}

/** The row that `toColumns` was given, numbers to six digits. */
export function rowAt<T>(columns: Columns, index: number): T {
  const row: Record<string, unknown> = {};
  for (const [key, numbers] of Object.entries(columns.numbers)) row[key] = numbers[index];
  for (const [key, { values, at }] of Object.entries(columns.texts))
    row[key] = at[index]! < 0 ? null : values[at[index]!];
  return row as T;
}

function shorten(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  return Number.isInteger(value) ? value : Number(value.toPrecision(6));
}

/** JSON that may stand in a script element: no "<" can close it, no line separator breaks an old parser. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll("<", "\\u003c")
    .replaceAll(">", "\\u003e")
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
}
