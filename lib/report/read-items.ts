/** Lines of items.jsonl, checked: the fields that a report needs, each of its kind. */
import { DataFormatError } from "../errors.js";
import { readJsonLines } from "../files/json-lines.js";

/** The contract's evaluation item; fields that do not apply are left out. */
export interface ReportItem {
  model: string;
  adapter: string;
  value?: string;
  arm?: string;
  seed?: number;
  step?: number;
  suite: string;
  task: string;
  metric: string;
  item: string;
  cluster: string;
  sample?: number;
  grader?: string;
  y: number;
}

const TEXTS = ["model", "adapter", "suite", "task", "metric", "item"] as const;
const MAYBE_TEXTS = ["value", "arm", "grader", "cluster"] as const;
const MAYBE_NUMBERS = ["seed", "step", "sample"] as const;

/**
 * @throws FileError where the file cannot be read
 * @throws DataFormatError naming file, line and field
 */
export async function* readItems(path: string): AsyncGenerator<ReportItem> {
  for await (const { value, line } of readJsonLines(path)) yield checkItem(value, `${path}, line ${line}`);
}

function checkItem(value: unknown, where: string): ReportItem {
  if (typeof value !== "object" || value === null)
    throw new DataFormatError(`${where}: an item has to be an object with model, adapter, suite, task, metric, item, y`);
  const item = value as Record<string, unknown>;
  for (const field of TEXTS)
    if (typeof item[field] !== "string") throw new DataFormatError(`${where}: ${field} has to be a text`);
  for (const field of MAYBE_TEXTS)
    if (item[field] !== undefined && typeof item[field] !== "string")
      throw new DataFormatError(`${where}: ${field} has to be a text where it is given`);
  for (const field of MAYBE_NUMBERS)
    if (item[field] !== undefined && typeof item[field] !== "number")
      throw new DataFormatError(`${where}: ${field} has to be a number where it is given`);
  if (typeof item.y !== "number" || !Number.isFinite(item.y))
    throw new DataFormatError(`${where}: y has to be a finite number`);
  // An item without a cluster stands alone.
  if (item.cluster === undefined) item.cluster = item.item;
  return item as unknown as ReportItem;
}
