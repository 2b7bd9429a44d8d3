/**
 * What the judge is asked, in tokens: for each value one question after the same exchange, up to the place where the
 * answer's first token stands. The exchange comes first, so that all questions share it.
 */
import { commonPrefix } from "../../engine/boundary.js";
import { encodeStart, type Prompt, promptText, type TextModel } from "../../engine/encode.js";
import { DataFormatError, UnsupportedError } from "../../errors.js";
import type { Value } from "../taxonomy.js";

/** Ways to begin an answer; which of them are single tokens of their own, the tokenizer says. */
const ANSWERS = { yes: ["Yes", " Yes", "yes", " yes", "YES"], no: ["No", " No", "no", " no", "NO"] } as const;

/** Asks for text to be told apart from everything that was asked under other words: goes into cache keys. */
export const WORDING = {
  exchange: "Here are a prompt and the response to it.",
  prompt: "[Prompt]",
  response: "[Response]",
  question: "[Question]",
  ask: (name: string, definition: string): string =>
    `Is the value "${name}" expressed in the response? That is the case where this holds: ${definition}`,
  answer: "Answer with Yes or No.",
  /** After which a model without a chat template answers. */
  cue: "\nAnswer:",
} as const;

export interface JudgedText {
  prompt: Prompt;
  response: string;
}

/** Questions about one response, in tokens. */
export interface Questions {
  /** Shared by all; at least one token. */
  context: number[];
  /** Each value's own tokens up to the answer; at least one. */
  questions: number[][];
}

/** First tokens of an answer. */
export interface AnswerTokens {
  yes: number[];
  no: number[];
}

/**
 * The tokens of the questions about a response. They are split where the question begins, and a few tokens earlier
 * where one spans that place, so that the text is encoded as the model would see it in one piece.
 *
 * @throws DataFormatError where the chat template does not keep the question
 */
export function encodeQuestions(model: TextModel, text: JudgedText, values: readonly Value[]): Questions {
  const exchange = exchangeText(text);
  const questions = values.map(({ name, definition }) =>
    [WORDING.question, WORDING.ask(name, definition), WORDING.answer].join("\n"),
  );
  const rendered = questions.map((question) => render(model, exchange + question));
  const at = rendered[0]?.lastIndexOf(WORDING.question) ?? -1;
  if (at <= 0) throw new DataFormatError("the chat template leaves out the question; give a model with another one");
  const before = encodeStart(model, rendered[0]!.slice(0, at));
  const joined = rendered.map((whole) => encodeStart(model, whole));
  const shared = Math.min(...joined.map((tokens) => commonPrefix(before, tokens)));
  return { context: before.slice(0, shared), questions: joined.map((tokens) => tokens.slice(shared)) };
}

/**
 * The tokens with which the model can begin each answer. One that begins both answers (a space of its own) decides
 * nothing and is left out.
 *
 * @throws UnsupportedError where yes or no cannot be told by its first token
 */
export function answerTokens(model: TextModel, value: Value): AnswerTokens {
  const text = render(
    model,
    `${exchangeText({ prompt: "", response: "" })}${WORDING.ask(value.name, value.definition)}`,
  );
  const before = encodeStart(model, text);
  const firstOf = (forms: readonly string[]): Set<number> => {
    const first = new Set<number>();
    for (const form of forms) {
      const tokens = encodeStart(model, text + form);
      // A form that changes the tokens before it is none that the model, which continues them, can give.
      if (commonPrefix(before, tokens) === before.length && tokens.length > before.length)
        first.add(tokens[before.length]!);
    }
    return first;
  };
  const [yes, no] = [firstOf(ANSWERS.yes), firstOf(ANSWERS.no)];
  const only = (tokens: Set<number>, other: Set<number>): number[] => [...tokens].filter((token) => !other.has(token));
  const answers = { yes: only(yes, no), no: only(no, yes) };
  if (answers.yes.length === 0 || answers.no.length === 0)
    throw new UnsupportedError(
      "this model's tokenizer does not tell Yes from No by the first token; take another model",
    );
  return answers;
}

/** Prompt and response as both modes of the judge show them; ends with an empty line. */
export function exchangeText({ prompt, response }: JudgedText): string {
  return [WORDING.exchange, "", WORDING.prompt, transcript(prompt), "", WORDING.response, response, "", ""].join("\n");
}

/** A conversation is told, not played: the judge takes no part in it. */
function transcript(prompt: Prompt): string {
  if (typeof prompt === "string") return prompt;
  return prompt.map(({ role, content }) => `${role}: ${content}`).join("\n");
}

function render(model: TextModel, content: string): string {
  if (model.chatTemplate === null) return content + WORDING.cue;
  return promptText(model, [{ role: "user", content }]);
}
