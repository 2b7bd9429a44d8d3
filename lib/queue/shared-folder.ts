/**
 * The folder that all machines see. What a description of work names has to lie in it, after every link has been
 * followed: whoever can write to the queue can make a worker work, and can make it touch nothing else.
 */
import { lstat, realpath } from "node:fs/promises";
import { isAbsolute, join, relative, resolve, sep } from "node:path";
import { describeFileError, FileError, UsageError } from "../errors.js";

/** A path within the shared folder, as other machines can use it. @throws UsageError where it lies outside */
export async function insideOf(root: string, path: string): Promise<string> {
  const [realRoot, real] = await Promise.all([follow(root), follow(path)]);
  const inside = relative(realRoot, real);
  if (!isWithin(realRoot, real) || inside === "")
    throw new UsageError(
      `${path} does not lie in the shared folder ${root}: name with --shared a folder that every machine sees and that holds it`,
    );
  return inside.split(sep).join("/");
}

/** The absolute path of a study's folder. @throws UsageError where the name, or a link in it, leads out of the shared folder */
export async function studyFolder(root: string, folder: string): Promise<string> {
  const realRoot = await follow(root);
  if (isAbsolute(folder) || folder.includes("\0") || folder.split(/[\\/]/).includes(".."))
    throw new UsageError(`the study's folder ${JSON.stringify(folder)} is no path within the shared folder`);
  const real = await follow(join(realRoot, folder));
  if (!isWithin(realRoot, real))
    throw new UsageError(`the study's folder ${JSON.stringify(folder)} leads out of the shared folder`);
  await requireOwnFolders(real);
  return real;
}

/** Folders that work is written to. */
const WRITTEN = ["adapters", "jobs", "parts", "working", "failures", "data"];

/** A link among them would carry what is written elsewhere. */
async function requireOwnFolders(study: string): Promise<void> {
  for (const name of WRITTEN) {
    const found = await lstat(join(study, name)).catch(() => null);
    if (found !== null && !found.isDirectory())
      throw new UsageError(`${name} in the study's folder is no folder of its own`);
  }
}

/** The absolute path of one of a study's files. @throws UsageError where it leads out of the study's folder */
export async function studyFile(study: string, path: string): Promise<string> {
  const real = await follow(resolve(study, path));
  if (isAbsolute(path) || !isWithin(await follow(study), real))
    throw new UsageError(`${JSON.stringify(path)} leads out of the study's folder`);
  return real;
}

/** Makes sure that a file which is only read lies in one of the folders that this worker was given. */
export async function requireReadable(path: string, folders: readonly string[]): Promise<void> {
  const real = await follow(path);
  const roots = await Promise.all(folders.map((folder) => follow(folder).catch(() => null)));
  if (!roots.some((root) => root !== null && isWithin(root, real)))
    throw new UsageError(`${path} lies in no folder that this worker may read: put it into the shared folder`);
}

async function follow(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}

function isWithin(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
