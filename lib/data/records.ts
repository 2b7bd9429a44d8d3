/**
 * Rows of a table, whatever it is kept in: JSON Lines, a JSON array, CSV, TSV or Parquet, gzip or not, as objects with
 * the place that messages name. One at a time, so that memory does not grow with the file.
 */
import { DataFormatError, throwIfAborted } from "../errors.js";
import { nameInput, type PeekedBytes, peekBytes, readBytes } from "../files/byte-stream.js";
import { parseJsonArray } from "../files/json-array.js";
import { parseJsonLines } from "../files/json-lines.js";
import { parseCsv } from "./csv-rows.js";
import { parseParquet } from "./parquet-rows.js";

export type TableKind = "jsonl" | "json" | "csv" | "tsv" | "parquet";

export interface DataRecord<T = Record<string, unknown>> {
  value: T;
  /** "FILE, line 17", "FILE, item 17" (of an array), "FILE, row 17" (of Parquet); counted from 1. */
  where: string;
}

export interface ReadRecordsOptions {
  /** Default: told by the content, and by the name where that leaves a choice. */
  kind?: TableKind;
  /** Names for the columns of CSV and TSV without a first line of names. */
  columns?: readonly string[];
  /**
   * What a bad row does; default "fail". Where nothing after it can be read (a damaged gzip stream, Parquet file or JSON
   * array) it always fails.
   */
  onError?: "fail" | "skip";
  /** Told why a row was left out. */
  onSkip?: (message: string) => void;
  signal?: AbortSignal | undefined;
}

/** Endings of names of files that hold tables; each may be followed by ".gz". */
export const TABLE_NAME = /\.(jsonl|ndjson|json|csv|tsv|parquet)(\.gz)?$/i;

/** Enough to see past white space and a line of column names. */
const HEAD_BYTES = 1 << 16;

/** Protects whoever walks or writes a value against the depth of the stack. */
const MAX_DEPTH = 500;

/**
 * The rows of `path` ("-" is standard input). Values of CSV and TSV are texts.
 *
 * @throws FileError where it cannot be read
 * @throws DataFormatError naming the place
 * @throws CancelledError
 */
export async function* readRecords(path: string, options: ReadRecordsOptions = {}): AsyncGenerator<DataRecord> {
  for await (const { value, where } of readRows(path, options)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      yield { value: value as Record<string, unknown>, where };
      continue;
    }
    const message = `${where}: this is no object with fields`;
    if (options.onError !== "skip") throw new DataFormatError(message);
    options.onSkip?.(message);
  }
}

/** The same, of values that need not be objects. */
export async function* readRows(path: string, options: ReadRecordsOptions = {}): AsyncGenerator<DataRecord<unknown>> {
  const { onError = "fail", onSkip = () => {}, signal } = options;
  const name = nameInput(path);
  for await (const { value, where } of openTable(path, name, { ...options, onError, onSkip })) {
    throwIfAborted(signal);
    if (!isDeeper(value, MAX_DEPTH)) {
      yield { value, where };
      continue;
    }
    const message = `${where}: it is nested more than ${MAX_DEPTH} deep`;
    if (onError === "fail") throw new DataFormatError(message);
    onSkip(message);
  }
}

type TableOptions = ReadRecordsOptions & Required<Pick<ReadRecordsOptions, "onError" | "onSkip">>;

async function* openTable(path: string, name: string, options: TableOptions): AsyncGenerator<DataRecord<unknown>> {
  const peeked = await peekBytes(readBytes(path), HEAD_BYTES);
  try {
    const kind = options.kind ?? tellKind(path, name, peeked);
    switch (kind) {
      case "parquet":
        if (path === "-") throw new DataFormatError("Parquet cannot be read from standard input; give the file");
        await peeked.chunks.return(undefined);
        for await (const { value, row } of parseParquet(path)) yield { value, where: `${name}, row ${row}` };
        return;
      case "json":
        for await (const { value, item } of parseJsonArray(peeked.chunks, name))
          yield { value, where: `${name}, item ${item}` };
        return;
      case "jsonl":
        for await (const { value, line } of parseJsonLines(peeked.chunks, name, options))
          yield { value, where: `${name}, line ${line}` };
        return;
      default: {
        const { columns, onError, onSkip } = options;
        const delimiter = kind === "tsv" ? "\t" : tellDelimiter(peeked.head);
        const csv = { delimiter, onError, onSkip, ...(columns && { columns }) } as const;
        for await (const { value, line } of parseCsv(peeked.chunks, name, csv))
          yield { value, where: `${name}, line ${line}` };
      }
    }
  } finally {
    await peeked.chunks.return(undefined);
  }
}

function tellKind(path: string, name: string, { head }: PeekedBytes): TableKind {
  if (head.toString("latin1", 0, 4) === "PAR1" || /\.parquet$/i.test(path)) return "parquet";
  const ending = TABLE_NAME.exec(path)?.[1]?.toLowerCase();
  if (ending === "csv" || ending === "tsv") return ending;
  const text = head.toString("utf8").replace(/^\ufeff/, "");
  const first = text.trimStart()[0];
  if (/^\s*\{\s*\n/.test(text)) {
    throw new DataFormatError(`${name}: a JSON object goes over several lines; give a JSON array, or an object a line`);
  }
  if (first === "[") return "json";
  if (first === "{" || first === undefined || ending !== undefined) return "jsonl";
  const [line = ""] = text.split("\n", 1);
  if (line.includes("\t")) return "tsv";
  if (/[,;]/.test(line)) return "csv";
  throw new DataFormatError(`${name} is neither JSON, CSV, TSV nor Parquet; give one of these`);
}

/** Spreadsheets of some countries separate by ";". */
function tellDelimiter(head: Buffer): "," | ";" {
  const [line = ""] = head.toString("utf8").split("\n", 1);
  return !line.includes(",") && line.includes(";") ? ";" : ",";
}

/** Whether lists and objects are nested deeper than `limit`; without recursion, as it is asked before it is known. */
function isDeeper(value: unknown, limit: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= limit; depth++) {
    const next: unknown[] = [];
    for (const item of level) {
      if (typeof item !== "object" || item === null) continue;
      for (const inner of Array.isArray(item) ? item : Object.values(item))
        if (typeof inner === "object" && inner !== null) next.push(inner);
    }
    if (next.length === 0) return false;
    level = next;
  }
  return true;
}
