/**
 * Rows of bytes, appended one at a time: the signatures of millions of texts. The first of them are in memory, what goes
 * past the limit in a temporary file, so that memory does not grow with their number.
 */
import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeFileError, FileError } from "../errors.js";
import { temporaryName } from "../files/atomic.js";

const CHUNK_BYTES = 1 << 20;
/** Half a million signatures of 128 bytes. */
const MEMORY_BYTES = 1 << 26;

/** Rows as a reader sees them. */
export interface Rows {
  readonly length: number;
  /** Row `index`: a view that is valid until the next call with this `buffer`, which may hold it. */
  row(index: number, buffer: Uint8Array): Uint8Array;
  /** All rows in order, some thousand at a time; a block is valid until the next one. */
  blocks(): Iterable<Uint8Array>;
}

/** Rows that lie one behind the other in memory. */
export function rowsIn(bytes: Uint8Array, width: number): Rows {
  return {
    length: bytes.length / width,
    row: (index) => bytes.subarray(index * width, (index + 1) * width),
    blocks: () => [bytes],
  };
}

export interface ByteRowsOptions {
  /** Rows past it go to a file. */
  memoryBytes?: number;
  /** What is written and read at once. */
  chunkBytes?: number;
  /** Of the file; the system's for temporary files. */
  folder?: string;
}

export class ByteRows implements Rows {
  length = 0;
  private readonly chunkRows: number;
  private readonly chunksInMemory: number;
  private readonly folder: string;
  private readonly chunks: Uint8Array[] = [];
  /** The chunk that is being filled. */
  private last: Uint8Array;
  private file: { descriptor: number; path: string } | null = null;

  constructor(
    readonly width: number,
    { memoryBytes = MEMORY_BYTES, chunkBytes = CHUNK_BYTES, folder = tmpdir() }: ByteRowsOptions = {},
  ) {
    this.chunkRows = Math.max(1, Math.floor(Math.min(chunkBytes, memoryBytes) / width));
    this.chunksInMemory = Math.max(0, Math.floor(memoryBytes / (this.chunkRows * width)) - 1);
    this.folder = folder;
    this.last = new Uint8Array(this.chunkRows * width);
  }

  /** @throws FileError where the temporary file cannot be written */
  push(row: Uint8Array): void {
    const place = this.length % this.chunkRows;
    this.last.set(row, place * this.width);
    this.length++;
    if (place + 1 < this.chunkRows) return;
    if (this.chunks.length < this.chunksInMemory) {
      this.chunks.push(this.last);
      this.last = new Uint8Array(this.chunkRows * this.width);
    } else {
      this.append(this.last);
    }
  }

  row(index: number, buffer: Uint8Array): Uint8Array {
    const chunk = Math.floor(index / this.chunkRows);
    const begin = (index % this.chunkRows) * this.width;
    const whole = this.chunks[chunk] ?? (chunk === this.fullChunks() ? this.last : undefined);
    if (whole !== undefined) return whole.subarray(begin, begin + this.width);
    this.read(buffer, (chunk - this.chunks.length) * this.chunkRows * this.width + begin);
    return buffer;
  }

  *blocks(): Generator<Uint8Array> {
    yield* this.chunks;
    const spilled = this.fullChunks() - this.chunks.length;
    const buffer = new Uint8Array(spilled === 0 ? 0 : this.chunkRows * this.width);
    for (let chunk = 0; chunk < spilled; chunk++) {
      this.read(buffer, chunk * buffer.length);
      yield buffer;
    }
    const rest = this.length % this.chunkRows;
    if (rest > 0) yield this.last.subarray(0, rest * this.width);
  }

  /** Removes the file. Safe to call twice; nothing can be read afterwards. */
  close(): void {
    if (this.file === null) return;
    closeSync(this.file.descriptor);
    rmSync(this.file.path, { force: true });
    this.file = null;
  }

  private fullChunks(): number {
    return Math.floor(this.length / this.chunkRows);
  }

  private append(chunk: Uint8Array): void {
    try {
      if (this.file === null) {
        const path = temporaryName(join(this.folder, "valora-signatures"));
        this.file = { descriptor: openSync(path, "wx+", 0o600), path };
        // Without a name it goes with the process, however that ends; systems that refuse remove it in close().
        try {
          rmSync(path);
        } catch {}
      }
      for (let done = 0; done < chunk.length; ) done += writeSync(this.file.descriptor, chunk, done);
    } catch (error) {
      throw new FileError(
        `the temporary folder ${this.folder} cannot be written: ${describeFileError(error)}; free space there, set TMPDIR, or curate with --near-duplicates off`,
        { cause: error },
      );
    }
  }

  private read(buffer: Uint8Array, position: number): void {
    try {
      for (let done = 0; done < buffer.length; ) {
        const bytes = readSync(this.file!.descriptor, buffer, done, buffer.length - done, position + done);
        if (bytes === 0) throw new Error("it has become shorter");
        done += bytes;
      }
    } catch (error) {
      throw new FileError(`a temporary file in ${this.folder} cannot be read: ${describeFileError(error)}`, {
        cause: error,
      });
    }
  }
}
