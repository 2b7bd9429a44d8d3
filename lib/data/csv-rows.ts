/** Rows of CSV and TSV (RFC 4180 quoting; lines end in \n or \r\n) as objects by the names of the first line. */
import { Readable } from "node:stream";
import { type CsvError, type Info, type Parser, parse } from "csv-parse";
import { DataFormatError } from "../errors.js";
import { checkUtf8, MAX_VALUE_BYTES } from "../files/byte-stream.js";
import { describeLibraryError } from "../models/library-error.js";

export interface CsvOptions {
  delimiter: "," | "\t" | ";";
  /** Names for the columns of a file without a first line of names. */
  columns?: readonly string[];
  onError?: "fail" | "skip";
  onSkip?: (message: string) => void;
}

/** Such a row always ends the reading, as an endless line of JSON does. */
const TOO_LONG = "CSV_MAX_RECORD_SIZE";

/** Every value is a text. `line` is where the row begins, from 1. */
export interface CsvRow {
  value: Record<string, string>;
  line: number;
}

/**
 * Rows whose number of fields differs from the header's are bad; a quote that is never closed ends the file.
 *
 * @throws DataFormatError naming `where` and the line
 */
export async function* parseCsv(
  chunks: AsyncIterable<Buffer>,
  where: string,
  options: CsvOptions,
): AsyncGenerator<CsvRow> {
  /** The line where the last row ended. */
  let before = options.columns === undefined ? 1 : 0;
  const complain = (error: CsvError): string => {
    const { lines = before + 1, code } = error as unknown as { lines?: number; code: string };
    const reason = describeLibraryError(error, "the row is damaged").replace(/ (on|at) line \d+.*$/, "");
    const tooLong = `the row is longer than ${MAX_VALUE_BYTES / 2 ** 20} MiB; is a quote not closed?`;
    return `${where}, line ${lines}: ${code === TOO_LONG ? tooLong : reason}`;
  };
  const parser: Parser = parse({
    delimiter: options.delimiter,
    columns: options.columns === undefined ? (names: string[]) => checkNames(names, where) : [...options.columns],
    record_delimiter: ["\r\n", "\n"],
    relax_quotes: true,
    skip_empty_lines: true,
    max_record_size: MAX_VALUE_BYTES,
    info: true,
    skip_records_with_error: options.onError === "skip",
    on_skip: (error) => {
      if (error === undefined) return undefined;
      before = Number(error.lines ?? before);
      if (error.code === TOO_LONG) parser.destroy(error);
      else options.onSkip?.(complain(error));
      return undefined;
    },
  });
  const source = Readable.from(checkUtf8(chunks, where), { objectMode: false });
  source.on("error", (error) => parser.destroy(error));
  source.pipe(parser);
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: Record<string, string>; info: Info }>) {
      yield { value: record, line: before + 1 };
      before = info.lines;
    }
  } catch (error) {
    throw (error as { code?: string }).code?.startsWith("CSV_")
      ? new DataFormatError(complain(error as CsvError), { cause: error })
      : error;
  } finally {
    source.destroy();
    parser.destroy();
  }
}

function checkNames(names: string[], where: string): string[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new DataFormatError(`${where}, line 1: two columns are named "${twice}"; rename one of them`);
  }
  return names;
}
