/**
 * TRL's preference formats (its documentation, "Dataset formats"):
 *
 *     prompt, chosen, rejected: texts                       standard: raw text, used as it stands
 *     chosen, rejected: texts                               the same with an implicit prompt: what both begin with
 *     prompt, chosen, rejected: lists of messages           conversational
 *     chosen, rejected: lists of messages                   the same with an implicit prompt
 *
 * An implicit prompt of texts ends before the last space that both share, as TRL's `extract_prompt` has it. A prompt that
 * is a text beside answers that are messages is the user's message.
 *
 * Dropped: dialogues that differ before the last answer, or do not end with the assistant; without a prompt; empty or
 * equal answers.
 */
import { z } from "zod";
import { type Comparison, defineRowFormat } from "./format.js";
import { compareMessages, messagesSchema } from "./messages.js";

const textSchema = z.looseObject({ prompt: z.string().optional(), chosen: z.string(), rejected: z.string() });
const messageSchema = z.looseObject({
  prompt: z.union([z.string(), messagesSchema]).optional(),
  chosen: messagesSchema,
  rejected: messagesSchema,
});
type Texts = z.infer<typeof textSchema>;
type Messages = z.infer<typeof messageSchema>;

export const trl = defineRowFormat({
  name: "trl",
  prefix: "trl",
  layout: "chosen, rejected and maybe prompt: texts or lists of {role, content}",
  schema: (record): z.ZodType<Texts | Messages> => (Array.isArray(record.chosen) ? messageSchema : textSchema),
  compare: (row) => (isText(row) ? compareTexts(row) : compareMessages(row.prompt, row.chosen, row.rejected)),
});

function isText(row: Texts | Messages): row is Texts {
  return typeof row.chosen === "string";
}

function compareTexts({ prompt, chosen, rejected }: Texts): Comparison {
  if (prompt !== undefined) return { prompt, chosen, rejected };
  let shared = 0;
  while (shared < Math.min(chosen.length, rejected.length) && chosen[shared] === rejected[shared]) shared++;
  // Half of a character outside the basic plane is none.
  if (/[\ud800-\udbff]/.test(chosen[shared - 1] ?? "")) shared--;
  if (chosen[shared - 1] === " ") shared--;
  return { prompt: chosen.slice(0, shared), chosen: chosen.slice(shared), rejected: rejected.slice(shared) };
}
