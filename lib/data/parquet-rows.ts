/** Rows of a Parquet file as objects, one row group at a time: memory is that of the largest row group. */
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { DataFormatError } from "../errors.js";
import { describeLibraryError } from "../models/library-error.js";

export interface ParquetRow {
  value: Record<string, unknown>;
  /** Counted from 1. */
  row: number;
}

/** Protects memory: a row group is decoded as a whole. Writers make them of 64 to 512 MiB at most. */
const MAX_GROUP_BYTES = 2 * 2 ** 30;

/**
 * Integers become numbers (texts beyond 2^53), times ISO 8601 texts, bytes base64 texts.
 *
 * @throws DataFormatError where it is not a whole Parquet file, or has row groups of more than 2 GiB
 */
export async function* parseParquet(path: string): AsyncGenerator<ParquetRow> {
  const { asyncBufferFromFile, parquetMetadataAsync } = await import("hyparquet");
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      const reason = describeLibraryError(error, "it is damaged");
      throw new DataFormatError(`${path} cannot be read as Parquet: ${reason}; fetch or write the file again`, {
        cause: error,
      });
    }
  };
  const file = await guard(() => asyncBufferFromFile(path));
  const metadata: FileMetaData = await guard(() => parquetMetadataAsync(file));
  let row = 0;
  for (const group of metadata.row_groups) {
    const rows = Number(group.num_rows);
    if (!(Number(group.total_byte_size) <= MAX_GROUP_BYTES)) {
      throw new DataFormatError(`${path} has a row group of more than 2 GiB; write it again with smaller row groups`);
    }
    const values = await guard(() => readGroup(file, metadata, row, rows));
    if (values.length !== rows) throw new DataFormatError(`${path}, row ${row + values.length + 1}: rows are missing`);
    for (const value of values) {
      row += 1;
      yield { value: toPlain(value) as Record<string, unknown>, row };
    }
  }
}

/**
 * The rows of one group, as `parquetReadObjects` gives them. That reads all columns at once and, of a damaged file, leaves
 * some that fail without anyone who waits for them, which ends the process. So here every column is waited for before
 * any of them is read.
 */
async function readGroup(
  file: AsyncBuffer,
  metadata: FileMetaData,
  rowStart: number,
  rows: number,
): Promise<unknown[]> {
  const [
    { parquetSchema },
    { parquetPlan },
    { readParquetPlan },
    { assembleAsync, asyncGroupToRows },
    { compressors },
  ] = await Promise.all([
    import("hyparquet"),
    import("hyparquet/src/plan.js"),
    import("hyparquet/src/scan.js"),
    import("hyparquet/src/rowgroup.js"),
    import("hyparquet-compressors"),
  ]);
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const gated: AsyncBuffer = {
    byteLength: file.byteLength,
    slice: (start, end) => {
      const bytes = gate.then(() => file.slice(start, end));
      bytes.catch(() => {}); // a range that was planned and is not used
      return bytes;
    },
  };
  const options = { file: gated, metadata, compressors, rowStart, rowEnd: rowStart + rows };
  const groups = readParquetPlan(options, parquetPlan(options));
  const assembled = groups.map((group) => assembleAsync(group, parquetSchema(metadata)));
  const columns = [...groups, ...assembled].flatMap(({ asyncColumns }) => asyncColumns.map(({ data }) => data));
  const settled = Promise.allSettled(columns);
  open();
  const failed = (await settled).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const [group] = assembled;
  if (group === undefined || assembled.length !== 1) throw new Error("its row groups overlap");
  return asyncGroupToRows(group, 0, rows, undefined, "object");
}

/** A value as JSON would have it. */
function toPlain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value as ArrayLike<unknown>, toPlain);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, toPlain(item)]));
}
