/** The key of a table of annotations: JSON Lines, an item a line. */
import { z } from "zod";
import { parseRecord } from "../../engine/requests.js";
import { DataFormatError } from "../../errors.js";
import { readJsonLines } from "../../files/json-lines.js";
import type { KeyEntry } from "./items.js";

const entrySchema = z.object({
  item: z.string(),
  target: z.string(),
  labels: z.array(z.string()).min(2),
  pair: z.string(),
  side: z.enum(["chosen", "rejected"]),
  source: z.string(),
  extractor: z.string(),
});

export function keyText(key: readonly KeyEntry[]): string {
  return key.map((entry) => `${JSON.stringify(entry)}\n`).join("");
}

/** @throws FileError, or DataFormatError naming file, line and field */
export async function readKey(path: string): Promise<Map<string, KeyEntry>> {
  const key = new Map<string, KeyEntry>();
  for await (const { value, line } of readJsonLines(path)) {
    const entry = parseRecord(entrySchema, value, `${path}, line ${line}`);
    if (!entry.labels.includes(entry.target))
      throw new DataFormatError(`${path}, line ${line}: target "${entry.target}" is none of the labels; export again`);
    key.set(entry.item, entry);
  }
  if (key.size === 0) throw new DataFormatError(`${path} is empty; give the key that --export-csv wrote`);
  return key;
}
