/**
 * Files that appear only when they are complete: written beside their place under a temporary name, flushed to the
 * disk, then renamed. A reader sees the old file or the new one, never a half.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { describeFileError, FileError } from "../errors.js";

export interface AtomicWriter {
  /** Appends. */
  write(data: string | Uint8Array): Promise<void>;
  /** Makes the file appear. */
  commit(): Promise<void>;
  /** Leaves nothing behind; safe after a failure and after `commit`. */
  abort(): Promise<void>;
}

/** Small writes are gathered up to this many bytes: one system call a line is what would cost. */
const BUFFER_BYTES = 1 << 16;

/** A name beside `path` that no other process uses. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
}

/**
 * Starts a file; its folder is made where it is missing.
 *
 * @throws FileError from every method
 */
export async function createAtomicWriter(path: string): Promise<AtomicWriter> {
  const draft = temporaryName(path);
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw new FileError(`${path} cannot be written: ${describeFileError(error)}`, { cause: error });
    }
  };
  let file: FileHandle | null = await guard(async () => {
    await mkdir(dirname(path), { recursive: true });
    return open(draft, "wx");
  });
  let buffered: Uint8Array[] = [];
  let bufferedBytes = 0;
  const requireOpen = (): FileHandle => {
    if (file === null)
      throw new FileError(`${path} has been committed or given up, so nothing more can be written to it`);
    return file;
  };
  const flush = async (): Promise<void> => {
    const data = Buffer.concat(buffered);
    buffered = [];
    bufferedBytes = 0;
    for (let done = 0; done < data.length; ) done += (await requireOpen().write(data, done)).bytesWritten;
  };
  return {
    async write(data) {
      requireOpen();
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      if (bytes.length >= BUFFER_BYTES) {
        // Written before the call returns: the caller may use its buffer again.
        buffered.push(bytes);
        await guard(flush);
        return;
      }
      buffered.push(Uint8Array.from(bytes));
      bufferedBytes += bytes.length;
      if (bufferedBytes >= BUFFER_BYTES) await guard(flush);
    },
    async commit() {
      await guard(async () => {
        await flush();
        await requireOpen().sync();
        await requireOpen().close();
        file = null;
        await rename(draft, path);
        await syncFolder(dirname(path));
      });
    },
    async abort() {
      const handle = file;
      file = null;
      await handle?.close().catch(() => {});
      await rm(draft, { force: true }).catch(() => {});
    },
  };
}

/** Writes a whole file at once. @throws FileError */
export async function writeFileAtomic(path: string, data: string | Uint8Array): Promise<void> {
  const writer = await createAtomicWriter(path);
  try {
    await writer.write(data);
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Makes a rename last through a power cut, where the system can. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r").catch(() => null);
  await folder?.sync().catch(() => {}); // Windows and some network disks refuse
  await folder?.close();
}
