/** Texts with human labels: what an extractor is held against. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { type DataRecord, type ReadRecordsOptions, readRecords } from "../data/records.js";
import { parseRecord, prepareOrSkip, promptSchema } from "../engine/requests.js";
import { DataFormatError } from "../errors.js";
import type { Exchange } from "../values/extractor.js";
import { namesOf, readLabel } from "../values/file-labels.js";
import type { Value } from "../values/taxonomy.js";
import { ROW_LAYOUTS, type RowLayout, type RowLayoutName } from "./row-layouts.js";
import { readValueEval } from "./value-eval.js";

export interface LabelledText {
  id: string;
  prompt: Exchange["prompt"];
  response: string;
  /** By value, whether people say that it is expressed. A value that is absent was not labelled here. */
  labels: ReadonlyMap<string, boolean>;
  /** Texts of one cluster (a topic, a prompt) are not independent; null where each stands alone. */
  cluster: string | null;
}

export interface LabelledSet {
  layout: "valueeval23" | "labelled" | RowLayoutName;
  items: LabelledText[];
  /** What a reader of the figures should know of the labels. */
  notes: string[];
}

export type ReadLabelledOptions = Pick<ReadRecordsOptions, "onError" | "onSkip" | "signal">;

/** From this share of the annotators on the label counts as given. */
const MAJORITY = 0.5;

const labelSchema = z.union([z.number(), z.boolean(), z.string()]);
const rowSchema = z
  .looseObject({
    id: z.union([z.string(), z.number()]).transform(String),
    response: z.string().optional(),
    text: z.string().optional(),
    prompt: promptSchema.optional(),
    cluster: z.string().optional(),
    labels: z.union([z.array(z.string()), z.string(), z.record(z.string(), labelSchema)]).optional(),
  })
  .refine((row) => (row.response === undefined) !== (row.text === undefined), {
    message: "needs response or text, one of them",
  });
type Row = z.infer<typeof rowSchema>;

/**
 * A folder of ValueEval'23 (value-eval.ts) or of persona statements, a file of a published set (row-layouts.ts), or a
 * table of labelled texts; docs/values.md has the forms. The set is held in memory: what people label is small.
 *
 * @throws FileError, or DataFormatError naming file, line and field
 */
export async function readLabelled(
  path: string,
  values: readonly Value[],
  options: ReadLabelledOptions = {},
): Promise<LabelledSet> {
  if ((await stat(path).catch(() => null))?.isDirectory()) {
    const traits = await personaFiles(path);
    return traits.length === 0 ? readValueEval(path, values, options) : readTraits(traits, values, options);
  }
  let layout: RowLayout | null | undefined;
  const items: LabelledText[] = [];
  /** Of items whose labels are a list, which says no to the values that somebody lists elsewhere. */
  const lists = new Map<LabelledText, ReadonlySet<string>>();
  const seen = new Set<string>();
  for await (const record of readRecords(path, options)) {
    layout ??= ROW_LAYOUTS.find((known) => known.recognises(record.value)) ?? null;
    if (layout !== null) {
      const { read } = layout;
      items.push(...(prepareOrSkip(options, () => read(record, path)) ?? []));
      continue;
    }
    const read = prepareOrSkip(options, () => readRow(record, values, seen));
    if (read === null) continue;
    items.push(read.item);
    if (read.list !== null) lists.set(read.item, read.list);
  }
  if (layout != null) return { layout: layout.name, items, notes: [layout.note] };
  const listed = new Set([...lists.values()].flatMap((names) => [...names]));
  const annotated = values.map(({ name }) => name).filter((name) => listed.has(name));
  return {
    layout: "labelled",
    items: items.map((item) => {
      const names = lists.get(item);
      return names === undefined
        ? item
        : { ...item, labels: new Map(annotated.map((name) => [name, names.has(name)])) };
    }),
    notes:
      lists.size === 0
        ? []
        : [`${lists.size} of ${items.length} texts have a list of labels: it says no to every value listed elsewhere`],
  };
}

/** Files of a folder that holds persona statements: a trait each; none where it holds something else. */
async function personaFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => /\.jsonl(\.gz)?$/.test(name)).sort();
  const [first] = names;
  if (first === undefined) return [];
  for await (const { value } of readRecords(join(folder, first), { onError: "skip" })) {
    const known = ROW_LAYOUTS.find((layout) => layout.recognises(value));
    return known?.name === "persona" ? names.map((name) => join(folder, name)) : [];
  }
  return [];
}

/** Of the traits that are asked for: a folder may hold many more. */
async function readTraits(
  paths: readonly string[],
  values: readonly Value[],
  options: ReadLabelledOptions,
): Promise<LabelledSet> {
  const wanted = paths.filter((path) => values.some(({ name }) => basename(path).startsWith(`${name}.jsonl`)));
  const sets = await Promise.all(wanted.map((path) => readLabelled(path, values, options)));
  return { layout: "persona", items: sets.flatMap(({ items }) => items), notes: sets[0]?.notes ?? [] };
}

function readRow(
  { value, where }: DataRecord,
  values: readonly Value[],
  seen: Set<string>,
): { item: LabelledText; list: ReadonlySet<string> | null } {
  const row: Row = parseRecord(rowSchema, value, where);
  const { id, prompt = "", cluster } = row;
  if (seen.has(id)) throw new DataFormatError(`${where}: there is another text with the id "${id}"; rename one`);
  const { labels, list } = labelsOf(row, values, where);
  seen.add(id);
  const item = {
    id,
    prompt,
    response: row.response ?? row.text ?? "",
    labels,
    cluster: cluster === undefined || cluster === "" ? null : cluster,
  };
  return { item, list };
}

/** A list of names; an object, or columns, of labels by value. An empty cell is no label. */
function labelsOf(
  { labels: given, ...columns }: Row,
  values: readonly Value[],
  where: string,
): { labels: Map<string, boolean>; list: ReadonlySet<string> | null } {
  if (Array.isArray(given) || typeof given === "string") return { labels: new Map(), list: new Set(namesOf(given)) };
  const cells = given ?? columns;
  const labels = new Map<string, boolean>();
  for (const { name } of values) {
    const cell = (cells as Record<string, unknown>)[name];
    if (cell === undefined || cell === null || cell === "") continue;
    labels.set(name, readLabel(cell, `${where}: ${name}`) >= MAJORITY);
  }
  if (given === undefined && labels.size === 0)
    throw new DataFormatError(`${where}: needs labels, or a column with the name of a value`);
  return { labels, list: null };
}
