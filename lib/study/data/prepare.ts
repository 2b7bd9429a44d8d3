/**
 * Brings every source of a study into files of its own: `data/<arm>/<value>.jsonl` and `data/held-out/<value>.jsonl`.
 * Jobs know these by their hashes, so a study whose data has not changed does nothing again.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ARMS } from "../../curation/arms.js";
import { curate } from "../../curation/curate.js";
import { checkFileNames, fileOf } from "../../curation/file-names.js";
import { curatedPair } from "../../curation/write-pairs.js";
import type { PreferencePair } from "../../data/pairs.js";
import { readPreferenceData } from "../../data/preference-data.js";
import { DataFormatError, describeFileError, FileError, UsageError } from "../../errors.js";
import { writeArtefact } from "../../files/artefact.js";
import { openAttributes } from "../../values/attributes.js";
import { labelPairs } from "../../values/label-pairs.js";
import { chooseValues, loadTaxonomy } from "../../values/taxonomy.js";
import type { Source, SourceOf, Study, TrainedArm } from "../schema.js";
import { drawOfPair, type PairFile, type PrepareContext, sampleFiles, writePairFile } from "./pair-file.js";
import { readPersona } from "./persona.js";

export interface StudyValue {
  value: string;
  heldOut: PairFile;
  /** Training pairs by arm; by "random" or "random.seed-3", as `trainingFile` reads it. */
  train: Map<string, PairFile>;
}

export interface StudyData {
  values: StudyValue[];
  /** What was asked for and cannot be, a sentence each. */
  notes: string[];
}

/** The pairs of a value's arm under a seed; undefined where the value has no such arm. */
export function trainingFile(value: StudyValue, arm: TrainedArm, seed: number): PairFile | undefined {
  return value.train.get(`${arm}.seed-${seed}`) ?? value.train.get(arm);
}

/**
 * @throws UsageError for a value that two sources have, or none
 * @throws FileError, DataFormatError naming file and line
 */
export async function prepareData(study: Study, folder: string, signal?: AbortSignal): Promise<StudyData> {
  const context: PrepareContext = {
    folder,
    trainPairs: study.pairs.train,
    heldOutPairs: study.pairs["held-out"],
    seed: study.pairs.seed,
    signal,
  };
  const data: StudyData = { values: [], notes: [] };
  for (const [index, source] of study.data.entries()) {
    const values = await prepareSource(source, index, study, context, data.notes);
    for (const value of values) {
      if (data.values.some((other) => other.value === value.value))
        throw new UsageError(`data: two sources have the value "${value.value}"; leave it out of one`);
      data.values.push(value);
    }
  }
  checkFileNames(data.values.map(({ value }) => value));
  for (const { value, train } of data.values)
    for (const [arm, { pairs }] of train)
      if (pairs < train.get("induce")!.pairs)
        data.notes.push(
          `arm ${arm} of ${value} has ${pairs} pairs for ${train.get("induce")!.pairs}: there are no more like them`,
        );
  if (data.values.every(({ train }) => train.size === 0))
    throw new UsageError("data: no value has pairs to train on; give one of them some");
  return data;
}

async function prepareSource(
  source: Source,
  index: number,
  study: Study,
  context: PrepareContext,
  notes: string[],
): Promise<StudyValue[]> {
  switch (source.source) {
    case "pairs":
      return preparePairs(source, study, context);
    case "persona":
      return preparePersona(source, study, context, notes);
    case "curated":
      return prepareCurated(source, study, context);
    case "labelled":
      return prepareLabelled(source, `labelled-${index}`, study, context);
    case "attributes": {
      const labelled = join(context.folder, "data", `attributes-${index}.jsonl`);
      await labelAttributes(source, labelled, context);
      const { values, "held-out": heldOut, "min-pairs": minPairs } = source;
      return prepareLabelled(
        { source: "labelled", input: [labelled], values: [...values], "held-out": heldOut, "min-pairs": minPairs },
        `attributes-${index}`,
        study,
        context,
      );
    }
  }
}

/** Where a value's pairs lie before they are sampled. */
interface ValueFiles {
  value: string;
  heldOut: string;
  train?: string | undefined;
  random?: string | undefined;
  flippedRandom?: string | undefined;
}

async function preparePairs(source: SourceOf<"pairs">, study: Study, context: PrepareContext): Promise<StudyValue[]> {
  const files = source.values.map((entry) => ({
    value: entry.value,
    heldOut: entry["held-out"],
    train: entry.train,
    random: entry.random,
    flippedRandom: entry["flipped-random"],
  }));
  const values: StudyValue[] = [];
  for (const entry of files) values.push(await copyFiles(entry, study, context));
  await drawRandom(
    values.filter((_, index) => files[index]!.random === undefined),
    values,
    study,
    context,
  );
  return values;
}

async function prepareCurated(
  source: SourceOf<"curated">,
  study: Study,
  context: PrepareContext,
): Promise<StudyValue[]> {
  const measured = source.measure ?? [];
  const names = source.values ?? (await valuesOfFolder(source.folder)).filter((name) => !measured.includes(name));
  for (const arm of ["random", "flipped-random"] as const)
    if (study.arms.includes(arm) && source[arm] === undefined)
      throw new UsageError(
        `data: arm ${arm} needs the folder that valora curate --arm ${arm} made; name it as ${arm} beside folder ${source.folder}`,
      );
  const inFolder = (folder: string | undefined, value: string) =>
    folder === undefined ? undefined : join(folder, fileOf(value, "train"));
  const values: StudyValue[] = [];
  for (const value of [...names, ...measured]) {
    const trains = !measured.includes(value);
    const entry: ValueFiles = { value, heldOut: join(source.folder, fileOf(value, "held-out")) };
    if (trains) {
      entry.train = inFolder(source.folder, value);
      entry.random = inFolder(source.random, value);
      entry.flippedRandom = inFolder(source["flipped-random"], value);
    }
    values.push(await copyFiles(entry, study, context));
  }
  return values;
}

/** Values of a curated folder, by the names of its files. */
async function valuesOfFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new FileError(`${folder} cannot be read: ${describeFileError(error)}`, { cause: error });
  });
  const values = names
    .filter((name) => name.endsWith(".jsonl") && names.includes(name.replace(/jsonl$/, "held-out.jsonl")))
    .map((name) => decodeURIComponent(name.slice(0, -".jsonl".length)))
    .sort();
  if (values.length > 0) return values;
  throw new UsageError(
    `data: ${folder} holds no VALUE.jsonl with a VALUE.held-out.jsonl beside it; make it with valora curate --held-out 0.1`,
  );
}

/** Curates the labelled pairs for every arm that is asked for, then takes them from there. */
async function prepareLabelled(
  source: SourceOf<"labelled">,
  name: string,
  study: Study,
  context: PrepareContext,
): Promise<StudyValue[]> {
  const folderOf = (arm: string) => join(context.folder, "data", `${name}-${arm}`);
  const values = [...(source.values ?? []), ...(source.values === undefined ? [] : (source.measure ?? []))];
  // `unflipped` is the same pairs as `induce`, turned back when they are copied.
  for (const arm of ARMS.filter((one) => one === "induce" || (one !== "unflipped" && study.arms.includes(one)))) {
    await curate({
      inputs: source.input,
      output: folderOf(arm),
      values,
      minPairs: source["min-pairs"],
      heldOut: source["held-out"],
      seed: context.seed,
      arm,
      ...(context.signal === undefined ? {} : { signal: context.signal }),
    });
  }
  return prepareCurated(
    {
      source: "curated",
      folder: folderOf("induce"),
      random: study.arms.includes("random") ? folderOf("random") : undefined,
      "flipped-random": study.arms.includes("flipped-random") ? folderOf("flipped-random") : undefined,
      values: source.values,
      measure: source.measure,
    },
    study,
    context,
  );
}

async function labelAttributes(
  source: SourceOf<"attributes">,
  output: string,
  { signal }: PrepareContext,
): Promise<void> {
  const values = chooseValues(await loadTaxonomy(), source.values, "attribute");
  const extractor = openAttributes(values);
  await writeArtefact(output, null, async (write) => {
    const pairs = readPreferenceData(source.input, { signal });
    for await (const pair of labelPairs(pairs, extractor, { values, signal })) await write(`${JSON.stringify(pair)}\n`);
  });
}

/** A value's files, sampled, into the study's folder. */
async function copyFiles(entry: ValueFiles, study: Study, context: PrepareContext): Promise<StudyValue> {
  const { value } = entry;
  const { seed, trainPairs } = context;
  const copy = async (
    part: string,
    path: string,
    count: number | undefined,
    change: (pair: PreferencePair) => PreferencePair,
  ) => {
    const pairs = sampleFiles([path], count, (pair) => drawOfPair(pair, seed, value));
    const file = await writePairFile(context, part, value, map(pairs, change));
    if (file.pairs === 0) throw new DataFormatError(`${path}: it holds no pair`);
    return file;
  };
  const asItIs = (pair: PreferencePair) => pair;
  const result: StudyValue = {
    value,
    heldOut: await copy("held-out", entry.heldOut, context.heldOutPairs, asItIs),
    train: new Map(),
  };
  const { train, random, flippedRandom } = entry;
  if (train === undefined) return result;
  result.train.set("induce", await copy("induce", train, trainPairs, asItIs));
  if (study.arms.includes("unflipped")) {
    const turnBack = (pair: PreferencePair) => ({
      ...curatedPair(pair, value, "unflipped", pair.flipped === true),
      flipped: false,
    });
    result.train.set("unflipped", await copy("unflipped", train, trainPairs, turnBack));
  }
  if (random !== undefined && study.arms.includes("random"))
    result.train.set("random", await copy("random", random, trainPairs, asItIs));
  if (flippedRandom !== undefined && study.arms.includes("flipped-random"))
    result.train.set("flipped-random", await copy("flipped-random", flippedRandom, trainPairs, asItIs));
  return result;
}

async function preparePersona(
  source: SourceOf<"persona">,
  study: Study,
  context: PrepareContext,
  notes: string[],
): Promise<StudyValue[]> {
  const measured = source.measure ?? [];
  const names = source.values ?? (await traitsOf(source.folder)).filter((name) => !measured.includes(name));
  const values: StudyValue[] = [];
  for (const value of [...names, ...measured]) {
    const isTrained = !measured.includes(value);
    const { train, heldOut } = await readPersona(source, value, { ...context, isTrained });
    const prepared: StudyValue = {
      value,
      heldOut: await writePairFile(context, "held-out", value, heldOut),
      train: new Map(),
    };
    if (isTrained) prepared.train.set("induce", await writePairFile(context, "induce", value, train));
    values.push(prepared);
  }
  for (const arm of ["unflipped", "flipped-random"] as const)
    if (study.arms.includes(arm))
      notes.push(`arm ${arm} leaves out the persona traits: their answers have no order of quality to turn back`);
  await drawRandom(values, values, study, context);
  return values;
}

async function traitsOf(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new FileError(`${folder} cannot be read: ${describeFileError(error)}`, { cause: error });
  });
  return names.flatMap((name) => /^(.+)\.jsonl$/.exec(name)?.[1] ?? []).sort();
}

/**
 * The arm `random` of values that bring no file for it: as many pairs, drawn from the other values of the source, each
 * in an order that a coin decides; drawn anew for each seed.
 */
async function drawRandom(
  values: readonly StudyValue[],
  pool: readonly StudyValue[],
  study: Study,
  context: PrepareContext,
): Promise<void> {
  if (!study.arms.includes("random")) return;
  for (const { value, train } of values) {
    const own = train.get("induce");
    if (own === undefined) continue;
    const others = pool.filter((other) => other.value !== value && other.train.has("induce"));
    if (others.length === 0)
      throw new UsageError(
        `data: arm random of ${value} needs other values' pairs in its source, or a file of its own`,
      );
    const paths = others.map((other) => join(context.folder, other.train.get("induce")!.path));
    for (const seed of study.seeds) {
      const drawn = sampleFiles(paths, own.pairs, (pair) => drawOfPair(pair, seed, value, "random"));
      const toss = (pair: PreferencePair) =>
        curatedPair(pair, value, "random", drawOfPair(pair, seed, value, "coin") < 0.5);
      train.set(`random.seed-${seed}`, await writePairFile(context, `random.seed-${seed}`, value, map(drawn, toss)));
    }
  }
}

async function* map<T, U>(items: AsyncIterable<T>, change: (item: T) => U): AsyncGenerator<U> {
  for await (const item of items) yield change(item);
}
