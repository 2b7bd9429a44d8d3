/** Answers to be graded, out of any table: JSON Lines, a JSON array, CSV, TSV or Parquet; with people's labels, if wanted. */
import { basename } from "node:path";
import { z } from "zod";
import { findDataFiles } from "../data/data-source.js";
import { type DataRecord, readRecords } from "../data/records.js";
import type { Prompt } from "../engine/encode.js";
import { type ItemErrorOptions, parseRecord, prepareOrSkip, promptSchema } from "../engine/requests.js";
import { DataFormatError } from "../errors.js";
import type { Answer } from "./graders/grader.js";

export interface AnswerLine extends Answer {
  /** Unique: the place where it stands. */
  id: string;
  /** As the line has it; the place where it has none. */
  name: string;
  /** The file's name without its ending; what one model's answers have in common. */
  group: string;
  /** Which of several answers to one prompt it is; passed on. */
  adapter?: string | undefined;
  sample?: number | undefined;
  /** What people say, where a field of labels is read. */
  truth?: boolean;
}

export interface ReadAnswersOptions extends ItemErrorOptions {
  /** Prompts by id, for lines without one (as `valora generate` writes them). */
  prompts?: ReadonlyMap<string, Prompt> | undefined;
  /** The field with people's labels; a line without one is bad. */
  labels?: string | undefined;
  signal?: AbortSignal | undefined;
}

const rowSchema = z
  .looseObject({
    id: z.union([z.string(), z.number()]).transform(String).optional(),
    prompt: promptSchema.optional(),
    text: z.string().nullish(),
    response: z.string().nullish(),
    completion: z.string().nullish(),
    reference: z.union([z.string(), z.number()]).transform(String).optional(),
    adapter: z.string().optional(),
    sample: z.number().optional(),
  })
  .refine((row) => textOf(row) !== null, { message: "needs text (or response, or completion)" });

/** The first that is there: completions of a score request are numbers in a field of that name. */
function textOf(row: { text?: string | null; response?: string | null; completion?: string | null }): string | null {
  return row.text ?? row.response ?? row.completion ?? null;
}

/**
 * @param input a file, a folder of tables, "-", or a data set of the hub
 * @throws FileError; DataFormatError naming file, line and field, unless such lines are to be skipped
 */
export async function* readAnswers(input: string, options: ReadAnswersOptions = {}): AsyncGenerator<AnswerLine> {
  for (const file of await findDataFiles(input, { signal: options.signal }))
    for await (const record of readRecords(file, options)) {
      const answer = prepareOrSkip(options, () => toAnswer(record, file, options));
      if (answer !== null) yield answer;
    }
}

function toAnswer({ value, where }: DataRecord, file: string, options: ReadAnswersOptions): AnswerLine {
  const row = parseRecord(rowSchema, value, where);
  const name = row.id ?? where;
  return {
    id: where,
    name,
    group: file === "-" ? "standard input" : basename(file).replace(/(\.\w+)(\.gz)?$/, ""),
    prompt: row.prompt ?? options.prompts?.get(name) ?? "",
    text: textOf(row)!,
    reference: row.reference,
    adapter: row.adapter,
    sample: row.sample,
    ...(options.labels === undefined ? {} : { truth: readTruth(row[options.labels], options.labels, where) }),
  };
}

const WORDS: Readonly<Record<string, boolean>> = {
  "1": true,
  true: true,
  yes: true,
  present: true,
  refusal: true,
  partial: true,
  partial_refusal: true,
  full_refusal: true,
  "0": false,
  false: false,
  no: false,
  absent: false,
  compliance: false,
  full_compliance: false,
};

/**
 * 0 or 1, yes or no, or a word of refusal; XSTest's "1_full_compliance", "2_full_refusal" and "3_partial_refusal" too. A
 * partial refusal is one.
 */
function readTruth(cell: unknown, field: string, where: string): boolean {
  const word = String(cell ?? "")
    .trim()
    .toLowerCase();
  const truth = WORDS[word] ?? WORDS[word.replace(/^\d_/, "")];
  if (truth === undefined)
    throw new DataFormatError(
      `${where}: ${field} has to be 0 or 1, yes or no, or refusal, partial or compliance, not "${word}"`,
    );
  return truth;
}
