/**
 * HelpSteer2 (Wang et al. 2024): one response a row, rated from 0 to 4 in five ways; two rows that follow each other share
 * a prompt and make a pair. `helpsteerRating` says which rating decides. In prompts of several turns these are opened by
 * "<extra_id_1>Assistant" and "<extra_id_1>User"; they become messages.
 *
 * Dropped: equal ratings; a row whose neighbour has another prompt; empty or equal answers. All ratings stay in `origin`.
 */
import { z } from "zod";
import { parseRecord, prepareOrSkip } from "../../engine/requests.js";
import type { PreferencePair } from "../pairs.js";
import {
  EQUAL_RATINGS,
  finishPair,
  type Message,
  type PairContext,
  type PairFormat,
  ratingSchema,
  userMessage,
} from "./format.js";
import { HELPSTEER_RATINGS } from "./options.js";

const rating = ratingSchema.refine((value) => value !== null, { message: "has to be a number" });
const schema = z.looseObject({
  prompt: z.string(),
  response: z.string(),
  helpfulness: rating,
  correctness: rating,
  coherence: rating,
  complexity: rating,
  verbosity: rating,
});

interface Row {
  row: z.infer<typeof schema>;
  index: number;
  where: string;
}

const NAME = "helpsteer2";
const ALONE = "whose prompt has one response only";

export const helpsteer2: PairFormat = {
  name: NAME,
  layout: "prompt, response, helpfulness, correctness, coherence, complexity, verbosity; two rows a prompt",
  recognises: (record) => schema.safeParse(record).success,
  async *pairs(records, context) {
    let waiting: Row | null = null;
    for await (const { value, where } of records) {
      const index = context.nextIndex();
      const row = prepareOrSkip(context, () => parseRecord(schema, value, where));
      if (row === null) continue;
      const next: Row = { row, index, where };
      if (waiting === null) {
        waiting = next;
      } else if (waiting.row.prompt === row.prompt) {
        const pair = compare(waiting, next, context);
        waiting = null;
        if (pair !== null) yield pair;
      } else {
        context.onDrop({ reason: ALONE, where: waiting.where });
        waiting = next;
      }
    }
    if (waiting !== null) context.onDrop({ reason: ALONE, where: waiting.where });
  },
};

function compare(first: Row, second: Row, context: PairContext): PreferencePair | null {
  const by = context.helpsteerRating ?? "helpfulness";
  const difference = (first.row[by] as number) - (second.row[by] as number);
  const [chosen, rejected] = difference > 0 ? [first.row, second.row] : [second.row, first.row];
  return finishPair(
    difference === 0
      ? { drop: EQUAL_RATINGS }
      : {
          prompt: splitTurns(first.row.prompt),
          chosen: chosen.response,
          rejected: rejected.response,
          origin: { chosen: ratingsOf(chosen), rejected: ratingsOf(rejected) },
        },
    { id: `${NAME}:${first.index}`, source: NAME, where: first.where },
    context,
  );
}

function ratingsOf(row: Row["row"]): Record<string, unknown> {
  return Object.fromEntries(HELPSTEER_RATINGS.map((name) => [name, row[name]]));
}

function splitTurns(prompt: string): Message[] {
  const [first = "", ...parts] = prompt.split(/\n?<extra_id_1>(Assistant|User)\n/);
  const messages = userMessage(first);
  for (let at = 0; at < parts.length; at += 2) {
    messages.push({ role: parts[at] === "User" ? "user" : "assistant", content: parts[at + 1] as string });
  }
  return messages;
}
