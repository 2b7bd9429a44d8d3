/**
 * What a layout of preference data is: how it is recognised, and how its records become preference pairs. A layout is a
 * schema and a function from one record to what it compares; what all layouts share (ids, bad records, answers that
 * cannot be compared) is here.
 */
import { z } from "zod";
import { type ItemErrorOptions, parseRecord, prepareOrSkip } from "../../engine/requests.js";
import type { PreferencePair } from "../pairs.js";
import type { DataRecord } from "../records.js";
import type { FormatName, FormatOptions } from "./options.js";

/** A comparison that makes no pair; the reason follows a count: "41 with equal ratings". */
export interface DroppedComparison {
  reason: string;
  where: string;
}

export interface PairContext extends FormatOptions, ItemErrorOptions {
  /** The number of the next record, from 0; ids are made of it. */
  nextIndex(): number;
  onDrop(dropped: DroppedComparison): void;
}

export interface PairFormat {
  /** As `--format` takes it; also the pairs' `source` unless they say another. */
  readonly name: FormatName;
  /** The fields that it is known by, for people. */
  readonly layout: string;
  recognises(record: unknown): boolean;
  /** @throws DataFormatError naming record and field, unless bad records are to be skipped */
  pairs(records: AsyncIterable<DataRecord>, context: PairContext): AsyncGenerator<PreferencePair>;
}

export type Message = { role: string; content: string };

/** Two answers to one prompt, the chosen one told. */
export interface Comparison {
  /** Messages for the chat template, or raw text where the layout means that. */
  prompt: Message[] | string;
  chosen: string;
  rejected: string;
  /** What the source says of the two beside the preference; goes into the pair as it is. */
  origin?: Record<string, unknown>;
  /** Tells the comparisons of one record apart, in the id. */
  part?: string;
}

export interface Drop {
  drop: string;
}

export const EQUAL_RATINGS = "with equal ratings";

/** The one message of a prompt that is a plain text. */
export function userMessage(content: string): Message[] {
  return [{ role: "user", content }];
}

/** A text that is a number ("4", "4.5"), or a number; null for "N/A" and the like. */
export const ratingSchema = z.union([z.string(), z.number()]).transform((rating) => {
  const number = typeof rating === "number" ? rating : Number(rating.trim() || Number.NaN);
  return Number.isFinite(number) ? number : null;
});

export interface RowFormat<T> {
  name: FormatName;
  /** Before the number in ids. */
  prefix: string;
  layout: string;
  /** Where a layout has several forms, the schema of the one that a record seems to be. */
  schema: z.ZodType<T> | ((record: Record<string, unknown>) => z.ZodType<T>);
  /** Default: records that fit the schema. */
  recognises?(record: Record<string, unknown>): boolean;
  compare(row: T, options: FormatOptions): Comparison | Drop | (Comparison | Drop)[];
}

/** A layout whose records are read one by one. */
export function defineRowFormat<T>(format: RowFormat<T>): PairFormat {
  const { name, prefix, layout } = format;
  return {
    name,
    layout,
    recognises: (record) => recognises(record, format),
    async *pairs(records, context) {
      for await (const { value, where } of records) {
        const index = context.nextIndex();
        const row = prepareOrSkip(context, () => parseRecord(schemaOf(format, value), value, where));
        if (row === null) continue;
        for (const comparison of [format.compare(row, context)].flat()) {
          const pair = finishPair(comparison, { id: `${prefix}:${index}`, source: name, where }, context);
          if (pair !== null) yield pair;
        }
      }
    },
  };
}

function schemaOf<T>({ schema }: RowFormat<T>, record: Record<string, unknown>): z.ZodType<T> {
  return typeof schema === "function" ? schema(record) : schema;
}

function recognises<T>(record: unknown, format: RowFormat<T>): boolean {
  if (typeof record !== "object" || record === null || Array.isArray(record)) return false;
  const fields = record as Record<string, unknown>;
  return format.recognises?.(fields) ?? schemaOf(format, fields).safeParse(fields).success;
}

/** The pair of a comparison, or null where it cannot be one; then its reason is reported. */
export function finishPair(
  comparison: Comparison | Drop,
  { id, source, where }: { id: string; source: string; where: string },
  context: PairContext,
): PreferencePair | null {
  const reason = "drop" in comparison ? comparison.drop : reasonAgainst(comparison);
  if (reason !== null) {
    context.onDrop({ reason, where });
    return null;
  }
  const { prompt, chosen, rejected, origin, part } = comparison as Comparison;
  return {
    id: part === undefined ? id : `${id}:${part}`,
    source,
    prompt,
    chosen,
    rejected,
    ...(origin && { origin }),
  };
}

function reasonAgainst({ prompt, chosen, rejected }: Comparison): string | null {
  if (typeof prompt === "string" ? prompt.trim() === "" : prompt.every(({ content }) => content.trim() === ""))
    return "without a prompt";
  if (chosen.trim() === "" || rejected.trim() === "") return "with an empty answer";
  return chosen === rejected ? "whose answers are the same" : null;
}
