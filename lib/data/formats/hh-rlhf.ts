/**
 * Anthropic's HH-RLHF (Bai et al. 2022): two whole dialogues as texts, turns opened by "\n\nHuman:" and "\n\nAssistant:",
 * that share everything but the assistant's last answer. The shared dialogue becomes the prompt's messages.
 *
 * Dropped: dialogues that differ before the last answer; that do not begin with the human, do not end with the assistant,
 * or whose turns do not alternate (a model that spoke for the human, markers within a text); empty or equal answers.
 */
import { z } from "zod";
import { defineRowFormat, type Message } from "./format.js";

const TURN = /\n\n(Human|Assistant):/;
const START = /^\s*Human:/;

export const hhRlhf = defineRowFormat({
  name: "hh-rlhf",
  prefix: "hh",
  layout: 'chosen, rejected: dialogues with "\\n\\nHuman:" and "\\n\\nAssistant:"',
  schema: z.looseObject({ chosen: z.string(), rejected: z.string() }),
  recognises: ({ chosen, rejected, prompt }) =>
    prompt === undefined &&
    [chosen, rejected].every((text) => typeof text === "string" && START.test(text) && /\n\nAssistant:/.test(text)),
  compare(row) {
    const chosen = splitDialogue(row.chosen);
    const rejected = splitDialogue(row.rejected);
    for (const dialogue of [chosen, rejected]) if (typeof dialogue === "string") return { drop: dialogue };
    const [[prompt, answer], [otherPrompt, otherAnswer]] = [chosen as Dialogue, rejected as Dialogue];
    if (!isSame(prompt, otherPrompt)) return { drop: "whose dialogues differ before the last answer" };
    return { prompt, chosen: answer, rejected: otherAnswer };
  },
});

/** Everything before the last answer, and the last answer. */
type Dialogue = [Message[], string];

/** White space around a turn is left out. @returns a reason where it is no dialogue */
function splitDialogue(text: string): Dialogue | string {
  // Text before the first turn, then speakers and texts by turns.
  const [before = "", ...parts] = `\n\n${text.trimStart()}`.split(TURN);
  if (before.trim() !== "" || parts[0] !== "Human") return "whose dialogue does not begin with the human";
  const messages: Message[] = [];
  for (let at = 0; at < parts.length; at += 2) {
    if (parts[at] !== (at % 4 === 0 ? "Human" : "Assistant")) return "whose turns do not alternate";
    messages.push({ role: at % 4 === 0 ? "user" : "assistant", content: (parts[at + 1] as string).trim() });
  }
  const answer = messages.pop() as Message;
  return answer.role === "assistant" ? [messages, answer.content] : "whose dialogue does not end with the assistant";
}

function isSame(a: readonly Message[], b: readonly Message[]): boolean {
  return a.length === b.length && a.every(({ content }, index) => content === b[index]?.content);
}
