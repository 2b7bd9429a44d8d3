/**
 * From what people write to token ids: raw text and chat messages as contexts, and responses that end
 * with their end-of-turn token. BOS is put in front where the tokenizer asks for it, and never twice.
 */
import { DataFormatError, UsageError } from "../errors.js";
import type { ChatTemplate, Message } from "../models/chat-template.js";
import type { Tokenizer } from "../models/tokenizer.js";

/** The part of a model that text needs; tests stand in for it. */
export interface TextModel {
  tokenizer: Pick<Tokenizer, "encode" | "decode" | "bosId" | "eosIds" | "addBos"> | null;
  chatTemplate: Pick<ChatTemplate, "render"> | null;
}

export type Prompt = string | Message[];

/** @throws UsageError where the model has no tokenizer */
export function requireTokenizer(model: TextModel): NonNullable<TextModel["tokenizer"]> {
  if (model.tokenizer === null) {
    throw new UsageError(
      "this model has no tokenizer, so text cannot be used; give tokens (prompt_tokens, context_tokens, …) instead",
    );
  }
  return model.tokenizer;
}

/** @throws UsageError where the model has no chat template */
export function renderMessages(model: TextModel, messages: Message[], addGenerationPrompt: boolean): string {
  if (model.chatTemplate === null) {
    throw new UsageError("this model has no chat template, so messages cannot be used; give one with --chat-template");
  }
  return model.chatTemplate.render(messages, { addGenerationPrompt });
}

/** The text that a prompt stands for: itself, or its messages through the chat template with the generation prompt. */
export function promptText(model: TextModel, prompt: Prompt): string {
  return typeof prompt === "string" ? prompt : renderMessages(model, prompt, true);
}

/** Tokens of a text that begins a sequence: BOS in front where the tokenizer adds it and the text has not got it. */
export function encodeStart(model: TextModel, text: string): number[] {
  const tokenizer = requireTokenizer(model);
  const ids = tokenizer.encode(text);
  if (tokenizer.addBos && tokenizer.bosId !== null && ids[0] !== tokenizer.bosId) return [tokenizer.bosId, ...ids];
  return ids;
}

export function encodePrompt(model: TextModel, prompt: Prompt): number[] {
  return encodeStart(model, promptText(model, prompt));
}

/** What stands before the first token where there is no context: BOS, else EOS. */
export function startToken(model: TextModel): number {
  const tokenizer = requireTokenizer(model);
  const token = tokenizer.bosId ?? tokenizer.eosIds[0];
  if (token === undefined) {
    throw new DataFormatError("an empty context needs a BOS or EOS token in front, and this tokenizer has neither");
  }
  return token;
}

const MARK = "\u2042mark\u2042";

/**
 * The token that ends an assistant's turn: the first special token that the chat template writes after
 * an assistant's message (`<|im_end|>`, `<|eot_id|>`, …), where that is one of the tokenizer's end
 * tokens or there is no other; else the first end token. Null where there is neither.
 */
export function endOfTurn(model: TextModel): number | null {
  const { tokenizer, chatTemplate } = model;
  if (tokenizer === null) return null;
  if (chatTemplate !== null) {
    const messages = [
      { role: "user", content: "?" },
      { role: "assistant", content: MARK },
    ];
    const rendered = chatTemplate.render(messages, { addGenerationPrompt: false });
    const at = rendered.lastIndexOf(MARK);
    const after = at < 0 ? "" : rendered.slice(at + MARK.length).trim();
    const first = after === "" ? undefined : tokenizer.encode(after)[0];
    if (first !== undefined) {
      if (tokenizer.eosIds.includes(first)) return first;
      // A special token is one token whose text does not come apart: "<|end|>", not "<".
      const text = tokenizer.decode([first]);
      if (/^<.+>$/.test(text) && after.startsWith(text)) return first;
    }
  }
  return tokenizer.eosIds[0] ?? null;
}

/** Tokens that end a continuation: every end token and the template's end of turn. */
export function stopTokens(model: TextModel): number[] {
  const turn = endOfTurn(model);
  return [...new Set([...(model.tokenizer?.eosIds ?? []), ...(turn === null ? [] : [turn])])];
}

/**
 * Tokens of a response that is trained on: the text, then its end-of-turn token exactly once and nothing
 * after, also where the data brings that token along, with or without white space behind it.
 *
 * @throws UsageError where the model has no end token
 */
export function encodeResponse(model: TextModel, text: string, end: number | null): number[] {
  const tokenizer = requireTokenizer(model);
  if (end === null) {
    throw new UsageError(
      "this tokenizer has no end token for a response to end with; give chosen_tokens and rejected_tokens",
    );
  }
  const mark = tokenizer.decode([end]);
  let body = text;
  while (mark !== "" && body.trimEnd().endsWith(mark)) body = body.trimEnd().slice(0, -mark.length);
  return [...tokenizer.encode(body), end];
}
