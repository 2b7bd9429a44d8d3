/**
 * Readers of the input lines beside preference pairs: score requests, generation prompts, and texts to tokenize. Each
 * line is checked before it is used; a bad one is an error that names file and line, or is left out.
 */
import { z } from "zod";
import {
  type GenerationPrompt,
  generationPromptSchema,
  type ItemErrorOptions,
  parseRecord,
  prepareOrSkip,
  promptSchema,
  type ScoreRequest,
  scoreRequestSchema,
} from "../engine/requests.js";
import { readJsonLines } from "../files/json-lines.js";

const textLineSchema = z
  .looseObject({ id: z.string(), text: z.string().optional(), messages: promptSchema.options[1].optional() })
  .refine((line) => (line.text === undefined) !== (line.messages === undefined), { message: "needs text or messages" });

/** A text as it stands, or messages for the chat template. */
export type TextLine = z.infer<typeof textLineSchema>;

/**
 * `{"id", "context", "completions"}` (or the same in tokens) from a JSON Lines file, `.gz` or not, or from standard input
 * where `path` is "-".
 *
 * @throws DataFormatError naming file, line and field, unless such lines are to be skipped
 * @throws FileError
 */
export function readScoreRequests(path: string, options?: ItemErrorOptions): AsyncGenerator<ScoreRequest> {
  return readChecked(path, scoreRequestSchema as z.ZodType<ScoreRequest>, options);
}

/** `{"id", "prompt"}` or `{"id", "prompt_tokens"}`; otherwise as `readScoreRequests`. */
export function readGenerationPrompts(path: string, options?: ItemErrorOptions): AsyncGenerator<GenerationPrompt> {
  return readChecked(path, generationPromptSchema as z.ZodType<GenerationPrompt>, options);
}

/** `{"id", "text"}` or `{"id", "messages"}`; otherwise as `readScoreRequests`. */
export function readTexts(path: string, options?: ItemErrorOptions): AsyncGenerator<TextLine> {
  return readChecked(path, textLineSchema, options);
}

async function* readChecked<T>(path: string, schema: z.ZodType<T>, options: ItemErrorOptions = {}): AsyncGenerator<T> {
  const where = path === "-" ? "standard input" : path;
  for await (const { value, line } of readJsonLines(path, options)) {
    const checked = prepareOrSkip(options, () => parseRecord(schema, value, `${where}, line ${line}`));
    if (checked !== null) yield checked;
  }
}
