/** What a table of records holds, found in one pass with a fixed amount of memory. */
import { preferencePairSchema } from "../data/pairs.js";
import { type PreferenceDataOptions, pairsOf, tellFormat } from "../data/preference-data.js";
import { createReadReport } from "../data/read-report.js";
import { type DataRecord, readRows } from "../data/records.js";
import { generationPromptSchema, scoreRequestSchema } from "../engine/requests.js";

/** Protects memory against lines that each bring names of their own. */
const MAX_NAMES = 100;
/** Longer names are no names; they are shown cut. */
const MAX_NAME_LENGTH = 80;

/** Kinds of lines by the fields that tell them apart, first match wins. */
const LINE_KINDS: readonly (readonly [string, (line: Record<string, unknown>) => boolean])[] = [
  ["preference pairs", (line) => preferencePairSchema.safeParse(line).success],
  ["score requests", (line) => scoreRequestSchema.safeParse(line).success],
  ["score results", (line) => typeof line.logprob === "number" && "completion" in line],
  ["generation results", (line) => "sample" in line && "finish" in line],
  ["training metrics", (line) => typeof line.step === "number" && typeof line.loss === "number"],
  ["evaluation items", (line) => "item" in line && "metric" in line && "y" in line],
  ["generation prompts", (line) => generationPromptSchema.safeParse(line).success],
  ["texts", (line) => "id" in line && ("text" in line || "messages" in line)],
];

const OTHER = "other objects";
/** Texts of the pair that is shown are cut to so many characters. */
const MAX_TEXT = 200;

export interface FieldInspection {
  lines: number;
  /** JSON types that were seen, most frequent first. */
  types: string[];
  /** Characters of texts: fewest, mean, most. */
  characters?: { min: number; mean: number; max: number };
}

export interface DataInspection {
  kind: "data";
  path: string;
  lines: number;
  /** Lines that cannot be read (not valid JSON in UTF-8, a row with too many fields), with the first complaint. */
  bad_lines?: number;
  first_bad_line?: string;
  /** What the lines are, and how many of each. */
  holds: Record<string, number>;
  /** Where they are preference data in a layout that is known. */
  preferences?: PreferenceInspection;
  fields: Record<string, FieldInspection>;
  /** Where lines have them: how many a `value`, a `source`, an `adapter`. */
  values?: Record<string, number>;
  sources?: Record<string, number>;
  adapters?: Record<string, number>;
  /** Names beyond the first 100 of a kind, which are not shown. */
  names_left_out?: number;
}

export interface PreferenceInspection {
  /** As `--format` takes it. */
  format: string;
  pairs: number;
  /** Comparisons that make no pair, by reason. */
  dropped?: Record<string, number>;
  /** Lines that are not as the layout has them, with the first complaint. */
  bad_records?: number;
  first_bad_record?: string;
  sources: Record<string, number>;
  /** Long texts are cut. */
  first_pair?: unknown;
}

interface FieldTally {
  lines: number;
  types: Map<string, number>;
  texts: number;
  characters: number;
  min: number;
  max: number;
}

/** Counts by name; names beyond MAX_NAMES are only counted together. */
export class Tally {
  readonly counts = new Map<string, number>();
  leftOut = 0;

  add(name: string): void {
    const known = shorten(name);
    const count = this.counts.get(known);
    if (count === undefined && this.counts.size >= MAX_NAMES) this.leftOut++;
    else this.counts.set(known, (count ?? 0) + 1);
  }

  get empty(): boolean {
    return this.counts.size === 0;
  }

  /** Most frequent first. */
  toObject(): Record<string, number> {
    return Object.fromEntries([...this.counts].sort(([, a], [, b]) => b - a));
  }
}

/**
 * Reads the whole file once. Bad lines are counted, not thrown.
 *
 * @throws FileError where it cannot be read
 * @throws DataFormatError where nothing after the damage can be read (gzip, Parquet, a JSON array), or a line is absurdly
 *   long
 */
export async function inspectDataFile(path: string, options: PreferenceDataOptions = {}): Promise<DataInspection> {
  const fields = new Map<string, FieldTally>();
  const holds = new Tally();
  const named = { values: new Tally(), sources: new Tally(), adapters: new Tally() };
  let lines = 0;
  let bad = 0;
  let firstBad: string | undefined;
  let fieldsLeftOut = 0;
  const onSkip = (message: string): void => {
    bad++;
    firstBad ??= message;
  };
  async function* tallied(): AsyncGenerator<DataRecord> {
    for await (const { value, where } of readRows(path, { onError: "skip", onSkip })) {
      lines++;
      if (value === null || typeof value !== "object" || Array.isArray(value)) {
        holds.add(`JSON values of type ${jsonType(value)}`);
        continue;
      }
      const line = value as Record<string, unknown>;
      holds.add(LINE_KINDS.find(([, fits]) => fits(line))?.[0] ?? OTHER);
      for (const [name, item] of Object.entries(line)) fieldsLeftOut += tallyField(fields, shorten(name), item) ? 0 : 1;
      if (typeof line.value === "string") named.values.add(line.value);
      if (typeof line.source === "string") named.sources.add(line.source);
      if (typeof line.adapter === "string") named.adapters.add(line.adapter);
      yield { value: line, where };
    }
  }
  const preferences = await inspectPreferences(tallied(), path, options);
  const leftOut = fieldsLeftOut + Object.values(named).reduce((sum, { leftOut }) => sum + leftOut, 0);
  const kinds = Object.entries(holds.toObject()).map(([kind, count]) => [
    kind === OTHER && preferences !== undefined ? `records of ${preferences.format}` : kind,
    count,
  ]);
  return {
    kind: "data",
    path,
    lines,
    ...(bad === 0 ? {} : { bad_lines: bad }),
    ...(firstBad === undefined ? {} : { first_bad_line: firstBad }),
    holds: Object.fromEntries(kinds),
    ...(preferences === undefined ? {} : { preferences }),
    fields: Object.fromEntries([...fields].map(([name, tally]) => [name, describeField(tally)])),
    ...Object.fromEntries(
      Object.entries(named)
        .filter(([, tally]) => !tally.empty)
        .map(([name, tally]) => [name, tally.toObject()]),
    ),
    ...(leftOut === 0 ? {} : { names_left_out: leftOut }),
  };
}

/** Reads all records; undefined where they are in no layout of preference data. */
async function inspectPreferences(
  records: AsyncGenerator<DataRecord>,
  path: string,
  options: PreferenceDataOptions,
): Promise<PreferenceInspection | undefined> {
  const told = await tellFormat(records, options.format);
  if (told.format === null) {
    for await (const _ of told.records);
    return undefined;
  }
  const report = createReadReport(path);
  const sources = new Tally();
  let first: unknown;
  let firstBad: string | undefined;
  const onSkip = (message: string): void => {
    report.skipped++;
    firstBad ??= message;
  };
  const reading = { ...options, onError: "skip", onSkip } as const;
  for await (const pair of pairsOf(told.format, told.records, reading, report, new Map())) {
    first ??= shortenTexts(pair);
    if (pair.source !== undefined) sources.add(pair.source);
  }
  return {
    format: told.format.name,
    pairs: report.pairs,
    ...(Object.keys(report.dropped).length === 0 ? {} : { dropped: report.dropped }),
    ...(report.skipped === 0 ? {} : { bad_records: report.skipped }),
    ...(firstBad === undefined ? {} : { first_bad_record: firstBad }),
    sources: sources.toObject(),
    ...(first === undefined ? {} : { first_pair: first }),
  };
}

/** False where there are too many names already. */
function tallyField(fields: Map<string, FieldTally>, name: string, value: unknown): boolean {
  let tally = fields.get(name);
  if (tally === undefined) {
    if (fields.size >= MAX_NAMES) return false;
    tally = { lines: 0, types: new Map(), texts: 0, characters: 0, min: Number.POSITIVE_INFINITY, max: 0 };
    fields.set(name, tally);
  }
  const type = jsonType(value);
  tally.lines++;
  tally.types.set(type, (tally.types.get(type) ?? 0) + 1);
  if (typeof value === "string") {
    tally.texts++;
    tally.characters += value.length;
    tally.min = Math.min(tally.min, value.length);
    tally.max = Math.max(tally.max, value.length);
  }
  return true;
}

function describeField({ lines, types, texts, characters, min, max }: FieldTally): FieldInspection {
  return {
    lines,
    types: [...types].sort(([, a], [, b]) => b - a).map(([type]) => type),
    ...(texts === 0 ? {} : { characters: { min, mean: Math.round(characters / texts), max } }),
  };
}

function jsonType(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "list" : typeof value;
}

function shorten(name: string): string {
  return name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}…` : name;
}

/** A copy whose long texts are cut, for people. */
function shortenTexts(value: unknown): unknown {
  if (typeof value === "string") return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value;
  if (Array.isArray(value)) return value.slice(0, MAX_NAMES).map(shortenTexts);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shortenTexts(item)]));
}
