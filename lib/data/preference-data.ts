/**
 * Preference pairs from whatever they are kept in: any table that `readRecords` reads, in any layout of `formats/`, from
 * files, folders, standard input and data sets of the Hugging Face hub. Pairs come one by one; memory does not grow with
 * their number.
 */
import type { ItemErrorOptions } from "../engine/requests.js";
import { DataFormatError } from "../errors.js";
import { nameInput } from "../files/byte-stream.js";
import { oneLine } from "../files/describe-issue.js";
import { findDataFiles } from "./data-source.js";
import type { DroppedComparison, PairFormat } from "./formats/format.js";
import { FORMATS } from "./formats/index.js";
import type { FormatName, FormatOptions } from "./formats/options.js";
import type { FetchOptions } from "./hub-data-set.js";
import type { PreferencePair } from "./pairs.js";
import { createReadReport, type ReadReport } from "./read-report.js";
import { type DataRecord, readRecords } from "./records.js";

export interface PreferenceDataOptions extends ItemErrorOptions, FormatOptions, FetchOptions {
  /** Default "auto": told by the first records of each file. */
  format?: "auto" | FormatName | undefined;
  /** The pairs' `source`; default: the format's name, and of valora's own pairs what they say themselves. */
  source?: string | undefined;
  /** Told of every file what it was read as. */
  onFormat?: (path: string, format: FormatName) => void;
  /** Told of every comparison that makes no pair (a tie, an odd dialogue), why. */
  onOdd?: (dropped: DroppedComparison) => void;
  /** Told of every input, once it was read or given up, what became of its records. */
  onReport?: (report: ReadReport) => void;
}

/** Records that may be looked at before a file is given up as unknown: the first may be bad ones. */
const RECORDS_TO_TELL = 10;

/**
 * The pairs of all inputs, in order. An id is the layout's prefix and the number of the record, from 0, counted over all
 * files of that layout in this call ("hh:17"), so that no two pairs of a call have the same; valora's own pairs keep
 * theirs.
 *
 * @param inputs paths of files or folders, "-", or OWNER/NAME[@REVISION][/PATH] of data sets
 * @throws FileError, DownloadError where an input cannot be had
 * @throws DataFormatError naming file, line and reason of a bad record, unless such are to be skipped; or where a file is
 *   in no layout that is known
 * @throws CancelledError
 */
export async function* readPreferenceData(
  inputs: readonly string[],
  options: PreferenceDataOptions = {},
): AsyncGenerator<PreferencePair> {
  const indices = new Map<string, number>();
  for (const input of inputs) {
    const report = createReadReport(input);
    try {
      for (const path of await findDataFiles(input, options)) {
        const counting = countSkips(options, report);
        const records = readRecords(path, { ...counting, signal: options.signal });
        yield* readLayout(records, nameInput(path), { ...options, ...counting }, report, indices);
      }
    } finally {
      options.onReport?.(report);
    }
  }
}

/** The same options, with skipped records counted. */
export function countSkips(options: ItemErrorOptions, report: ReadReport): Required<ItemErrorOptions> {
  return {
    onError: options.onError ?? "fail",
    onSkip: (message) => {
      report.skipped += 1;
      options.onSkip?.(message);
    },
  };
}

async function* readLayout(
  records: AsyncGenerator<DataRecord>,
  name: string,
  options: PreferenceDataOptions,
  report: ReadReport,
  indices: Map<string, number>,
): AsyncGenerator<PreferencePair> {
  const { format = "auto" } = options;
  const told = await tellFormat(records, format);
  try {
    if (told.format === null) {
      if (told.first === null) return;
      throw new DataFormatError(
        `${name}: no layout of preference data is recognised by the fields ${listFields(told.first)}; looked for ` +
          `${FORMATS.map((known) => known.name).join(", ")}; name one with --format, or give one file or folder of it`,
      );
    }
    options.onFormat?.(name, told.format.name);
    yield* pairsOf(told.format, told.records, options, report, indices);
  } finally {
    await records.return(undefined);
  }
}

export interface ToldFormat {
  /** Null where no layout fits. */
  format: PairFormat | null;
  /** All records, those that were looked at included. */
  records: AsyncGenerator<DataRecord>;
  /** Null where there are no records. */
  first: DataRecord | null;
}

/** The layout of records: the first that one of the first records fits. */
export async function tellFormat(
  records: AsyncGenerator<DataRecord>,
  wanted: "auto" | FormatName = "auto",
): Promise<ToldFormat> {
  let format = FORMATS.find(({ name }) => name === wanted) ?? null;
  const seen: DataRecord[] = [];
  while (format === null && seen.length < RECORDS_TO_TELL) {
    const { done, value } = await records.next();
    if (done) break;
    seen.push(value);
    format = FORMATS.find((known) => known.recognises(value.value)) ?? null;
  }
  async function* all(): AsyncGenerator<DataRecord> {
    yield* seen;
    yield* records;
  }
  return { format, records: all(), first: seen[0] ?? null };
}

/**
 * The pairs that `format` makes of records, all of them accounted for in `report`.
 *
 * @param indices numbers of the next records by format, for ids
 */
export async function* pairsOf(
  format: PairFormat,
  records: AsyncIterable<DataRecord>,
  options: PreferenceDataOptions,
  report: ReadReport,
  indices: Map<string, number>,
): AsyncGenerator<PreferencePair> {
  const { source } = options;
  if (!report.formats.includes(format.name)) report.formats.push(format.name);
  const context = {
    ...options,
    nextIndex: () => {
      const index = indices.get(format.name) ?? 0;
      indices.set(format.name, index + 1);
      return index;
    },
    onDrop: (dropped: DroppedComparison) => {
      report.dropped[dropped.reason] = (report.dropped[dropped.reason] ?? 0) + 1;
      options.onOdd?.(dropped);
    },
  };
  async function* counted(): AsyncGenerator<DataRecord> {
    for await (const record of records) {
      report.records += 1;
      yield record;
    }
  }
  for await (const pair of format.pairs(counted(), context)) {
    report.pairs += 1;
    yield source === undefined ? pair : { ...pair, source };
  }
}

function listFields({ value }: DataRecord): string {
  const names = Object.keys(value);
  const shown = names.slice(0, 8).map((name) => oneLine(name.slice(0, 40)));
  return `${shown.join(", ")}${names.length > shown.length ? ", …" : ""}`;
}
