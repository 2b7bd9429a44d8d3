/** Rows of a table of JSON Lines or CSV as objects, with the place that messages name. */
import { createReadStream } from "node:fs";
import { type CsvError, parse } from "csv-parse";
import { throwIfAborted } from "../engine/cancel.js";
import { DataFormatError, describeFileError, FileError } from "../errors.js";
import { readJsonLines } from "../files/json-lines.js";

export interface DataRecord {
  value: Record<string, unknown>;
  /** "FILE, line 17". */
  where: string;
}

export interface ReadRecordsOptions {
  onError?: "fail" | "skip";
  onSkip?: (message: string) => void;
  signal?: AbortSignal | undefined;
}

/**
 * CSV where the name ends in .csv (the first line names the columns; values are texts), else JSON Lines.
 *
 * @throws FileError, or DataFormatError naming the place
 * @throws CancelledError
 */
export async function* readRecords(path: string, options: ReadRecordsOptions = {}): AsyncGenerator<DataRecord> {
  for await (const { value, line } of /\.csv$/i.test(path) ? readCsv(path) : readJsonLines(path, options)) {
    throwIfAborted(options.signal);
    const where = `${path}, line ${line}`;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      yield { value: value as Record<string, unknown>, where };
      continue;
    }
    if (options.onError !== "skip") throw new DataFormatError(`${where}: this is no object with fields`);
    options.onSkip?.(`${where}: this is no object with fields`);
  }
}

async function* readCsv(path: string): AsyncGenerator<{ value: unknown; line: number }> {
  const parser = parse({ columns: true, bom: true, skip_empty_lines: true, info: true });
  const source = createReadStream(path);
  source.on("error", (error) => parser.destroy(error)).pipe(parser);
  let before = 1;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: unknown; info: { lines: number } }>) {
      yield { value: record, line: before + 1 };
      before = info.lines;
    }
  } catch (error) {
    const { code, lines } = error as CsvError & { lines?: number };
    if (!code?.startsWith("CSV_"))
      throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
    throw new DataFormatError(`${path}, line ${lines ?? "?"}: ${(error as Error).message}`, { cause: error });
  } finally {
    source.destroy();
  }
}
