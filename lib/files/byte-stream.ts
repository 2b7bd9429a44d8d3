/**
 * The bytes of a file or of standard input as they come, decompressed where they are gzip (told by its first bytes, not
 * its name). Whoever stops reading early closes the file.
 */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { DataFormatError, describeFileError, FileError } from "../errors.js";

/** How messages call `path`. */
export function nameInput(path: string): string {
  return path === "-" ? "standard input" : path;
}

/** Protects memory against a value that has no end; the longest real ones (whole books) are a few MB. */
export const MAX_VALUE_BYTES = 256 * 1024 * 1024;

/** Compressed in ways that Node cannot undo, by their first bytes. */
const FOREIGN_COMPRESSION: readonly (readonly [string, string])[] = [
  ["zstd", "28b52ffd"],
  ["xz", "fd377a58"],
  ["bzip2", "425a68"],
  ["zip", "504b0304"],
];

/**
 * @param path "-" is standard input
 * @throws FileError where it cannot be read
 * @throws DataFormatError where a gzip stream is damaged, or it is compressed in another way
 */
export async function* readBytes(path: string): AsyncGenerator<Buffer> {
  const where = nameInput(path);
  const source: NodeJS.ReadableStream =
    path === "-" ? process.stdin : createReadStream(path, { highWaterMark: 1 << 18 });
  const raw = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    // A few bytes decide; a pipe may bring them one by one.
    let head: Buffer = Buffer.alloc(0);
    while (head.length < 4) {
      const { done, value } = await raw.next();
      if (done) break;
      head = Buffer.concat([head, value]);
    }
    const foreign = FOREIGN_COMPRESSION.find(([, magic]) => head.toString("hex", 0, magic.length / 2) === magic);
    if (foreign !== undefined) {
      throw new DataFormatError(`${where} is compressed with ${foreign[0]}, which is not read; decompress it first`);
    }
    if (head[0] !== 0x1f || head[1] !== 0x8b) {
      if (head.length > 0) yield head;
      for (let next = await raw.next(); !next.done; next = await raw.next()) yield next.value;
      return;
    }
    yield* gunzip(head, raw);
  } catch (error) {
    if (error instanceof DataFormatError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code?.startsWith("Z_")) {
      throw new DataFormatError(`${where}: the gzip data is damaged or cut off; fetch or write the file again`, {
        cause: error,
      });
    }
    throw new FileError(`${where} cannot be read: ${describeFileError(error)}`, { cause: error });
  } finally {
    await raw.return?.();
  }
}

async function* gunzip(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  const unzip = createGunzip({ chunkSize: 1 << 18 });
  const feed = (async () => {
    let next: IteratorResult<Buffer> = { done: false, value: head };
    for (; !next.done && !unzip.destroyed; next = await rest.next()) {
      if (!unzip.write(next.value))
        await new Promise<void>((resolve) => unzip.once("drain", resolve).once("close", resolve));
    }
    unzip.end();
  })();
  feed.catch((error: unknown) => unzip.destroy(error as Error));
  try {
    yield* unzip as AsyncIterable<Buffer>;
  } finally {
    unzip.destroy();
  }
}

export interface PeekedBytes {
  /** The first bytes, at least as many as were asked for unless the stream ends before. */
  head: Buffer;
  /** The whole stream, the head included. */
  chunks: AsyncGenerator<Buffer>;
}

/** Looks at the beginning of a stream and leaves it whole. */
export async function peekBytes(chunks: AsyncGenerator<Buffer>, bytes: number): Promise<PeekedBytes> {
  const taken: Buffer[] = [];
  let length = 0;
  while (length < bytes) {
    const { done, value } = await chunks.next();
    if (done) break;
    taken.push(value);
    length += value.length;
  }
  const head = Buffer.concat(taken);
  async function* whole(): AsyncGenerator<Buffer> {
    try {
      if (head.length > 0) yield head;
      yield* chunks;
    } finally {
      await chunks.return(undefined);
    }
  }
  return { head, chunks: whole() };
}

/**
 * The same chunks, each checked to be UTF-8; a byte order mark at the start is left out.
 *
 * @throws DataFormatError naming the line of the first bytes that are not
 */
export async function* checkUtf8(chunks: AsyncIterable<Buffer>, where: string): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  let first = true;
  const decode = (chunk?: Buffer): void => {
    try {
      decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (error) {
      throw new DataFormatError(
        `${where}: the text is not valid UTF-8 at or after line ${line}; convert the file to UTF-8`,
        { cause: error },
      );
    }
  };
  for await (const chunk of chunks) {
    decode(chunk);
    yield first ? withoutByteOrderMark(chunk) : chunk;
    first = false;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) line += 1;
  }
  decode();
}

export function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}
