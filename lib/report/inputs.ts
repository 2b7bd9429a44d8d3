/**
 * What a report is made from: items.jsonl, and beside it, or one folder below, whatever else there is: study.yaml,
 * examples.jsonl and answers.jsonl, the tables of `valora curate`, and what `valora precision --format json` wrote (precision*.json).
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { z } from "zod";
import { DataFormatError, describeFileError, FileError } from "../errors.js";
import { describeIssue } from "../files/describe-issue.js";
import { readManifest } from "../files/manifest.js";
import { parseYaml } from "../files/yaml-file.js";

export interface OverlapCell {
  value: string;
  other: string;
  pairs: number;
  sameSide: number;
  oppositeSide: number;
}

export interface SubsetCount {
  value: string;
  chosen: number;
  rejected: number;
  total: number;
  pairs: number;
}

const estimate = z.looseObject({
  value: z.number().nullable(),
  low: z.number().nullable(),
  high: z.number().nullable(),
});
const precisionSchema = z.looseObject({
  extractor: z.string(),
  input: z.string().optional(),
  values: z.array(
    z.looseObject({
      value: z.string(),
      texts: z.number(),
      positives: z.number(),
      scores: z.looseObject({ precision: estimate, recall: estimate, f1: estimate }),
      random: z.looseObject({
        precision: z.number().nullable(),
        recall: z.number().nullable(),
        f1: z.number().nullable(),
      }),
    }),
  ),
  unvalidated: z.array(z.string()).default([]),
});
export type PrecisionFile = z.infer<typeof precisionSchema>;

export interface Inputs {
  /** Paths of those that are there. */
  items: string;
  examples: string[];
  /** What study.yaml says of itself. */
  study: z.output<typeof studySchema> | null;
  overlap: OverlapCell[];
  counts: SubsetCount[];
  precision: PrecisionFile[];
  /** Facts of the folder's own manifest, as text. */
  facts: [string, string][];
  /** Every file that was read, relative to the folder. */
  files: string[];
}

/** @throws FileError where the folder has no items.jsonl; DataFormatError naming the file that is not what it should be */
export async function findInputs(folder: string): Promise<Inputs> {
  const names = await listTwoLevels(folder);
  const items = names.find((name) => name === "items.jsonl" || name === "items.jsonl.gz");
  if (items === undefined)
    throw new FileError(`${folder} has no items.jsonl; give the folder of a study, an evaluation or the demo`);
  const find = (name: string): string | undefined => names.find((each) => each === name || each.endsWith(`/${name}`));
  const examples = ["examples.jsonl", "answers.jsonl"].flatMap((name) => find(name) ?? find(`${name}.gz`) ?? []);
  const overlap = find("overlap.csv");
  const counts = find("counts.csv");
  const precision = names.filter(
    (name) => /(^|\/)precision[^/]*\.json$/.test(name) && !name.endsWith(".manifest.json"),
  );
  const study = names.includes("study.yaml") ? join(folder, "study.yaml") : null;
  const files = [items, ...examples, overlap, counts, ...precision, ...(study === null ? [] : ["study.yaml"])];
  return {
    items: join(folder, items),
    examples: examples.map((name) => join(folder, name)),
    study: study === null ? null : parseYaml(await readText(study), study, studySchema),
    overlap: overlap === undefined ? [] : await readOverlap(join(folder, overlap)),
    counts: counts === undefined ? [] : await readCounts(join(folder, counts)),
    precision: await Promise.all(precision.map((name) => readPrecision(join(folder, name)))),
    facts: await factsOf(folder),
    files: files.filter((name) => name !== undefined),
  };
}

const studySchema = z.looseObject({
  name: z.string().optional(),
  description: z.string().optional(),
  data: z.array(z.looseObject({ source: z.string().optional() })).optional(),
});

/**
 * Whether an extractor may have told the values: not where a study takes all of them from pairs that are labelled as they
 * come (persona statements, a user's own files, planted attributes).
 */
export function isExtracted({ study }: Pick<Inputs, "study">): boolean {
  return study?.data === undefined || study.data.some(({ source }) => source === "curated" || source === "labelled");
}

async function listTwoLevels(folder: string): Promise<string[]> {
  const read = async (path: string) => {
    try {
      return await readdir(path, { withFileTypes: true });
    } catch (error) {
      throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
    }
  };
  const names: string[] = [];
  const below: string[] = [];
  for (const entry of await read(folder)) {
    if (entry.isDirectory()) below.push(entry.name);
    else names.push(entry.name);
  }
  for (const name of below.sort())
    for (const entry of await read(join(folder, name))) if (!entry.isDirectory()) names.push(`${name}/${entry.name}`);
  return names;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new FileError(`${path} cannot be read: ${describeFileError(error)}`, { cause: error });
  }
}

/** Rows of a CSV file with the columns that `schema` asks for. */
async function readCsv<T>(path: string, schema: z.ZodType<T>): Promise<T[]> {
  let rows: unknown[];
  try {
    rows = parse(await readText(path), { columns: true, skip_empty_lines: true, bom: true });
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new DataFormatError(`${path} is not valid CSV: ${(error as Error).message}`, { cause: error });
  }
  return rows.map((row, index) => {
    const parsed = schema.safeParse(row);
    if (parsed.success) return parsed.data;
    throw new DataFormatError(`${path}, row ${index + 1}: ${describeIssue(parsed.error)}`);
  });
}

const number = z.coerce.number();

async function readOverlap(path: string): Promise<OverlapCell[]> {
  const row = z.object({
    value: z.string(),
    other: z.string(),
    pairs: number,
    same_side: number,
    opposite_side: number,
  });
  return (await readCsv(path, row)).map(({ value, other, pairs, same_side, opposite_side }) => ({
    value,
    other,
    pairs,
    sameSide: same_side,
    oppositeSide: opposite_side,
  }));
}

async function readCounts(path: string): Promise<SubsetCount[]> {
  return readCsv(path, z.object({ value: z.string(), chosen: number, rejected: number, total: number, pairs: number }));
}

async function readPrecision(path: string): Promise<PrecisionFile> {
  let value: unknown;
  try {
    value = JSON.parse(await readText(path));
  } catch (error) {
    if (error instanceof FileError) throw error;
    throw new DataFormatError(`${path} is not valid JSON; make it again with valora precision --format json`, {
      cause: error,
    });
  }
  const parsed = precisionSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new DataFormatError(`${path}: ${describeIssue(parsed.error)}; make it with valora precision --format json`);
}

/** Command, versions and device of the manifest beside the items, where there is one. */
async function factsOf(folder: string): Promise<[string, string][]> {
  const manifest =
    (await readManifest(join(folder, "manifest.json"))) ??
    (await readManifest(join(folder, "items.jsonl.manifest.json")));
  if (manifest === null) return [];
  const facts: [string, string][] = [["made by", `valora ${manifest.command}`]];
  facts.push([
    "versions",
    Object.entries(manifest.versions)
      .map((pair) => pair.join(" "))
      .join(", "),
  ]);
  const kind = manifest.device?.kind;
  if (typeof kind === "string") facts.push(["device", kind]);
  for (const [name, hash] of Object.entries(manifest.sha256).slice(0, 6)) facts.push([`SHA-256 of ${name}`, hash]);
  return facts;
}
