/**
 * The labelled texts that a probe is trained on: those that `valora precision` reads, or pairs with `values`, as
 * `valora label` writes them, of which each response is a text.
 */
import { stat } from "node:fs/promises";
import { readPairs } from "../../data/pairs.js";
import { readRecords } from "../../data/records.js";
import { prepareOrSkip } from "../../engine/requests.js";
import { DataFormatError } from "../../errors.js";
import {
  type LabelledSet,
  type LabelledText,
  type ReadLabelledOptions,
  readLabelled,
} from "../../precision/labelled.js";
import { exchangesOf } from "../label-pairs.js";
import type { Value } from "../taxonomy.js";

export interface TrainingSet {
  layout: LabelledSet["layout"] | "pairs";
  items: LabelledText[];
  notes: string[];
}

/**
 * Held in memory. A pair's list of values says no to every value that another list of the file names.
 *
 * @throws FileError, or DataFormatError naming file, line and field
 */
export async function readTrainingTexts(
  path: string,
  values: readonly Value[],
  options: ReadLabelledOptions = {},
): Promise<TrainingSet> {
  if (!(await holdsPairs(path))) return readLabelled(path, values, options);
  const texts: { text: Omit<LabelledText, "labels">; names: ReadonlySet<string> }[] = [];
  const listed = new Set<string>();
  const ids = new Set<string>();
  for await (const pair of readPairs(path, options)) {
    const read = prepareOrSkip(options, () => {
      if (pair.values === undefined)
        throw new DataFormatError(`${path}: pair "${pair.id}" has no "values"; label the file first (valora label)`);
      if (ids.has(pair.id))
        throw new DataFormatError(`${path}: there is another pair with the id "${pair.id}"; rename one`);
      ids.add(pair.id);
      return { sides: exchangesOf(pair), values: pair.values };
    });
    if (read === null) continue;
    for (const side of ["chosen", "rejected"] as const) {
      const { prompt, response } = read.sides[side];
      const names = new Set(read.values[side]);
      for (const name of names) listed.add(name);
      texts.push({ text: { id: `${pair.id}, ${side}`, prompt, response, cluster: null }, names });
    }
  }
  const annotated = values.map(({ name }) => name).filter((name) => listed.has(name));
  return {
    layout: "pairs",
    items: texts.map(({ text, names }) => ({
      ...text,
      labels: new Map(annotated.map((name) => [name, names.has(name)])),
    })),
    notes: ["labels of pairs say no to every value that another pair lists"],
  };
}

async function holdsPairs(path: string): Promise<boolean> {
  if (path === "-" || (await stat(path).catch(() => null))?.isDirectory()) return false;
  for await (const { value } of readRecords(path, { onError: "skip" })) return "chosen" in value && "rejected" in value;
  return false;
}
