/** SHA-256, as 64 hexadecimal digits: of values, and of files, remembered as long as path, size and time of change are the same. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { CancelledError, describeFileError, FileError } from "../errors.js";

/** Enough for every model, adapter and data file of a study's process. */
const MAX_REMEMBERED = 1024;
const remembered = new Map<string, string>();

/** Of a value as JSON. */
export function sha256Json(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}

/** Null for what is no regular file - a pipe, a folder, a data set of the hub: what was made from it is made again. */
export async function sha256IfFile(path: string): Promise<string | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true ? sha256File(path) : null;
}

export interface Sha256FileOptions {
  signal?: AbortSignal;
  /** Bytes read so far. */
  onProgress?: (bytes: number) => void;
}

/**
 * 64 hexadecimal digits.
 *
 * @throws FileError where the file cannot be read
 * @throws CancelledError
 */
export async function sha256File(path: string, options: Sha256FileOptions = {}): Promise<string> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    const key = `${resolve(path)}\n${ino}\n${size}\n${mtimeNs}`;
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const hash = createHash("sha256");
    let done = 0;
    const stream = createReadStream(path, {
      highWaterMark: 1 << 20,
      ...(options.signal && { signal: options.signal }),
    });
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      hash.update(chunk);
      done += chunk.length;
      options.onProgress?.(done);
    }
    const digest = hash.digest("hex");
    if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value as string);
    remembered.set(key, digest);
    return digest;
  } catch (error) {
    if (options.signal?.aborted) throw new CancelledError(`hashing ${path} was cancelled`, { cause: error });
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}
