/**
 * Asks a chat-completions endpoint until it answers: waits where it says so, backs off where it does not, keeps to a
 * number of requests a minute, and tells what one request is to blame for from what the endpoint is.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ApiError, throwIfAborted } from "../../errors.js";
import { type Endpoint, postChat, quote, type Reply } from "./http.js";

export interface ChatClientOptions extends Endpoint {
  /** Starts of requests are spread evenly over the minute; retries count. Default: no limit. */
  requestsPerMinute?: number | undefined;
  /** Before the second attempt; doubles with each further one. */
  firstDelayMs?: number | undefined;
  /** Told when the endpoint makes us wait for more than a few seconds. */
  onNote?: ((message: string) => void) | undefined;
}

export type ChatOutcome =
  | Extract<Reply, { kind: "answer" }>
  /** This request cannot be answered, others may: a 4xx about its content (`status`), or a server that chokes on it. */
  | {
      kind: "failed";
      status: number | null;
      /** A sentence, and the server's own words in full. */
      message: string;
      said: string;
    };

/** With FIRST_DELAY_MS some two minutes of trying: longer than a restart or a burst of others' requests. */
export const ATTEMPTS = 8;
/** While nothing was ever heard from the endpoint, a wrong address is likelier than a hiccup. */
export const ATTEMPTS_UNHEARD = 3;
export const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 60_000;
/** A server that wants a longer pause than this is not waited for. */
export const MAX_RETRY_AFTER_MS = 10 * 60_000;
/** Requests without answer, with none answered between them, after which the endpoint is taken to be at fault. */
export const FAILED_IN_ROW = 3;
const NOTED_DELAY_MS = 5000;

const KEPT = "what was answered is kept, and the same command goes on from there";

export class ChatClient {
  /** An HTTP response of any kind has come; a completion has come. */
  private heard = false;
  private answered = false;
  private failedInRow = 0;
  /** No request starts before these times (of performance.now). */
  private nextStart = 0;
  private pausedUntil = 0;

  constructor(private readonly options: ChatClientOptions) {}

  /**
   * @param body the request, as JSON
   * @throws ApiError where the endpoint is at fault and others would fare no better; CancelledError
   */
  async ask(body: string, signal: AbortSignal | undefined): Promise<ChatOutcome> {
    for (let attempt = 1; ; attempt++) {
      await this.takeTurn(signal);
      const reply = await postChat(this.options, body, signal);
      if (reply.kind === "answer") {
        this.heard = this.answered = true;
        this.failedInRow = 0;
        return reply;
      }
      if (reply.kind === "status" || reply.kind === "broken") this.heard = true;
      if (reply.kind === "status" && !isPassing(reply)) return this.refused(reply);
      if (attempt >= (this.heard ? ATTEMPTS : ATTEMPTS_UNHEARD)) return this.givenUp(reply, attempt);
      await this.pause(reply, attempt, signal);
    }
  }

  /** What no repetition would change. */
  private refused({ status, message, code }: Extract<Reply, { kind: "status" }>): ChatOutcome {
    const said = `${this.options.url} answered ${status} (${quote(message)})`;
    const fail = (advice: string): never => {
      throw new ApiError(`${said}; ${advice}`);
    };
    // Once the key has been good, 403 is how some gateways refuse a text.
    if (status === 401 || (status === 403 && !this.answered))
      return fail(
        this.options.key === null
          ? "set VALORA_API_KEY to a key that it takes"
          : "the key of VALORA_API_KEY (or OPENAI_API_KEY) is not accepted",
      );
    if (status === 402 || code === "insufficient_quota") return fail(`the account is used up; ${KEPT}`);
    if (status === 404 || status === 405) return fail("check --api-url and --api-model");
    if (status < 400) return fail("it has moved; give the new address as --api-url");
    return { kind: "failed", status, message: said, said: message };
  }

  /** After the last attempt. */
  private givenUp(reply: Exclude<Reply, { kind: "answer" }>, attempts: number): ChatOutcome {
    const said = `${this.options.url}: ${describe(reply)}, at the last of ${attempts} attempts`;
    const gone = reply.kind === "network" || (reply.kind === "status" && [429, 502, 503, 504].includes(reply.status));
    this.failedInRow += 1;
    if (!this.heard) throw new ApiError(`${said}; check --api-url, and that the server runs`);
    if (gone || this.failedInRow >= FAILED_IN_ROW) throw new ApiError(`${said}; ${KEPT}`);
    return { kind: "failed", status: null, message: said, said: reply.message };
  }

  private async pause(
    reply: Exclude<Reply, { kind: "answer" }>,
    attempt: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { url, firstDelayMs = FIRST_DELAY_MS, onNote } = this.options;
    const wanted = reply.kind === "status" ? reply.retryAfterMs : null;
    if (wanted !== null && wanted > MAX_RETRY_AFTER_MS)
      throw new ApiError(
        `${url}: ${describe(reply)}, and wants ${Math.ceil(wanted / 60_000)} minutes of quiet; try again then: ${KEPT}`,
      );
    // Half of it at random, so that requests that failed together do not come back together.
    const backOff = Math.min(MAX_DELAY_MS, firstDelayMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
    const delay = wanted ?? backOff;
    if (delay >= NOTED_DELAY_MS) onNote?.(`${url}: ${describe(reply)}; asking again in ${Math.round(delay / 1000)} s`);
    // A limit is one of the account: every other request would meet it too.
    if (wanted !== null) this.pausedUntil = Math.max(this.pausedUntil, performance.now() + wanted);
    else await wait(delay, signal);
  }

  private async takeTurn(signal: AbortSignal | undefined): Promise<void> {
    const { requestsPerMinute } = this.options;
    for (;;) {
      throwIfAborted(signal);
      const now = performance.now();
      const start = Math.max(this.pausedUntil, this.nextStart);
      if (start <= now) {
        if (requestsPerMinute !== undefined) this.nextStart = now + 60_000 / requestsPerMinute;
        return;
      }
      await wait(start - now, signal);
    }
  }
}

/** Whether the same request may fare better later. */
function isPassing({ status, code }: Extract<Reply, { kind: "status" }>): boolean {
  if (status === 429) return code !== "insufficient_quota";
  return status === 408 || status === 425 || (status >= 500 && status !== 501 && status !== 505);
}

function describe(reply: Exclude<Reply, { kind: "answer" }>): string {
  return reply.kind === "status" ? `it answered ${reply.status} (${quote(reply.message)})` : reply.message;
}

async function wait(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  }
}
