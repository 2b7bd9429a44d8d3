/**
 * The `api` extractor: a model behind an OpenAI-compatible chat-completions endpoint is asked about one response at a
 * time, for all values in one question. `client.ts` sees to retries and limits, `question.ts` to the words.
 */
import { ApiError } from "../../errors.js";
import type { Exchange, Extractor, Scores } from "../extractor.js";
import type { Value } from "../taxonomy.js";
import { type ApiOptions, CHARACTERS_PER_TOKEN, ChatModel, type ChatParts } from "./chat.js";
import { quote, redact } from "./http.js";
import { answerFormat, askAbout, askAgain, INSTRUCTION, readAnswer } from "./question.js";

/** Questions about one response, the first one included, until its answer can be read. */
const QUESTIONS = 3;

/** @throws UsageError for an address that is none, or that holds a secret */
export function openApi(values: readonly Value[], options: ApiOptions): Extractor {
  const chat = new ChatModel(options);
  const asker = new ApiAsker(chat, values, options.key);
  return {
    name: "api@1",
    // All values stand in one question, so that a score may depend on the list.
    settings: {
      url: chat.url,
      model: chat.model,
      instruction: INSTRUCTION,
      values: values.map(({ name, definition }) => [name, definition]),
    },
    values: values.map(({ name }) => name),
    threshold: 0.5,
    cached: true,
    batchSize: 1,
    concurrency: chat.concurrency,
    async score(batch, _asked, { signal }) {
      const answers: (Scores | ApiError)[] = [];
      for (const exchange of batch) answers.push(await asker.ask(exchange, signal));
      return answers;
    },
    sizeOf: (exchange) => asker.sizeOf(exchange),
    async dispose() {},
  };
}

class ApiAsker {
  private readonly parts: ChatParts;

  constructor(
    private readonly chat: ChatModel,
    private readonly values: readonly Value[],
    private readonly key: string | null,
  ) {
    this.parts = { response_format: answerFormat(values), temperature: 0 };
  }

  /** @throws ApiError where the endpoint is at fault, CancelledError */
  async ask(exchange: Exchange, signal: AbortSignal | undefined): Promise<Scores | ApiError> {
    const question = askAbout(exchange, this.values);
    let messages = question;
    for (let asked = 1; ; asked++) {
      const outcome = await this.chat.send(messages, this.parts, signal);
      const where = `pair "${exchange.pair.id}", ${exchange.side} response`;
      if (outcome.kind === "failed") return new ApiError(`${where}: ${outcome.message}`);
      const reading = readAnswer(outcome.content, this.values);
      if (reading.kind === "scores") return reading.scores;
      const problem = outcome.cut ? "it was cut at the server's limit of tokens" : reading.problem;
      if (asked === QUESTIONS)
        return new ApiError(
          `${where}: ${this.chat.model} gave ${QUESTIONS} answers that are not what was asked for; of the last, ` +
            `${quote(redact(problem, this.key))}: ${quote(redact(outcome.content ?? "", this.key))}`,
        );
      messages = [...question, ...askAgain(outcome.content, problem)];
    }
  }

  sizeOf(exchange: Exchange): { tokensIn: number; tokensOut: number } {
    const answer = Object.fromEntries(this.values.map(({ name }) => [name, 0.25]));
    const tokens = (text: string): number => Math.ceil(text.length / CHARACTERS_PER_TOKEN);
    return {
      tokensIn: tokens(this.chat.bodyOf(askAbout(exchange, this.values), this.parts)),
      tokensOut: tokens(JSON.stringify(answer)),
    };
  }
}
