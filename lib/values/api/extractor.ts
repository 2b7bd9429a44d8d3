/**
 * The `api` extractor: a model behind an OpenAI-compatible chat-completions endpoint is asked about one response at a
 * time, for all values in one question. `client.ts` sees to retries and limits, `question.ts` to the words.
 */
import { ApiError, UsageError } from "../../errors.js";
import type { Exchange, Extractor, Scores } from "../extractor.js";
import type { Value } from "../taxonomy.js";
import { ChatClient, type ChatOutcome } from "./client.js";
import { quote, redact } from "./http.js";
import { answerFormat, askAbout, askAgain, type ChatMessage, INSTRUCTION, readAnswer } from "./question.js";

export interface ApiOptions {
  /** The API's base, such as https://host/v1, or the address of its chat completions. */
  url: string;
  model: string;
  /** Sent to the endpoint, and kept out of everything else; null for an endpoint that wants none. */
  key: string | null;
  /** Requests at a time. Default 4. */
  concurrency?: number | undefined;
  /** Of one request, until its answer is there. Default 120. */
  timeoutSeconds?: number | undefined;
  /** Default: no limit. */
  requestsPerMinute?: number | undefined;
  /** Before the second attempt of a request that failed, in milliseconds; default 1000. Grows with each further one. */
  firstDelayMs?: number | undefined;
  onNote?: ((message: string) => void) | undefined;
}

export const CONCURRENCY = 4;
export const TIMEOUT_SECONDS = 120;
/** Questions about one response, the first one included, until its answer can be read. */
const QUESTIONS = 3;
/** For estimates: roughly right for English, too few tokens for most other languages. */
export const CHARACTERS_PER_TOKEN = 4;

/**
 * The key of the environment: VALORA_API_KEY, else OPENAI_API_KEY, else none.
 *
 * @throws UsageError, without the key, where no HTTP header could carry it
 */
export function apiKey(env: NodeJS.ProcessEnv = process.env): string | null {
  const name = env.VALORA_API_KEY ? "VALORA_API_KEY" : "OPENAI_API_KEY";
  const key = env[name]?.trim();
  if (key === undefined || key === "") return null;
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new UsageError(`the environment's ${name} holds spaces or letters that no key has; set it anew`);
  return key;
}

/** @throws UsageError for an address that is none, or that holds a secret */
export function openApi(values: readonly Value[], options: ApiOptions): Extractor {
  const { model, key, concurrency = CONCURRENCY, timeoutSeconds = TIMEOUT_SECONDS, onNote } = options;
  const url = completionsUrl(options.url);
  if (key !== null && url.protocol === "http:" && !isLocal(url))
    onNote?.(`--api-url is not https: the key goes to ${url.host} for everyone on the way to read`);
  const client = new ChatClient({ ...options, url: url.href, timeoutMs: timeoutSeconds * 1000 });
  const asker = new ApiAsker(client, values, model, key, onNote);
  return {
    name: "api@1",
    // All values stand in one question, so that a score may depend on the list.
    settings: {
      url: url.href,
      model,
      instruction: INSTRUCTION,
      values: values.map(({ name, definition }) => [name, definition]),
    },
    values: values.map(({ name }) => name),
    threshold: 0.5,
    cached: true,
    batchSize: 1,
    concurrency,
    async score(batch, _asked, { signal }) {
      const answers: (Scores | ApiError)[] = [];
      for (const exchange of batch) answers.push(await asker.ask(exchange, signal));
      return answers;
    },
    sizeOf: (exchange) => asker.sizeOf(exchange),
    async dispose() {},
  };
}

/** Parts of a request that some servers do not know; one that is refused is left out from then on. */
const OPTIONAL_PARTS = {
  response_format: /response_format|json_schema|structured|schema/i,
  temperature: /temperature/i,
} as const;
type OptionalPart = keyof typeof OPTIONAL_PARTS;

class ApiAsker {
  private readonly optional: Partial<Record<OptionalPart, unknown>>;

  constructor(
    private readonly client: ChatClient,
    private readonly values: readonly Value[],
    private readonly model: string,
    private readonly key: string | null,
    private readonly onNote: ((message: string) => void) | undefined,
  ) {
    this.optional = { response_format: answerFormat(values), temperature: 0 };
  }

  /** @throws ApiError where the endpoint is at fault, CancelledError */
  async ask(exchange: Exchange, signal: AbortSignal | undefined): Promise<Scores | ApiError> {
    const question = askAbout(exchange, this.values);
    let messages = question;
    for (let asked = 1; ; asked++) {
      const outcome = await this.send(messages, signal);
      const where = `pair "${exchange.pair.id}", ${exchange.side} response`;
      if (outcome.kind === "failed") return new ApiError(`${where}: ${outcome.message}`);
      const reading = readAnswer(outcome.content, this.values);
      if (reading.kind === "scores") return reading.scores;
      const problem = outcome.cut ? "it was cut at the server's limit of tokens" : reading.problem;
      if (asked === QUESTIONS)
        return new ApiError(
          `${where}: ${this.model} gave ${QUESTIONS} answers that are not what was asked for; of the last, ` +
            `${quote(redact(problem, this.key))}: ${quote(redact(outcome.content ?? "", this.key))}`,
        );
      messages = [...question, ...askAgain(outcome.content, problem)];
    }
  }

  sizeOf(exchange: Exchange): { tokensIn: number; tokensOut: number } {
    const answer = Object.fromEntries(this.values.map(({ name }) => [name, 0.25]));
    const tokens = (text: string): number => Math.ceil(text.length / CHARACTERS_PER_TOKEN);
    return {
      tokensIn: tokens(this.bodyOf(askAbout(exchange, this.values))),
      tokensOut: tokens(JSON.stringify(answer)),
    };
  }

  private bodyOf(messages: readonly ChatMessage[]): string {
    return JSON.stringify({ model: this.model, messages, ...this.optional });
  }

  private async send(messages: readonly ChatMessage[], signal: AbortSignal | undefined): Promise<ChatOutcome> {
    for (;;) {
      const sent = Object.keys(this.optional) as OptionalPart[];
      const outcome = await this.client.ask(this.bodyOf(messages), signal);
      if (outcome.kind !== "failed" || (outcome.status !== 400 && outcome.status !== 422)) return outcome;
      const refused = sent.find((part) => OPTIONAL_PARTS[part].test(outcome.said));
      if (refused === undefined) return outcome;
      // Of several requests under way, the first to hear of it says so.
      if (refused in this.optional) this.onNote?.(`the endpoint does not take "${refused}": asking without it`);
      delete this.optional[refused];
    }
  }
}

/** The address is part of manifests and messages, so nothing secret may be in it; nor is a wrong one repeated. */
function completionsUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new UsageError("--api-url has to be an address such as https://host/v1");
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    throw new UsageError(
      "--api-url may hold no user, password, ? or #: it is written into manifests; a key goes into VALORA_API_KEY",
    );
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith("/chat/completions") ? path : `${path}/chat/completions`;
  return url;
}

function isLocal({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname.startsWith("127.") || hostname === "[::1]";
}
