/**
 * Manifests: beside every artefact, what made it (command, options, seed, versions, device, hashes). An artefact whose
 * manifest says the same as what is about to be done needs not be made again.
 */
import { z } from "zod";
import { DataFormatError } from "../errors.js";
import { writeFileAtomic } from "./atomic.js";
import { describeIssue } from "./describe-issue.js";
import { readOptionalText } from "./optional-text.js";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const manifestSchema = z.looseObject({
  command: z.string(),
  options: z.record(z.string(), z.unknown()),
  seed: z.number().optional(),
  /** Of valora, node, and whatever else has a say in the result. */
  versions: z.record(z.string(), z.string()),
  device: z.record(z.string(), z.unknown()).optional(),
  /** SHA-256 by what was hashed: "model", "data", "adapter", or a path. */
  sha256: z.record(z.string(), sha256),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** @throws FileError */
export async function writeManifest(path: string, manifest: Manifest): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * Null where there is no such file.
 *
 * @throws FileError where it cannot be read
 * @throws DataFormatError naming the field where it is not a manifest
 */
export async function readManifest(path: string): Promise<Manifest | null> {
  const text = await readOptionalText(path);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DataFormatError(`${path} is not valid JSON; remove it to make the artefact again`, { cause: error });
  }
  const parsed = manifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new DataFormatError(
    `${path} is no manifest: ${describeIssue(parsed.error)}; remove it to make the artefact again`,
  );
}
