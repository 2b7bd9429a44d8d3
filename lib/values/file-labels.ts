/**
 * The `file` extractor: labels that somebody else has given, from JSON Lines or CSV. A row says whom it labels, by `id`
 * (with `side`, or both sides at once) or by `response` (with `prompt`, where the same text answers several), and what
 * with; docs/values.md has the forms. Several rows for one response and value are several annotators: the mean counts.
 */
import { z } from "zod";
import { type DataRecord, readRecords } from "../data/records.js";
import { parseRecord, promptSchema } from "../engine/requests.js";
import { DataFormatError, UsageError } from "../errors.js";
import { sha256File } from "../files/hash.js";
import type { Exchange, Extractor, Scores, Side } from "./extractor.js";
import { responseKey } from "./score-cache.js";
import type { Value } from "./taxonomy.js";

const scoreSchema = z.number().min(0).max(1);
const namesSchema = z.array(z.string());
const sidesOf = <T extends z.ZodType>(schema: T) => z.object({ chosen: schema, rejected: schema });

const rowSchema = z
  .looseObject({
    id: z.string().optional(),
    side: z.enum(["chosen", "rejected"]).optional(),
    response: z.string().optional(),
    prompt: promptSchema.optional(),
    values: z.union([namesSchema, z.string(), sidesOf(namesSchema)]).optional(),
    scores: z.union([sidesOf(z.record(z.string(), scoreSchema)), z.record(z.string(), scoreSchema)]).optional(),
    value: z.string().optional(),
    label: z.union([z.number(), z.boolean(), z.string()]).optional(),
  })
  .refine((row) => row.id !== undefined || row.response !== undefined, { message: "needs id or response" })
  .refine((row) => row.label === undefined || row.value !== undefined, { message: "label needs value beside it" });
type Row = z.infer<typeof rowSchema>;

/** Sums and numbers of labels, by value. */
type Votes = Map<string, { sum: number; count: number }>;

export interface FileLabelsOptions {
  signal?: AbortSignal | undefined;
  onNote?: ((message: string) => void) | undefined;
}

/**
 * @throws FileError, or DataFormatError naming file, line and field
 * @throws UsageError where no row names any of the values
 */
export async function openFileLabels(
  path: string,
  values: readonly Value[],
  { signal, onNote }: FileLabelsOptions = {},
): Promise<Extractor> {
  const known = new Set(values.map(({ name }) => name));
  const labels = new Map<string, Votes>();
  const foreign = new Set<string>();
  const seen = new Set<string>();
  for await (const record of readRecords(path, { signal })) {
    for (const [key, scores] of readRow(record, known)) {
      const votes: Votes = labels.get(key) ?? new Map();
      labels.set(key, votes);
      for (const [name, score] of Object.entries(scores)) {
        if (!known.has(name)) {
          foreign.add(name);
          continue;
        }
        seen.add(name);
        const vote = votes.get(name) ?? { sum: 0, count: 0 };
        votes.set(name, { sum: vote.sum + score, count: vote.count + 1 });
      }
    }
  }
  if (seen.size === 0)
    throw new UsageError(`--labels: ${path} names none of the values that are looked for: ${[...known].join(", ")}`);
  if (foreign.size > 0) onNote?.(`${path}: labels passed over, as they are not looked for: ${list(foreign)}`);
  return {
    name: "file@1",
    settings: { labels: await sha256File(path, signal === undefined ? {} : { signal }) },
    values: [...known],
    threshold: 0.5,
    cached: false,
    batchSize: 256,
    concurrency: 1,
    async score(batch, asked) {
      return batch.map((exchange) => {
        const votes = keysOf(exchange)
          .map((key) => labels.get(key))
          .find((found) => found !== undefined);
        if (votes === undefined)
          return new DataFormatError(
            `pair "${exchange.pair.id}": ${path} has no label for its ${exchange.side} response; add one, or leave such pairs out with --on-error skip`,
          );
        return meansOf(votes, asked);
      });
    },
    async dispose() {},
  };
}

/** Whom a row labels (by key), and with what. */
function readRow({ value, where }: DataRecord, known: ReadonlySet<string>): [string, Scores][] {
  const row: Row = parseRecord(rowSchema, value, where);
  if (isBothSides(row.values) || isBothSides(row.scores)) {
    if (row.id === undefined) throw new DataFormatError(`${where}: labels of both sides need an id`);
    const sides: Side[] = ["chosen", "rejected"];
    return sides.map((side) => [sideKey(row.id!, side), scoresOfRow(row, side, known, where)]);
  }
  const scores = scoresOfRow(row, null, known, where);
  if (Object.keys(scores).length === 0 && row.values === undefined && row.scores === undefined)
    throw new DataFormatError(`${where}: needs values, scores, value and label, or a column for a value`);
  if (row.id === undefined) {
    const { prompt, response = "" } = row;
    return [[prompt === undefined ? textKey(response) : responseKey({ prompt, response }), scores]];
  }
  if (row.side === undefined) throw new DataFormatError(`${where}: an id needs a side: chosen or rejected`);
  return [[sideKey(row.id, row.side), scores]];
}

/** Scores where there are any; else a listed name is 1, and what is looked for and not listed is 0. */
function scoresOfRow(row: Row, side: Side | null, known: ReadonlySet<string>, where: string): Scores {
  const given = side !== null && isBothSides(row.scores) ? row.scores[side] : side === null ? row.scores : undefined;
  if (given !== undefined) return given as Scores;
  const names = side !== null && isBothSides(row.values) ? row.values[side] : side === null ? row.values : undefined;
  if (names !== undefined) return fromNames(namesOf(names as string | string[]), known);
  if (row.value !== undefined && row.label !== undefined)
    return { [row.value]: readLabel(row.label, `${where}: label`) };
  const scores: Scores = {};
  for (const name of known) {
    const cell = row[name];
    if (cell !== undefined && cell !== "") scores[name] = readLabel(cell, `${where}: ${name}`);
  }
  return scores;
}

function fromNames(names: readonly string[], known: ReadonlySet<string>): Scores {
  return Object.fromEntries([...[...known].map((name) => [name, 0]), ...names.map((name) => [name, 1])]);
}

/** A cell of CSV holds several names with ";" or "," between them. */
export function namesOf(names: string | string[]): string[] {
  if (typeof names !== "string") return names;
  return names
    .split(/[;,]/)
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

const WORDS: Record<string, number> = { true: 1, yes: 1, false: 0, no: 0 };

/**
 * A label as people write it, from 0 to 1.
 *
 * @throws DataFormatError naming `where`
 */
export function readLabel(label: unknown, where: string): number {
  const text = String(label).trim().toLowerCase();
  const score = WORDS[text] ?? (text === "" ? Number.NaN : Number(text));
  if (score >= 0 && score <= 1) return score;
  throw new DataFormatError(`${where} has to be a number from 0 to 1, true, false, yes or no, not "${text}"`);
}

function isBothSides<T>(labels: T): labels is Extract<T, { chosen: unknown; rejected: unknown }> {
  return typeof labels === "object" && labels !== null && "chosen" in labels && "rejected" in labels;
}

function meansOf(votes: Votes, asked: readonly Value[]): Scores {
  const scores: Scores = {};
  for (const { name } of asked) {
    const vote = votes.get(name);
    if (vote !== undefined && vote.sum > 0) scores[name] = vote.sum / vote.count;
  }
  return scores;
}

/** Under what a response may be labelled, the most particular first. */
function keysOf({ pair, side, prompt, response }: Exchange): string[] {
  return [sideKey(pair.id, side), responseKey({ prompt, response }), textKey(response)];
}

function sideKey(id: string, side: Side): string {
  return `${side} ${id}`;
}

function textKey(response: string): string {
  return responseKey({ prompt: "", response });
}

function list(names: ReadonlySet<string>): string {
  const shown = [...names].slice(0, 8).join(", ");
  return names.size > 8 ? `${shown}, …` : shown;
}
