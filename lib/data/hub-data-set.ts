/**
 * Data sets of the Hugging Face hub in the cache folder: `datasets/OWNER/NAME/REVISION.json` says which files a revision
 * has, `datasets/OWNER/NAME/COMMIT/` holds those that were asked for. What is there is never asked for again, so a study
 * runs on without a network and on the same data; a newer state has a revision of its own, or comes after the listing is
 * removed.
 */
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { CancelledError, DataFormatError, DownloadError, FileError, ValoraError } from "../errors.js";
import { writeFileAtomic } from "../files/atomic.js";
import { describeFailure, saveStream } from "../models/pull.js";
import { type HubListing, listHubDataSet, openHubFile } from "../models/pull-hub.js";
import { cacheFolder } from "../models/registry.js";

export interface HubDataSetName {
  /** "OWNER/NAME". */
  repo: string;
  revision: string;
  /** A folder or file of it; "" is all of it. */
  path: string;
}

export interface FetchProgress {
  file: string;
  /** Bytes of this file. */
  done: number;
  total: number;
}

export interface FetchOptions {
  signal?: AbortSignal | undefined;
  onFetch?: ((progress: FetchProgress) => void) | undefined;
}

const NAME = /^(?:hf:\/\/datasets\/)?([\w-][\w.-]*\/[\w-][\w.-]*)(?:@([\w.-]+))?(?:\/(.*?))?\/?$/;

const listingSchema = z.object({
  commit: z.string().regex(/^[0-9a-f]{40,64}$/),
  files: z.array(
    z.object({
      // Names become paths below the cache folder: none may lead out of it.
      path: z
        .string()
        .refine((path) => path.split("/").every((part) => !/^(|\.|\.\.)$/.test(part) && !/[\\\0]/.test(part)), {
          message: "is not a path within the data set",
        }),
      bytes: z.int().nonnegative(),
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .optional(),
    }),
  ),
});

/** "OWNER/NAME", "OWNER/NAME@REVISION", either with "/FOLDER" or "/FILE" behind it; null for anything else. */
export function parseHubName(text: string): HubDataSetName | null {
  const match = NAME.exec(text);
  if (match === null) return null;
  return { repo: match[1] as string, revision: match[2] ?? "main", path: match[3] ?? "" };
}

/**
 * The files below `name.path` that `wanted` takes, in the cache, in order of their names; fetched where they are not
 * there yet.
 *
 * @throws DownloadError where the hub does not have them, or is out of reach
 * @throws CancelledError
 * @throws FileError where the cache cannot be written
 */
export async function fetchHubDataSet(
  name: HubDataSetName,
  wanted: (path: string) => boolean,
  options: FetchOptions = {},
): Promise<string[]> {
  const { signal = new AbortController().signal, onFetch = () => {} } = options;
  const folder = join(cacheFolder(), "datasets", name.repo);
  try {
    const { commit, files } = await listFiles(name, folder, signal);
    const chosen = files
      .filter(({ path }) => (path === name.path || path.startsWith(name.path && `${name.path}/`)) && wanted(path))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
    const paths: string[] = [];
    for (const { path, bytes, sha256 } of chosen) {
      const place = join(folder, commit, path);
      paths.push(place);
      // A file is there only when it was whole.
      if ((await stat(place).catch(() => null))?.size === bytes) continue;
      const source = openHubFile(
        { hub: { repo: `datasets/${name.repo}`, revision: commit, path }, bytes },
        { signal, folder: dirname(place), onProgress: ({ done }) => onFetch({ file: path, done, total: bytes }) },
      );
      await saveStream(source, { file: path, bytes, sha256 }, place);
    }
    return paths;
  } catch (error) {
    if (signal.aborted) throw new CancelledError(`fetching ${name.repo} was cancelled`, { cause: error });
    if (error instanceof ValoraError && !(error instanceof DownloadError)) throw error;
    throw new DownloadError(
      `the data set ${name.repo} could not be fetched from the Hugging Face hub: ${describeHubFailure(error)}; ` +
        "check its name and the network, or give a file or folder",
      { cause: error },
    );
  }
}

async function listFiles({ repo, revision }: HubDataSetName, folder: string, signal: AbortSignal): Promise<HubListing> {
  const place = join(folder, `${revision}.json`);
  const kept = await readFile(place, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new FileError(`${place} cannot be read (${error.code}); remove it to fetch it again`, { cause: error });
  });
  if (kept !== null) return checkListing(() => JSON.parse(kept), `${place} is damaged; remove it to fetch it again`);
  const listing = checkListing(
    await listHubDataSet(repo, revision, signal).then((value) => () => value),
    `the hub's list of the files of ${repo} is not understood`,
  );
  await writeFileAtomic(place, `${JSON.stringify(listing, null, 2)}\n`);
  return listing;
}

function checkListing(read: () => unknown, complaint: string): HubListing {
  try {
    return listingSchema.parse(read());
  } catch (error) {
    throw new DataFormatError(complaint, { cause: error });
  }
}

function describeHubFailure(error: unknown): string {
  const { statusCode } = error as { statusCode?: number };
  if (statusCode === 401 || statusCode === 403 || statusCode === 404) {
    return `it has none of this name and revision, or not for everyone (status ${statusCode})`;
  }
  return describeFailure(error);
}
