/** What the readers of question files share. */
import { DataFormatError } from "../../../errors.js";
import { type FoundData, SOURCES, type SourceName } from "../../sources.js";
import type { LoadOptions } from "../../task.js";

interface FieldTypes {
  string: string;
  number: number;
  strings: string[];
}

/** @throws DataFormatError naming the place and the field */
export function field<K extends keyof FieldTypes>(
  value: Record<string, unknown>,
  name: string,
  type: K,
  where: string,
): FieldTypes[K] {
  const found = value[name];
  if (type === "strings" ? isTexts(found) : typeof found === type) return found as FieldTypes[K];
  const expected = { string: "a text", number: "a number", strings: "a list of texts" }[type];
  throw new DataFormatError(`${where}: ${name}: ${found === undefined ? "it is missing" : `it has to be ${expected}`}`);
}

export function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === "string");
}

/** The first `limit`, all without one; the rest is not read. */
export async function* takeFirst<T>(items: AsyncIterable<T>, limit: number | undefined): AsyncGenerator<T> {
  let left = limit ?? Number.POSITIVE_INFINITY;
  if (left <= 0) return;
  for await (const item of items) {
    yield item;
    if (--left <= 0) return;
  }
}

/** Says that the sample that ships stands in for the whole. */
export function noteSample(source: SourceName, { origin }: FoundData, { onNote }: LoadOptions): void {
  if (origin !== "sample") return;
  const { title, url } = SOURCES[source];
  onNote?.(`${title}: the small sample that ships; give --data DIR for the whole set (${url})`);
}
