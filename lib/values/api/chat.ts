/**
 * A model behind an OpenAI-compatible chat-completions endpoint: messages in, a text out. Servers differ in what of a
 * request they know; a part that one refuses is left out from then on, or sent under its other name. `client.ts` sees to
 * retries and limits.
 */
import { UsageError } from "../../errors.js";
import { ChatClient, type ChatOutcome } from "./client.js";
import type { ChatMessage } from "./question.js";

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
/** For estimates: roughly right for English, too few tokens for most other languages. */
export const CHARACTERS_PER_TOKEN = 4;

/** Parts of a request beside model and messages, under the API's names. */
export interface ChatParts {
  response_format?: object;
  temperature?: number;
  max_tokens?: number;
  seed?: number;
  stop?: readonly string[];
}

/**
 * How refusals speak of a part that a server does not know, and what is sent instead: null leaves it out. OpenAI's newer
 * models have another name for the limit, which is never left out: without it an answer may cost anything.
 */
const OPTIONAL_PARTS: Readonly<Record<keyof ChatParts, { refusal: RegExp; instead: string | null }>> = {
  response_format: { refusal: /response_format|json_schema|structured|schema/i, instead: null },
  temperature: { refusal: /temperature/i, instead: null },
  max_tokens: { refusal: /max_completion_tokens/i, instead: "max_completion_tokens" },
  seed: { refusal: /\bseed\b/i, instead: null },
  stop: { refusal: /\bstop\b/i, instead: null },
};
const PARTS = Object.keys(OPTIONAL_PARTS) as readonly (keyof ChatParts)[];

export class ChatModel {
  /** Of the chat completions; holds no secret. */
  readonly url: string;
  readonly model: string;
  readonly concurrency: number;
  private readonly client: ChatClient;
  private readonly onNote: ((message: string) => void) | undefined;
  private readonly refused = new Set<keyof ChatParts>();

  /** @throws UsageError for an address that is none, or that holds a secret */
  constructor(options: ApiOptions) {
    const { model, key, concurrency = CONCURRENCY, timeoutSeconds = TIMEOUT_SECONDS, onNote } = options;
    const url = completionsUrl(options.url);
    if (key !== null && url.protocol === "http:" && !isLocal(url))
      onNote?.(`--api-url is not https: the key goes to ${url.host} for everyone on the way to read`);
    this.url = url.href;
    this.model = model;
    this.concurrency = concurrency;
    this.onNote = onNote;
    this.client = new ChatClient({ ...options, url: url.href, timeoutMs: timeoutSeconds * 1000 });
  }

  /** @throws ApiError where the endpoint is at fault and other messages would fare no better; CancelledError */
  async send(
    messages: readonly ChatMessage[],
    parts: ChatParts,
    signal: AbortSignal | undefined,
  ): Promise<ChatOutcome> {
    for (;;) {
      const sent = PARTS.filter((part) => parts[part] !== undefined && !this.refused.has(part));
      const outcome = await this.client.ask(this.bodyOf(messages, parts), signal);
      if (outcome.kind !== "failed" || (outcome.status !== 400 && outcome.status !== 422)) return outcome;
      const part = sent.find((each) => OPTIONAL_PARTS[each].refusal.test(outcome.said));
      if (part === undefined) return outcome;
      // Of several requests under way, the first to hear of it says so.
      if (!this.refused.has(part)) this.noteRefusal(part);
      this.refused.add(part);
    }
  }

  /** What is posted. */
  bodyOf(messages: readonly ChatMessage[], parts: ChatParts): string {
    const body: Record<string, unknown> = { model: this.model, messages };
    for (const part of PARTS) {
      const name = this.refused.has(part) ? OPTIONAL_PARTS[part].instead : part;
      if (parts[part] !== undefined && name !== null) body[name] = parts[part];
    }
    return JSON.stringify(body);
  }

  private noteRefusal(part: keyof ChatParts): void {
    const { instead } = OPTIONAL_PARTS[part];
    const now = instead === null ? "without it" : `with "${instead}" in its place`;
    this.onNote?.(`the endpoint does not take "${part}": asking ${now}`);
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
