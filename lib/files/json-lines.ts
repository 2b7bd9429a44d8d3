/**
 * Reads JSON Lines, one value at a time: from a file, a gzip file (told by its first bytes, not its name) or standard
 * input. Only "\n" ends a line: the text may hold U+2028, U+0085 and the like raw, and they must stay what they are.
 */
import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { DataFormatError, describeFileError, FileError } from "../errors.js";
import { oneLine } from "./describe-issue.js";

/** Protects memory against a file that is no JSON Lines at all; the longest real lines (whole books) are a few MB. */
const MAX_LINE_BYTES = 256 * 1024 * 1024;

export interface ReadJsonLinesOptions {
  /** What a line does that is not valid JSON in valid UTF-8; default "fail". A damaged gzip stream always fails. */
  onError?: "fail" | "skip";
  /** Told why a line was left out. */
  onSkip?: (message: string) => void;
}

export interface JsonLine {
  value: unknown;
  /** Counted from 1. */
  line: number;
}

/**
 * The values of `path` ("-" is standard input). Empty lines are passed over; a byte order mark at the start is too.
 *
 * @throws FileError where it cannot be read
 * @throws DataFormatError naming file and line
 */
export async function* readJsonLines(path: string, options: ReadJsonLinesOptions = {}): AsyncGenerator<JsonLine> {
  const { onError = "fail", onSkip } = options;
  const where = path === "-" ? "standard input" : path;
  let line = 0;
  for await (const bytes of readLines(path, where)) {
    line += 1;
    const parsed = parseLine(line === 1 ? withoutByteOrderMark(bytes) : bytes);
    if (parsed === null) continue;
    if ("value" in parsed) {
      yield { value: parsed.value, line };
      continue;
    }
    const message = `${where}, line ${line}: ${parsed.problem}`;
    if (onError === "fail") throw new DataFormatError(message);
    onSkip?.(message);
  }
}

function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

function parseLine(bytes: Buffer): { value: unknown } | { problem: string } | null {
  if (!isUtf8(bytes)) return { problem: "the text is not valid UTF-8; convert the file to UTF-8" };
  const text = bytes.toString("utf8");
  if (text.trim() === "") return null;
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { problem: `this is not valid JSON: ${excerpt(text)}` };
  }
}

/** The start of a line, on one line. */
function excerpt(text: string): string {
  const start = oneLine(text.slice(0, 60));
  return text.length > 60 ? `${start}…` : start;
}

/** The bytes of each line, without its "\n". */
async function* readLines(path: string, where: string): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let line = 1;
  for await (const chunk of readBytes(path, where)) {
    let begin = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, begin)) {
      const rest = chunk.subarray(begin, end);
      yield pending.length === 0 ? rest : Buffer.concat([...pending, rest]);
      pending = [];
      pendingBytes = 0;
      line += 1;
      begin = end + 1;
    }
    if (begin < chunk.length) {
      pending.push(chunk.subarray(begin));
      pendingBytes += chunk.length - begin;
    }
    if (pendingBytes > MAX_LINE_BYTES) {
      throw new DataFormatError(
        `${where}, line ${line}: the line is longer than ${MAX_LINE_BYTES / 2 ** 20} MiB; is this JSON Lines?`,
      );
    }
  }
  if (pendingBytes > 0) yield Buffer.concat(pending);
}

/** The bytes of `path`, decompressed where they are gzip. */
async function* readBytes(path: string, where: string): AsyncGenerator<Buffer> {
  const source: NodeJS.ReadableStream =
    path === "-" ? process.stdin : createReadStream(path, { highWaterMark: 1 << 18 });
  const raw = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    // Two bytes decide; a pipe may bring them one by one.
    let head: Buffer = Buffer.alloc(0);
    while (head.length < 2) {
      const { done, value } = await raw.next();
      if (done) break;
      head = Buffer.concat([head, value]);
    }
    if (head[0] !== 0x1f || head[1] !== 0x8b) {
      if (head.length > 0) yield head;
      for (let next = await raw.next(); !next.done; next = await raw.next()) yield next.value;
      return;
    }
    yield* gunzip(head, raw);
  } catch (error) {
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
