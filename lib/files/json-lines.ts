/**
 * Reads JSON Lines, one value at a time: from a file, a gzip file (told by its first bytes, not its name) or standard
 * input. Only "\n" ends a line: the text may hold U+2028, U+0085 and the like raw, and they must stay what they are.
 */
import { isUtf8 } from "node:buffer";
import { DataFormatError } from "../errors.js";
import { MAX_VALUE_BYTES, nameInput, readBytes, withoutByteOrderMark } from "./byte-stream.js";
import { oneLine } from "./describe-issue.js";

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
export function readJsonLines(path: string, options: ReadJsonLinesOptions = {}): AsyncGenerator<JsonLine> {
  return parseJsonLines(readBytes(path), nameInput(path), options);
}

/** The same from bytes that `where` names in messages. */
export async function* parseJsonLines(
  chunks: AsyncIterable<Buffer>,
  where: string,
  options: ReadJsonLinesOptions = {},
): AsyncGenerator<JsonLine> {
  const { onError = "fail", onSkip } = options;
  let line = 0;
  for await (const bytes of splitLines(chunks, where)) {
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
async function* splitLines(chunks: AsyncIterable<Buffer>, where: string): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let line = 1;
  for await (const chunk of chunks) {
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
    if (pendingBytes > MAX_VALUE_BYTES) {
      throw new DataFormatError(
        `${where}, line ${line}: the line is longer than ${MAX_VALUE_BYTES / 2 ** 20} MiB; is this JSON Lines?`,
      );
    }
  }
  if (pendingBytes > 0) yield Buffer.concat(pending);
}
