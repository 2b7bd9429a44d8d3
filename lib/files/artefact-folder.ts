/**
 * A folder of result files with `manifest.json` among them: it appears whole, or is replaced whole. One whose manifest
 * says that the same was done already, and whose files are as they were, needs not be made again.
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { describeFileError, FileError, UsageError } from "../errors.js";
import { essence } from "./artefact.js";
import { syncFolder, temporaryName } from "./atomic.js";
import { sha256File } from "./hash.js";
import { type Manifest, readManifest, writeManifest } from "./manifest.js";

const MANIFEST = "manifest.json";
/** In a manifest's hashes, in front of the name of a file of the folder; what went in has no such word. */
const OUTPUT = "output ";

/** Whether the folder was made as `planned` says, and every file is what was written then. */
export async function isFolderUpToDate(path: string, planned: Manifest): Promise<boolean> {
  const saved = await readManifest(join(path, MANIFEST)).catch(() => null);
  if (saved === null || essence({ ...saved, sha256: inputsOf(saved) }) !== essence(planned)) return false;
  return holdsItsFiles(path, saved);
}

/** The manifest of a folder in which every file is what was written; null where one is not, or there is no manifest. */
export async function readWholeFolder(path: string): Promise<Manifest | null> {
  const saved = await readManifest(join(path, MANIFEST)).catch(() => null);
  return saved !== null && (await holdsItsFiles(path, saved)) ? saved : null;
}

async function holdsItsFiles(path: string, saved: Manifest): Promise<boolean> {
  for (const [name, hash] of outputsOf(saved))
    if ((await sha256File(join(path, name)).catch(() => "")) !== hash) return false;
  return true;
}

/** Writes the manifest of a folder that was filled bit by bit: with the hash of each of `files`, paths within it. */
export async function finishFolder(path: string, manifest: Manifest, files: readonly string[]): Promise<void> {
  const sha256 = { ...manifest.sha256 };
  for (const name of [...files].sort()) sha256[OUTPUT + name] = await sha256File(join(path, name));
  await writeManifest(join(path, MANIFEST), { ...manifest, sha256 });
}

/**
 * Makes sure that the folder may be written: it is not there, is empty, or holds only what the same command made.
 *
 * @throws UsageError naming what else it holds
 * @throws FileError
 */
export async function checkFolder(path: string, command: string): Promise<void> {
  const names = await list(path);
  if (names.length === 0) return;
  const saved = await readManifest(join(path, MANIFEST)).catch(() => null);
  const own = new Set(saved?.command === command ? [MANIFEST, ...outputsOf(saved).map(([name]) => name)] : []);
  const stranger = names.find((name) => !own.has(name));
  if (stranger !== undefined)
    throw new UsageError(`output ${path}: it holds ${stranger}, which is not of this command; choose another folder`);
}

/**
 * Calls `make` with the path of a draft, adds the manifest with the hash of every file, and puts the draft in the place of
 * `path`. Where `make` fails, `path` is as it was and nothing else is left behind.
 *
 * @throws UsageError where `path` holds other work
 * @throws FileError, and whatever `make` throws
 */
export async function writeFolder(
  path: string,
  manifest: Manifest,
  make: (draft: string) => Promise<void>,
): Promise<void> {
  const place = resolve(path);
  const draft = temporaryName(place);
  try {
    await guard(path, () => mkdir(draft, { recursive: true }));
    await make(draft);
    await finishFolder(draft, manifest, await list(draft));
    await checkFolder(path, manifest.command);
    await guard(path, () => replace(place, draft));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Folders cannot be renamed over one another: the old one steps aside first. */
async function replace(place: string, draft: string): Promise<void> {
  const old = temporaryName(place);
  const existed = await rename(place, old).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
  try {
    await rename(draft, place);
  } catch (error) {
    if (existed) await rename(old, place);
    throw error;
  }
  await syncFolder(dirname(place));
  if (existed) await rm(old, { recursive: true, force: true });
}

async function list(path: string): Promise<string[]> {
  return guard(path, () =>
    readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    }),
  );
}

async function guard<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new FileError(`output ${path} cannot be written: ${describeFileError(error)}`, { cause: error });
  }
}

function outputsOf({ sha256 }: Manifest): [name: string, hash: string][] {
  return Object.entries(sha256)
    .filter(([key]) => key.startsWith(OUTPUT))
    .map(([key, hash]) => [key.slice(OUTPUT.length), hash]);
}

function inputsOf({ sha256 }: Manifest): Manifest["sha256"] {
  return Object.fromEntries(Object.entries(sha256).filter(([key]) => !key.startsWith(OUTPUT)));
}
