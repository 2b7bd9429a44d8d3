/** Preference pairs, the one shape that every data source is brought into (contract: "Preference pair"). */
import { z } from "zod";
import { type ItemErrorOptions, parseRecord, prepareOrSkip, promptSchema, tokensSchema } from "../engine/requests.js";
import { readJsonLines } from "../files/json-lines.js";

const valuesSchema = z.object({ chosen: z.array(z.string()), rejected: z.array(z.string()) });
const scoresSchema = z.object({
  chosen: z.record(z.string(), z.number()),
  rejected: z.record(z.string(), z.number()),
});

export const preferencePairSchema = z
  .looseObject({
    id: z.string(),
    source: z.string().optional(),
    prompt: promptSchema.optional(),
    chosen: z.string().optional(),
    rejected: z.string().optional(),
    prompt_tokens: tokensSchema.min(1).optional(),
    chosen_tokens: tokensSchema.min(1).optional(),
    rejected_tokens: tokensSchema.min(1).optional(),
    values: valuesSchema.optional(),
    scores: scoresSchema.optional(),
    extractor: z.string().optional(),
    value: z.string().optional(),
    flipped: z.boolean().optional(),
  })
  .refine((pair) => pair.prompt !== undefined || pair.prompt_tokens !== undefined, {
    message: "needs prompt or prompt_tokens",
  })
  .refine((pair) => pair.chosen !== undefined || pair.chosen_tokens !== undefined, {
    message: "needs chosen or chosen_tokens",
  })
  .refine((pair) => pair.rejected !== undefined || pair.rejected_tokens !== undefined, {
    message: "needs rejected or rejected_tokens",
  });

/** Fields that valora does not know are kept. Tokens win over text where a pair has both. */
export type PreferencePair = z.input<typeof preferencePairSchema>;

/** @throws DataFormatError naming `what` and the field at fault */
export function parsePair(value: unknown, what: string): PreferencePair {
  return parseRecord(preferencePairSchema, value, what);
}

/**
 * Pairs of a JSON Lines file (`.gz` or not), or of standard input where `path` is "-".
 *
 * @throws DataFormatError naming file, line and field, unless such lines are to be skipped
 */
export async function* readPairs(path: string, options: ItemErrorOptions = {}): AsyncGenerator<PreferencePair> {
  for await (const { value, line } of readJsonLines(path, options)) {
    const pair = prepareOrSkip(options, () =>
      parsePair(value, `${path === "-" ? "standard input" : path}, line ${line}`),
    );
    if (pair !== null) yield pair;
  }
}
