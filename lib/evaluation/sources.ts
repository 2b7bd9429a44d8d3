/**
 * Where the data of suites lie: in the folder of `--data`, in any of the layouts that are known of a data set; else on the
 * Hugging Face hub; else in the small sample that ships. Who made a data set, and under which licence, is said here.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fetchHubDataSet } from "../data/hub-data-set.js";
import { CancelledError, describeFileError, FileError } from "../errors.js";
import { SOURCES, type SourceName } from "./source-table.js";

export { SOURCES, type Source, type SourceName } from "./source-table.js";

/** Ways to the same data, in the order in which they are tried. */
export interface Wanted {
  /**
   * Paths within the data set's folder, "test/anatomy_test.csv"; the folder is that of `--data`, or one of the source's
   * folders at any depth below. Those that begin with "*" and a slash are found at any depth in any folder. Each may
   * have ".gz" behind it.
   */
  names: readonly string[];
  /** A file of a data set of the hub. */
  hub?: { repo: string; path: string };
  /** A file of data/evaluation. */
  sample?: string;
}

export interface FoundData {
  path: string;
  origin: "folder" | "hub" | "sample";
}

export interface DataSourcesOptions {
  /** That of `--data`. */
  folder?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Told why the hub is not asked any more. */
  onNote?: ((message: string) => void) | undefined;
}

/** Protects against `--data /`. */
const MAX_FILES = 200_000;
const MAX_DEPTH = 8;

/** The samples that ship. */
const SAMPLES = fileURLToPath(new URL("../../data/evaluation/", import.meta.url));

export class DataSources {
  readonly folder: string | undefined;
  private readonly options: DataSourcesOptions;
  private files: Promise<string[]> | undefined;
  private hubIsOut: boolean;

  constructor(options: DataSourcesOptions = {}) {
    this.options = options;
    this.folder = options.folder;
    // The variable that the hub's own clients obey.
    this.hubIsOut = /^(1|on|yes|true)$/i.test(process.env.HF_HUB_OFFLINE ?? "");
  }

  /**
   * Null where the data are nowhere.
   *
   * @throws FileError where the folder cannot be read; CancelledError
   */
  async look(source: SourceName, wanted: Wanted): Promise<FoundData | null> {
    const inFolder = await this.lookInFolder(source, wanted.names);
    if (inFolder !== null) return { path: inFolder, origin: "folder" };
    const fetched = wanted.hub === undefined ? null : await this.lookInHub(wanted.hub);
    if (fetched !== null) return { path: fetched, origin: "hub" };
    return wanted.sample === undefined ? null : { path: join(SAMPLES, wanted.sample), origin: "sample" };
  }

  /** @throws FileError where the data are nowhere, saying what was looked for */
  async find(source: SourceName, wanted: Wanted): Promise<FoundData> {
    const found = await this.look(source, wanted);
    if (found !== null) return found;
    const { title, url } = SOURCES[source];
    const place = this.folder === undefined ? "give --data DIR with" : `--data ${this.folder} has to hold`;
    throw new FileError(`${title} is not here: ${place} ${wanted.names[0]?.replace("*/", "")} (${url})`);
  }

  /** Paths of the files of `--data`, relative to it, "/" between folders; none where it was not given. */
  list(): Promise<string[]> {
    if (this.folder === undefined) return Promise.resolve([]);
    this.files ??= listFiles(this.folder);
    return this.files;
  }

  private async lookInFolder(source: SourceName, names: readonly string[]): Promise<string | null> {
    const files = await this.list();
    for (const name of names) {
      const found = files.filter((file) => isWanted(file.replace(/\.gz$/i, ""), name, SOURCES[source].folders));
      // Of several, the one nearest to the top.
      found.sort((a, b) => a.split("/").length - b.split("/").length || (a < b ? -1 : 1));
      if (found[0] !== undefined) return join(this.folder as string, found[0]);
    }
    return null;
  }

  private async lookInHub({ repo, path }: { repo: string; path: string }): Promise<string | null> {
    if (this.hubIsOut) return null;
    try {
      const { signal } = this.options;
      const [file] = await fetchHubDataSet({ repo, revision: "main", path }, (other) => other === path, { signal });
      return file ?? null;
    } catch (error) {
      if (error instanceof CancelledError || this.options.signal?.aborted) throw error;
      this.hubIsOut = true;
      this.options.onNote?.(`${(error as Error).message}; going on without the hub`);
      return null;
    }
  }
}

function isWanted(file: string, name: string, folders: readonly string[]): boolean {
  if (name.startsWith("*/")) return file === name.slice(2) || file.endsWith(name.slice(1));
  return file === name || folders.some((folder) => `/${file}`.endsWith(`/${folder}/${name}`));
}

async function listFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  const walk = async (below: string, depth: number): Promise<void> => {
    const entries = await readdir(join(folder, below), { withFileTypes: true }).catch((error: unknown) => {
      throw new FileError(`--data ${join(folder, below)} cannot be read: ${describeFileError(error)}`, {
        cause: error,
      });
    });
    for (const entry of entries) {
      if (entry.name.startsWith(".")) continue;
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) {
        if (depth < MAX_DEPTH) await walk(path, depth + 1);
      } else files.push(path);
    }
    if (files.length > MAX_FILES)
      throw new FileError(
        `--data ${folder} holds more than ${MAX_FILES} files; give the folder of the data sets alone`,
      );
  };
  await walk("", 0);
  return files.sort();
}
