/**
 * A model behind an OpenAI-compatible endpoint (values/api) as one that is evaluated: it writes answers, and gives no
 * log-probabilities. What it has answered is kept on disk, so that a run that was ended asks nothing twice.
 */
import type { Prompt } from "../engine/encode.js";
import type { Model } from "../engine/model.js";
import { ApiError, CancelledError, throwIfAborted } from "../errors.js";
import { sha256Json } from "../files/hash.js";
import type { Message } from "../models/chat-template.js";
import { type ApiOptions, ChatModel, type ChatParts } from "../values/api/chat.js";
import { redact } from "../values/api/http.js";
import type { ChatMessage } from "../values/api/question.js";
import { Gate } from "./gate.js";
import { type KeptReply, ReplyStore } from "./reply-store.js";

/** Who can be asked to write. */
export type Examinee = Model | RemoteModel;

export function isRemote(model: Examinee): model is RemoteModel {
  return model instanceof RemoteModel;
}

export interface RemoteModelOptions extends ApiOptions {
  /** Where answers are kept; default `replies` in the cache folder. */
  repliesFolder?: string | undefined;
}

export interface ReplySettings {
  maxNewTokens: number;
  /** 0 = greedy, as far as the endpoint is. */
  temperature: number;
  /** The endpoint may end the answer before one of these. */
  stop?: readonly string[] | undefined;
  /** Sent where temperature is above 0; endpoints follow it as far as they can. */
  seed?: number | undefined;
  /** Tells answers to the same messages apart that are to be asked for one by one. Default 0. */
  sample?: number | undefined;
}

export interface RemoteGenerateOptions {
  maxNewTokens: number;
  temperature: number;
  samples: number;
  stop?: readonly string[] | undefined;
  seed: number;
  signal?: AbortSignal | undefined;
  /** What a prompt does that the endpoint refuses; default "fail". */
  onError?: "fail" | "skip";
  onSkip?: (message: string) => void;
  onProgress?: (progress: { done: number }) => void;
}

/** As GenerationResult, without what an endpoint does not tell. */
export interface RemoteResult {
  id: string;
  sample: number;
  text: string;
  /** null where the endpoint does not say how many. */
  tokens: number | null;
  finish: "stop" | "length";
}

/** OpenAI's limit of stop texts; what is left is cut afterwards. */
const MAX_STOPS = 4;

export class RemoteModel {
  /** The model's name there. */
  readonly name: string;
  /** For manifests; holds no secret. */
  readonly device: { kind: "api"; url: string; model: string };
  private readonly chat: ChatModel;
  private readonly key: string | null;
  private readonly replies: ReplyStore;
  private readonly gate: Gate;
  /** Being asked, by the key of the reply. */
  private readonly underWay = new Map<string, Promise<KeptReply | ApiError>>();

  /** @throws UsageError for an address that is none, or that holds a secret */
  constructor(options: RemoteModelOptions) {
    this.chat = new ChatModel(options);
    this.key = options.key;
    this.name = options.model;
    this.device = { kind: "api", url: this.chat.url, model: options.model };
    this.replies = new ReplyStore(options.repliesFolder);
    this.gate = new Gate(this.chat.concurrency);
  }

  /** Stands for the model in keys and manifests: what is behind the name, nobody can hash. */
  async hash(): Promise<string> {
    return sha256Json(["chat completions", this.chat.url, this.name]);
  }

  /**
   * One answer, of the disk where it was given before.
   *
   * @returns an ApiError where these messages are refused
   * @throws ApiError where the endpoint is at fault and other messages would fare no better; CancelledError
   */
  async reply(
    messages: readonly Message[],
    settings: ReplySettings,
    signal?: AbortSignal | undefined,
  ): Promise<KeptReply | ApiError> {
    const { maxNewTokens, temperature, stop = [], sample = 0 } = settings;
    const seed = temperature > 0 ? settings.seed : undefined;
    const asked = messages.map(({ role, content }) => ({ role, content }) as ChatMessage);
    const key = sha256Json([await this.hash(), asked, maxNewTokens, temperature, stop, seed ?? null, sample]);
    const same = this.underWay.get(key);
    if (same !== undefined) return same;
    const answer = this.find(
      key,
      asked,
      {
        temperature,
        max_tokens: maxNewTokens,
        ...(seed === undefined ? {} : { seed }),
        ...(stop.length === 0 ? {} : { stop: stop.slice(0, MAX_STOPS) }),
      },
      signal,
    );
    this.underWay.set(key, answer);
    try {
      return await answer;
    } finally {
      this.underWay.delete(key);
    }
  }

  private async find(
    key: string,
    messages: readonly ChatMessage[],
    parts: ChatParts,
    signal: AbortSignal | undefined,
  ): Promise<KeptReply | ApiError> {
    const known = await this.replies.get(key);
    if (known !== null) return known;
    return this.gate.run(async () => {
      throwIfAborted(signal);
      const outcome = await this.chat.send(messages, parts, signal);
      if (outcome.kind === "failed") return new ApiError(outcome.message);
      const { content, tokens, cut } = outcome;
      const reply: KeptReply = { text: redact(content ?? "", this.key), tokens, finish: cut ? "length" : "stop" };
      await this.replies.put(key, reply);
      return reply;
    });
  }

  /**
   * Answers in the order of the prompts and samples. A prompt that is raw text is sent as a user's message. `seed` of an
   * answer is drawn from the seed, the prompt's id and the sample's number.
   *
   * @throws ApiError naming the prompt that is refused, unless such are to be skipped; CancelledError
   */
  async *generate(
    prompts: readonly { id: string; prompt: Prompt }[],
    options: RemoteGenerateOptions,
  ): AsyncGenerator<RemoteResult> {
    const { maxNewTokens, temperature, samples, stop, signal, onError = "fail", onSkip, onProgress } = options;
    const end = new AbortController();
    const both = signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]);
    let done = 0;
    const asked = prompts.map(({ id, prompt }) => {
      const replies = Array.from({ length: samples }, (_, sample) => {
        const seed = Number.parseInt(sha256Json([options.seed, id, sample]).slice(0, 8), 16) >>> 1;
        return this.reply(messagesOf(prompt), { maxNewTokens, temperature, stop, seed, sample }, both);
      });
      const all = Promise.all(replies);
      all.then(() => onProgress?.({ done: ++done })).catch(() => {}); // whoever waits hears of it
      return all;
    });
    try {
      for (const [index, { id }] of prompts.entries()) {
        const replies = await asked[index]!;
        const failed = replies.find((reply) => reply instanceof ApiError);
        if (failed !== undefined) {
          const message = `prompt "${id}": ${failed.message}`;
          if (onError === "fail") throw new ApiError(message);
          onSkip?.(message);
          continue;
        }
        for (const [sample, reply] of (replies as KeptReply[]).entries()) yield { id, sample, ...reply };
      }
    } finally {
      end.abort(new CancelledError("another prompt failed"));
      await Promise.allSettled(asked);
    }
  }
}

export function messagesOf(prompt: Prompt): Message[] {
  return typeof prompt === "string" ? [{ role: "user", content: prompt }] : [...prompt];
}
