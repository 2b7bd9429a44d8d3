/**
 * Anthropic's persona statements as preference pairs (Perez et al. 2022, arXiv:2212.09251; github.com/anthropics/evals,
 * folder persona/): a value whose labels are its authors', so that no extractor stands between truth and measure.
 *
 * Statements are split by a hash of their text alone, so that one that several traits share is on the same side in all.
 * Within a trait, one whose set of words overlaps an earlier statement's by 0.6 (Jaccard) or more is left out: what is
 * held out is no rewording of what trains.
 */
import { join } from "node:path";
import { z } from "zod";
import { drawFor, PURPOSE } from "../../curation/draw.js";
import { compareText, textKey } from "../../curation/text.js";
import type { PreferencePair } from "../../data/pairs.js";
import { parseRecord } from "../../engine/requests.js";
import { DataFormatError } from "../../errors.js";
import { readJsonLines } from "../../files/json-lines.js";
import type { SourceOf } from "../schema.js";

const statementSchema = z.looseObject({
  question: z.string().min(1),
  statement: z.string().min(1),
  label_confidence: z.number().optional(),
  answer_matching_behavior: z.string().min(1),
  answer_not_matching_behavior: z.string().min(1),
});

interface Statement extends z.infer<typeof statementSchema> {
  line: number;
  /** Whether somebody with the trait would say it. */
  matching: boolean;
  words: Set<number>;
  length: number;
  draw: number;
  heldOut: boolean;
}

export interface PersonaPairs {
  train: PreferencePair[];
  heldOut: PreferencePair[];
}

const MAX_OVERLAP = 0.6;
const PROMPT = "Write one statement that describes you.";

/**
 * @throws FileError where the trait has no file
 * @throws DataFormatError naming file, line and field, or a trait without pairs on one side of the split
 */
export async function readPersona(
  source: SourceOf<"persona">,
  trait: string,
  options: { seed: number; trainPairs: number | undefined; heldOutPairs: number; isTrained: boolean },
): Promise<PersonaPairs> {
  const path = join(source.folder, `${trait}.jsonl`);
  const statements = await readStatements(path, source, options.seed);
  const of = (heldOut: boolean, count: number | undefined): PreferencePair[] => {
    const part = statements.filter((statement) => statement.heldOut === heldOut);
    const pairs = source.form === "answers" ? answersOf(trait, part) : statementsOf(trait, part);
    if (pairs.length > 0 || (!heldOut && !options.isTrained)) return pairs.slice(0, count);
    const share = heldOut ? "is held out" : "is left to train on";
    throw new DataFormatError(
      `${path}: of ${statements.length} statements labelled with a confidence of ${source["min-confidence"]} or more none ${share}; lower min-confidence, or change held-out`,
    );
  };
  return { train: of(false, options.trainPairs), heldOut: of(true, options.heldOutPairs) };
}

/** In the order of their draws, near-duplicates left out. */
async function readStatements(path: string, source: SourceOf<"persona">, seed: number): Promise<Statement[]> {
  const rows: Statement[] = [];
  for await (const { value, line } of readJsonLines(path)) {
    const row = parseRecord(statementSchema, value, `${path}, line ${line}`);
    if ((row.label_confidence ?? 1) < source["min-confidence"]) continue;
    const { normal, words } = compareText(row.statement);
    const key = textKey(normal);
    rows.push({
      ...row,
      line,
      matching: row.answer_matching_behavior.trim() === "Yes",
      words: new Set(words),
      length: words.length,
      draw: drawFor(key, { seed, purpose: PURPOSE.sample }),
      heldOut: drawFor(key, { seed, purpose: PURPOSE.split }) < source["held-out"],
    });
  }
  rows.sort((left, right) => left.draw - right.draw || left.line - right.line);
  const kept: Statement[] = [];
  for (const row of rows) if (kept.every(({ words }) => overlap(words, row.words) < MAX_OVERLAP)) kept.push(row);
  return kept;
}

/** Jaccard similarity of two sets of words. */
function overlap(left: Set<number>, right: Set<number>): number {
  let shared = 0;
  for (const word of left) if (right.has(word)) shared++;
  return shared / (left.size + right.size - shared);
}

/** The question about a statement, and the answer of somebody with the trait against the other answer. */
function answersOf(trait: string, statements: readonly Statement[]): PreferencePair[] {
  return statements.map((statement) => ({
    ...labelsOf(trait),
    id: `${trait}:${statement.line}`,
    prompt: [{ role: "user", content: statement.question }],
    chosen: statement.answer_matching_behavior.trim(),
    rejected: statement.answer_not_matching_behavior.trim(),
  }));
}

/**
 * A matching statement against one that is not, of the nearest length in words among those still free, so that length
 * alone tells no pair apart.
 */
function statementsOf(trait: string, statements: readonly Statement[]): PreferencePair[] {
  const free = statements.filter(({ matching }) => !matching);
  return statements
    .filter(({ matching }) => matching)
    .slice(0, free.length)
    .map((chosen) => {
      const gaps = free.map(({ length }) => Math.abs(length - chosen.length));
      const [partner] = free.splice(gaps.indexOf(Math.min(...gaps)), 1);
      return {
        ...labelsOf(trait),
        id: `${trait}:${chosen.line}:${partner!.line}`,
        prompt: [{ role: "user", content: PROMPT }],
        chosen: chosen.statement.trim(),
        rejected: partner!.statement.trim(),
      };
    });
}

function labelsOf(trait: string) {
  return {
    source: "anthropic-evals-persona",
    values: { chosen: [trait], rejected: [] },
    value: trait,
    flipped: false,
  };
}
