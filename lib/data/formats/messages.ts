/** Answers that are lists of messages: what they share is the prompt, and the last one is the answer. */
import { z } from "zod";
import { type Comparison, type Drop, type Message, userMessage } from "./format.js";

export const messagesSchema = z.array(z.looseObject({ role: z.string(), content: z.string() })).min(1);

/**
 * The prompt is `prompt` and whatever messages both answers begin with. Each answer has to end there in one message of
 * the assistant: a pair compares one answer with another.
 *
 * @param prompt a text is the user's message, or only repeats it where the answers begin with messages of their own
 */
export function compareMessages(
  prompt: string | readonly Message[] | undefined,
  chosen: readonly Message[],
  rejected: readonly Message[],
): Comparison | Drop {
  let shared = 0;
  // The last message is the answer even where both say the same.
  while (shared < Math.min(chosen.length, rejected.length) - 1 && isSame(chosen[shared], rejected[shared])) shared++;
  const [answer, otherAnswer] = [chosen.at(-1) as Message, rejected.at(-1) as Message];
  if (shared !== chosen.length - 1 || shared !== rejected.length - 1)
    return { drop: "whose dialogues differ before the last answer" };
  if (answer.role !== "assistant" || otherAnswer.role !== "assistant")
    return { drop: "whose dialogue does not end with the assistant" };
  const common = chosen.slice(0, shared);
  const messages =
    typeof prompt === "string" ? (shared > 0 ? common : userMessage(prompt)) : [...(prompt ?? []), ...common];
  return {
    prompt: messages.map(({ role, content }) => ({ role, content })),
    chosen: answer.content,
    rejected: otherAnswer.content,
  };
}

function isSame(a: Message | undefined, b: Message | undefined): boolean {
  return a?.role === b?.role && a?.content === b?.content;
}
