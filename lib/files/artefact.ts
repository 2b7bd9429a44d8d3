/**
 * A result file with `FILE.manifest.json` beside it. Both appear when the work is complete; a file whose manifest says
 * that the same was done already needs not be made again.
 */
import { createAtomicWriter } from "./atomic.js";
import { sha256File } from "./hash.js";
import { type Manifest, readManifest, writeManifest } from "./manifest.js";

/** Whether `path` was made as `planned` says, and still holds what was written then. */
export async function isUpToDate(path: string, planned: Manifest): Promise<boolean> {
  // Missing or damaged, manifest or file: made again.
  const saved = await readManifest(manifestPath(path)).catch(() => null);
  if (saved === null) return false;
  const { output, ...made } = saved.sha256;
  if (essence({ ...saved, sha256: made }) !== essence(planned)) return false;
  return (await sha256File(path).catch(() => "")) === output;
}

/**
 * Writes `path` through `make`, then its manifest (none where that is null). Where `make` fails, nothing is left behind.
 *
 * @throws FileError, and whatever `make` throws
 */
export async function writeArtefact(
  path: string,
  manifest: Manifest | null,
  make: (write: (text: string) => Promise<void>) => Promise<void>,
): Promise<void> {
  const writer = await createAtomicWriter(path);
  try {
    await make((text) => writer.write(text));
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  if (manifest === null) return;
  const sha256 = { ...manifest.sha256, output: await sha256File(path) };
  await writeManifest(manifestPath(path), { ...manifest, sha256 });
}

export function manifestPath(path: string): string {
  return `${path}.manifest.json`;
}

/** What decides the content, as a text to compare: threads and memory limit do not, nor does the version of Node. */
export function essence({ command, options, seed, versions, device, sha256 }: Manifest): string {
  return JSON.stringify([command, options, seed, versions.valora, device?.kind, sha256]);
}
