/**
 * Reads Touché23-ValueEval (Mirzakhmedova et al., arXiv 2301.13771; SemEval-2023 task 4): arguments with the human values
 * that they resort to, by the 54 values of its level 1.
 *
 *     arguments-SPLIT.tsv       Argument ID, Conclusion, Stance, Premise
 *     level1-labels-SPLIT.tsv   Argument ID, then a column of 0 and 1 for each value
 *
 * The premise is the response; conclusion and stance, which its author had before them, are the prompt. All arguments
 * about one conclusion are one cluster: they share their words, and their values.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type DataRecord, readRecords } from "../data/records.js";
import { prepareOrSkip } from "../engine/requests.js";
import { DataFormatError, describeFileError, FileError } from "../errors.js";
import type { Value } from "../values/taxonomy.js";
import type { LabelledSet, LabelledText, ReadLabelledOptions } from "./labelled.js";

export interface LabelColumn {
  column: string;
  /** The column's meaning is near ours, and not ours. */
  near?: true;
}

/**
 * The columns that mean what a value of ours means, by its name. The other eight of our fifteen have none; nor have the
 * 20 categories of level 2, each of which holds several of these. "Be just" is social justice there.
 */
export const VALUE_EVAL_COLUMNS: Readonly<Record<string, LabelColumn>> = {
  creativity: { column: "Be creative" },
  curiosity: { column: "Be curious" },
  honesty: { column: "Be honest" },
  privacy: { column: "Have privacy" },
  justice: { column: "Be just" },
  "open-mindedness": { column: "Be broadminded" },
  fairness: { column: "Have equality", near: true },
  legality: { column: "Be compliant", near: true },
};

const ARGUMENTS = /^arguments-(.+)\.tsv$/;

/** @throws FileError, or DataFormatError naming file and line */
export async function readValueEval(
  folder: string,
  values: readonly Value[],
  options: ReadLabelledOptions,
): Promise<LabelledSet> {
  const columns = values.flatMap(({ name }): [string, LabelColumn][] => {
    const found = VALUE_EVAL_COLUMNS[name];
    return found === undefined ? [] : [[name, found]];
  });
  const items: LabelledText[] = [];
  for (const split of await splitsOf(folder)) {
    const labels = new Map<string, ReadonlyMap<string, boolean>>();
    for await (const record of readRecords(join(folder, `level1-labels-${split}.tsv`), options)) {
      const read = prepareOrSkip(options, () => readLabels(record, columns));
      if (read !== null) labels.set(read.id, read.labels);
    }
    for await (const record of readRecords(join(folder, `arguments-${split}.tsv`), options)) {
      const item = prepareOrSkip(options, () => readArgument(record, labels));
      if (item !== null) items.push(item);
    }
  }
  return {
    layout: "valueeval23",
    items,
    notes: columns
      .filter(([, { near }]) => near === true)
      .map(([name, { column }]) => `${name} is held against "${column}", which is near it and not the same`),
  };
}

/** Those with both files, in alphabetical order. */
async function splitsOf(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw new FileError(`${folder} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
  const splits = names
    .flatMap((name) => ARGUMENTS.exec(name)?.[1] ?? [])
    .filter((split) => names.includes(`level1-labels-${split}.tsv`))
    .sort();
  if (splits.length > 0) return splits;
  throw new DataFormatError(
    `${folder} holds no arguments-SPLIT.tsv with level1-labels-SPLIT.tsv beside it, as ValueEval'23 has them; give such a folder, or a file of labelled texts`,
  );
}

function readLabels(
  { value, where }: DataRecord,
  columns: readonly [string, LabelColumn][],
): { id: string; labels: ReadonlyMap<string, boolean> } {
  const id = cellOf(value, "Argument ID", where);
  const labels = new Map<string, boolean>();
  for (const [name, { column }] of columns) {
    const label = cellOf(value, column, where);
    if (label !== "0" && label !== "1")
      throw new DataFormatError(`${where}: ${column} has to be 0 or 1, not "${label}"`);
    labels.set(name, label === "1");
  }
  return { id, labels };
}

function readArgument(
  { value, where }: DataRecord,
  all: ReadonlyMap<string, ReadonlyMap<string, boolean>>,
): LabelledText {
  const [id, conclusion, stance, premise] = ["Argument ID", "Conclusion", "Stance", "Premise"].map((name) =>
    cellOf(value, name, where),
  ) as [string, string, string, string];
  const labels = all.get(id);
  if (labels === undefined)
    throw new DataFormatError(`${where}: argument ${id} has no row of labels; add one to the level1-labels file`);
  return { id, prompt: `${conclusion} (${stance})`, response: premise, labels, cluster: conclusion };
}

function cellOf(row: Record<string, unknown>, column: string, where: string): string {
  const cell = row[column];
  if (typeof cell === "string") return cell;
  throw new DataFormatError(`${where}: there is no column "${column}"; is this ValueEval'23?`);
}
