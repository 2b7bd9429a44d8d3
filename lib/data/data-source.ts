/** What an `--input` stands for: a file, every table in a folder, standard input, or a data set of the Hugging Face hub. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { describeFileError, FileError } from "../errors.js";
import { type FetchOptions, fetchHubDataSet, parseHubName } from "./hub-data-set.js";
import { TABLE_NAME } from "./records.js";

/** Tables by their names that hold no records: they say something of those beside them. */
const COMPANION = /^((.*\.)?manifest|dataset_infos?|dataset_dict|state)\.json$|^counts\.csv$/i;

/**
 * The files to read for `input`, "-" among them, in an order that is always the same.
 *
 * @param input a path, "-", or OWNER/NAME of a data set, with @REVISION, /FOLDER or /FILE behind it where wanted. What
 *   is there as a path is taken as one.
 * @throws FileError where there is nothing, or a folder without tables
 * @throws DownloadError, CancelledError
 */
export async function findDataFiles(input: string, options: FetchOptions = {}): Promise<string[]> {
  if (input === "-") return ["-"];
  const found = await stat(input).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new FileError(`${input} cannot be read: ${describeFileError(error)}`, { cause: error });
  });
  if (found !== null && !found.isDirectory()) return [input];
  const files = found === null ? await findInHub(input, options) : await walk(input);
  if (files.length > 0) return files;
  throw new FileError(`${input} has no .jsonl, .json, .csv, .tsv or .parquet files; give a folder or file that does`);
}

async function findInHub(input: string, options: FetchOptions): Promise<string[]> {
  const name = parseHubName(input);
  // "data/pairs.jsonl" is a file that is missing, not a data set of someone called data.
  if (name === null || (name.path === "" && TABLE_NAME.test(input))) {
    throw new FileError(`${input} cannot be read: it does not exist`);
  }
  return fetchHubDataSet(name, (path) => path === name.path || isTable(basename(path)), options);
}

/** Hidden files and links to folders are passed over: links may go round in circles. */
async function walk(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new FileError(`${folder} cannot be read: ${describeFileError(error)}`, { cause: error });
  });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const files: string[] = [];
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory()) files.push(...(await walk(path)));
    else if (isTable(entry.name)) files.push(path);
  }
  return files;
}

function isTable(name: string): boolean {
  return TABLE_NAME.test(name) && !COMPANION.test(name);
}
