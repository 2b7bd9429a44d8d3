/** Score requests and generation prompts, as the contract has them: checked at the door, typed afterwards. */
import { z } from "zod";
import { DataFormatError, UsageError, ValoraError } from "../errors.js";
import { describeIssue } from "../files/describe-issue.js";

const messageSchema = z.looseObject({ role: z.string(), content: z.string() });
/** Raw text, used as it stands, or messages for the chat template. */
export const promptSchema = z.union([z.string(), z.array(messageSchema).min(1)]);
export const tokensSchema = z.array(z.int().nonnegative());

export const scoreRequestSchema = z
  .looseObject({
    id: z.string(),
    context: promptSchema.optional(),
    context_tokens: tokensSchema.min(1).optional(),
    completions: z.array(z.string()).min(1).optional(),
    completions_tokens: z.array(tokensSchema).min(1).optional(),
  })
  .refine((request) => (request.context_tokens !== undefined) === (request.completions_tokens !== undefined), {
    message: "context_tokens and completions_tokens belong together",
  })
  .refine(
    (request) =>
      request.context_tokens !== undefined || (request.context !== undefined && request.completions !== undefined),
    { message: "needs context and completions, or context_tokens and completions_tokens" },
  );

export const generationPromptSchema = z
  .looseObject({
    id: z.string(),
    prompt: promptSchema.optional(),
    prompt_tokens: tokensSchema.min(1).optional(),
  })
  .refine((prompt) => prompt.prompt !== undefined || prompt.prompt_tokens !== undefined, {
    message: "needs prompt or prompt_tokens",
  });

export const embedRequestSchema = z
  .looseObject({
    id: z.string(),
    prompt: promptSchema.optional(),
    prompt_tokens: tokensSchema.min(1).optional(),
    response: z.string().optional(),
    response_tokens: tokensSchema.min(1).optional(),
  })
  .refine((request) => request.response !== undefined || request.response_tokens !== undefined, {
    message: "needs response or response_tokens",
  });

interface Message {
  role: string;
  content: string;
}

/** Text (`context`, `completions`) or tokens (`context_tokens`, `completions_tokens`); tokens win. */
export interface ScoreRequest {
  id: string;
  context?: string | Message[];
  completions?: string[];
  context_tokens?: number[];
  completions_tokens?: number[][];
}

/** Text or messages (`prompt`), or tokens (`prompt_tokens`); tokens win. */
export interface GenerationPrompt {
  id: string;
  prompt?: string | Message[];
  prompt_tokens?: number[];
}

/** Text (`prompt`, `response`) or tokens (`prompt_tokens`, `response_tokens`); tokens win. No prompt is a start token. */
export interface EmbedRequest {
  id: string;
  prompt?: string | Message[];
  response?: string;
  prompt_tokens?: number[];
  response_tokens?: number[];
}

/**
 * @param what names the record in an error: `score request 3`
 * @throws DataFormatError naming the field at fault
 */
export function parseRecord<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new DataFormatError(`${what}: ${describeIssue(parsed.error)}`);
}

/** What happens to a request or prompt that cannot be used: "fail" throws, "skip" leaves it out. */
export interface ItemErrorOptions {
  /** Default "fail". */
  onError?: "fail" | "skip";
  /** Told why an item was left out. */
  onSkip?: (message: string) => void;
}

/** What `prepare` makes of an item, or null where it was left out. Wrong usage is never skipped. */
export function prepareOrSkip<T>(options: ItemErrorOptions, prepare: () => T): T | null {
  try {
    return prepare();
  } catch (error) {
    if (options.onError !== "skip" || !(error instanceof ValoraError) || error instanceof UsageError) throw error;
    options.onSkip?.(error.message);
    return null;
  }
}

/** @throws DataFormatError naming `what` and a token outside the vocabulary */
export function checkTokens(tokens: readonly number[], vocabulary: number, what: string): void {
  for (const token of tokens) {
    if (token >= vocabulary) {
      throw new DataFormatError(`${what}: token ${token} is outside the model's vocabulary of ${vocabulary}`);
    }
  }
}
