/** Reads one JSON array, item by item, so that memory does not grow with the array. */
import { JSONParser, TokenType } from "@streamparser/json";
import { DataFormatError } from "../errors.js";
import { checkUtf8, MAX_VALUE_BYTES } from "./byte-stream.js";
import { oneLine } from "./describe-issue.js";

export interface JsonArrayItem {
  value: unknown;
  /** Counted from 1. */
  item: number;
}

/** Protects memory: a stream of opening brackets would otherwise become as many nested lists. */
const MAX_DEPTH = 10_000;

/**
 * The items of the array that `chunks` hold in UTF-8, with or without a byte order mark. After a syntax error nothing
 * can be read, so such errors cannot be passed over.
 *
 * @throws DataFormatError naming `where` and the item that is not valid JSON
 */
export async function* parseJsonArray(chunks: AsyncIterable<Buffer>, where: string): AsyncGenerator<JsonArrayItem> {
  const parser = new JSONParser({ paths: ["$.*"], keepStack: false, stringBufferSize: 1 << 16 });
  let ready: unknown[] = [];
  let item = 0;
  let bytesSinceItem = 0;
  let depth = 0;
  let failure: Error | undefined;
  parser.onValue = ({ value }) => {
    ready.push(value);
  };
  parser.onToken = ({ token }) => {
    if (token === TokenType.LEFT_BRACE || token === TokenType.LEFT_BRACKET) depth += 1;
    else if (token === TokenType.RIGHT_BRACE || token === TokenType.RIGHT_BRACKET) depth -= 1;
    if (depth > MAX_DEPTH) {
      throw new DataFormatError(`${where}, item ${item + ready.length + 1}: it is nested more than ${MAX_DEPTH} deep`);
    }
  };
  parser.onError = (error) => {
    failure ??= error;
  };
  const fail = (problem: string): never => {
    throw new DataFormatError(`${where}, item ${item + 1}: ${problem}`, { cause: failure });
  };
  for await (const chunk of checkUtf8(chunks, where)) {
    if (parser.isEnded) {
      if (chunk.toString("latin1").trim() !== "") fail("there is more text after the end of the array");
      continue;
    }
    try {
      parser.write(chunk);
    } catch (error) {
      failure ??= error as Error;
    }
    for (const value of ready) {
      item += 1;
      yield { value, item };
    }
    if (failure instanceof DataFormatError) throw failure;
    if (failure !== undefined) fail(`this is not valid JSON: ${describe(failure)}`);
    bytesSinceItem = ready.length > 0 ? 0 : bytesSinceItem + chunk.length;
    ready = [];
    if (bytesSinceItem > MAX_VALUE_BYTES) fail(`it is longer than ${MAX_VALUE_BYTES / 2 ** 20} MiB`);
  }
  if (!parser.isEnded) fail("the array is cut off; fetch or write the file again");
}

/** "Unexpected "N" …" without positions, which count characters of a chunk; NaN is what Python writes. */
function describe(error: Error): string {
  const what = oneLine(error.message.split(/ (?:at chunk position|in state) /)[0] as string);
  return /"[NI]"$/.test(what) ? `${what} (JSON has no NaN and no Infinity)` : what;
}
