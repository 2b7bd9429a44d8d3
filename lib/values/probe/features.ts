/**
 * What a probe reads of a response: the mean of the model's hidden states over its tokens, after the prompt as the model
 * would have been asked it. A prompt of raw text is put through the chat template as a user's message, where there is one.
 */
import type { EmbedRequest } from "../../engine/embed.js";
import type { Prompt, TextModel } from "../../engine/encode.js";

/** Goes into cache keys: says under which words hidden states were made. */
export const WORDING = {
  /** Of a model without a chat template. */
  turn: (role: string, content: string): string => `${role}: ${content}\n`,
  answer: "assistant: ",
  between: "\n\n",
} as const;

export function embedRequestOf(model: TextModel, id: string, prompt: Prompt, response: string): EmbedRequest {
  return { id, prompt: promptOf(model, prompt), response };
}

function promptOf(model: TextModel, prompt: Prompt): Prompt {
  if (typeof prompt !== "string") {
    if (model.chatTemplate !== null) return prompt;
    return prompt.map(({ role, content }) => WORDING.turn(role, content)).join("") + WORDING.answer;
  }
  if (prompt === "") return "";
  return model.chatTemplate === null ? prompt + WORDING.between : [{ role: "user", content: prompt }];
}
