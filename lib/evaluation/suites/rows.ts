/** What the suites of behaviour share: rows of their data sets, names of clusters, prompts of one message. */
import { createHash } from "node:crypto";
import { type DataRecord, readRecords } from "../../data/records.js";
import type { Message } from "../../models/chat-template.js";
import type { DataSources, SourceName, Wanted } from "../sources.js";
import type { LoadOptions } from "../task.js";
import { noteSample, takeFirst } from "./qa/records.js";

/** The data set's rows up to the limit; those that `keep` refuses do not count. */
export async function* rowsOf(
  data: DataSources,
  source: SourceName,
  wanted: Wanted,
  options: LoadOptions,
  keep: (row: DataRecord) => boolean = () => true,
): AsyncGenerator<DataRecord> {
  const found = await data.find(source, wanted);
  noteSample(source, found, options);
  yield* takeFirst(filter(readRecords(found.path, { signal: options.signal }), keep), options.limit);
}

async function* filter<T>(items: AsyncIterable<T>, keep: (item: T) => boolean): AsyncGenerator<T> {
  for await (const item of items) if (keep(item)) yield item;
}

/** Questions about one text are one cluster, also across tasks: the first 64 bits of its SHA-256. */
export function clusterOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

export function userMessage(content: string): Message[] {
  return [{ role: "user", content }];
}
