/**
 * One POST to a chat-completions endpoint, and what came of it. Whatever the other side does is a `Reply`; only the
 * caller's own signal throws. No reply holds the key, though a server repeat it.
 */
import { z } from "zod";
import { throwIfAborted } from "../../errors.js";

export interface Endpoint {
  /** Of the chat completions themselves. */
  url: string;
  /** Sent as a bearer token; null sends none. */
  key: string | null;
  /** From the first byte sent to the last one read. */
  timeoutMs: number;
}

export type Reply =
  /** `content` is null where the model said nothing; `cut` where it reached the limit; `tokens` where that is told. */
  | { kind: "answer"; content: string | null; cut: boolean; tokens: number | null }
  /** An HTTP status other than 2xx, with what the server says of it. */
  | { kind: "status"; status: number; message: string; code: string; retryAfterMs: number | null }
  /** No connection, or one that broke. */
  | { kind: "network"; message: string }
  | { kind: "time-out"; message: string }
  /** An answer in a form that no chat completion has. */
  | { kind: "broken"; message: string };

/** Protects memory against a server that never ends; a completion is some kilobytes. */
const MAX_BODY_BYTES = 4 * 2 ** 20;
/** Of a server's own words: as they are looked into, and in a message. */
const KEPT_CHARACTERS = 4000;
const QUOTED_CHARACTERS = 200;

const completionSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        message: z.looseObject({ content: z.string().nullish() }),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
  usage: z
    .looseObject({ completion_tokens: z.int().min(0) })
    .nullish()
    .catch(null),
});

const errorSchema = z.looseObject({
  error: z.union([
    z.string(),
    z.looseObject({ message: z.string().optional(), code: z.union([z.string(), z.number()]).nullish() }),
  ]),
});

/** @throws CancelledError, or the signal's reason, when it is aborted */
export async function postChat(endpoint: Endpoint, body: string, signal: AbortSignal | undefined): Promise<Reply> {
  throwIfAborted(signal);
  // One controller for both ends: AbortSignal.any would leave a trace in the caller's signal for every request.
  const stop = new AbortController();
  let late = false;
  const onAbort = (): void => stop.abort();
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => {
    late = true;
    stop.abort();
  }, endpoint.timeoutMs);
  try {
    const response = await fetch(endpoint.url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        ...(endpoint.key !== null && { authorization: `Bearer ${endpoint.key}` }),
      },
      body,
      redirect: "manual", // followed, a POST becomes a GET, and the key goes where nobody sent it
      signal: stop.signal,
    });
    const text = await readText(response);
    if (text === null) return { kind: "broken", message: "an answer that does not end" };
    return readReply(response, text, endpoint.key);
  } catch (error) {
    throwIfAborted(signal);
    if (late) return { kind: "time-out", message: `no answer within ${endpoint.timeoutMs / 1000} s` };
    return { kind: "network", message: redact(describeNetworkError(error), endpoint.key) };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Null where it is too long. */
async function readText(response: Response): Promise<string | null> {
  if (response.body === null) return "";
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return null; // leaving the loop closes the connection
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function readReply(response: Response, text: string, key: string | null): Reply {
  const value = parseJson(text);
  const failure = errorSchema.safeParse(value);
  if (!response.ok || failure.success) {
    const { message, code } = describeFailure(failure.success ? failure.data.error : text);
    // Gateways answer 200 and put the status of the server behind them into the body.
    const status = response.ok ? statusOf(code) : response.status;
    const retryAfterMs = readRetryAfter(response.headers.get("retry-after"));
    return { kind: "status", status, message: redact(message, key).slice(0, KEPT_CHARACTERS), code, retryAfterMs };
  }
  const completion = completionSchema.safeParse(value);
  if (!completion.success)
    return { kind: "broken", message: `an answer that is no chat completion (${quote(redact(text, key))})` };
  const { message, finish_reason } = completion.data.choices[0]!;
  const tokens = completion.data.usage?.completion_tokens ?? null;
  return { kind: "answer", content: message.content ?? null, cut: finish_reason === "length", tokens };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function describeFailure(error: z.infer<typeof errorSchema>["error"]): { message: string; code: string } {
  if (typeof error === "string") return { message: error, code: "" };
  return { message: error.message ?? "", code: String(error.code ?? "") };
}

function statusOf(code: string): number {
  return /^[45]\d\d$/.test(code) ? Number(code) : 500;
}

/** Milliseconds from now; null where there is no such header or it is not understood (RFC 9110, section 10.2.3). */
export function readRetryAfter(header: string | null, now: number = Date.now()): number | null {
  if (header === null) return null;
  if (/^\s*\d+(\.\d+)?\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

/** A server's words, short enough for a sentence. */
export function quote(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  if (line === "") return "no explanation";
  return line.length <= QUOTED_CHARACTERS ? line : `${line.slice(0, QUOTED_CHARACTERS)}…`;
}

/** A text of the other side without the key. */
export function redact(text: string, key: string | null): string {
  return key === null ? text : text.replaceAll(key, "[key]");
}

function describeNetworkError(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  switch (cause?.code) {
    case "ECONNREFUSED":
      return "the connection is refused";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host is not found";
    case "ECONNRESET":
    case "EPIPE":
    case "UND_ERR_SOCKET":
      return "the connection was dropped";
    default:
      return cause?.code ?? cause?.message ?? message ?? String(error);
  }
}
