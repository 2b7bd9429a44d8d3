/**
 * Scoring: log-probabilities of completions after their contexts, for any number of adapters in one pass.
 *
 * Requests are gathered into chunks of about a thousand rows, more where they begin alike: what they have in common is
 * computed once a chunk (context-trees.ts). A chunk is one forest, with its trees once for every adapter. Results of the
 * first adapter leave as they are made; those of the others, numbers and never logits, wait in memory until the input
 * ends, because results come adapter by adapter.
 */
import { DataFormatError, NotFiniteError, UsageError } from "../errors.js";
import type { Adapter } from "./adapter.js";
import { throwIfAborted } from "./cancel.js";
import { RequestChunk } from "./context-trees.js";
import { AIMED_ROWS, rowBudget } from "./forest.js";
import type { Model } from "./model.js";
import {
  checkTokens,
  type ItemErrorOptions,
  parseRecord,
  prepareOrSkip,
  type ScoreRequest,
  scoreRequestSchema,
} from "./requests.js";
import { boundaryEncoder, startsOfRequest } from "./score-request.js";
import { scoreTrees } from "./score-trees.js";

export type { ScoreRequest } from "./requests.js";

/** One line of the contract's score results. */
export interface ScoreResult {
  id: string;
  adapter: string;
  /** Index among the request's completions. */
  completion: number;
  /** Natural logarithm, summed over the tokens. */
  logprob: number;
  tokens: number;
  /** UTF-8 bytes of the completion; null for token requests. */
  bytes: number | null;
  /** Whether every token was the arg max. */
  greedy: boolean;
  /** "spanned": a token spans context and completion; "empty": the harness's rule left no token. */
  boundary?: "spanned" | "empty";
  token_logprobs?: number[];
}

export interface ScoreProgress {
  /** Requests. */
  done: number;
  /** Requests in all, where the input is an array. */
  total?: number;
  /** Completion tokens scored so far, over all adapters. */
  tokens: number;
}

export interface ScoreOptions extends ItemErrorOptions {
  /** Name → adapter, or null for the model without one; default `{ base: null }`. */
  adapters?: Record<string, Adapter | null>;
  /** Adds `token_logprobs`. */
  perToken?: boolean;
  /** Where scoring starts when a token spans context and completion; default "longest". */
  boundary?: "longest" | "harness";
  signal?: AbortSignal;
  onProgress?: (progress: ScoreProgress) => void;
  /** Rows that a batch aims at; results do not depend on it. */
  maxRows?: number;
}

/** A request in tokens. */
export interface PreparedRequest {
  id: string;
  context: number[];
  completions: { tokens: number[]; bytes: number | null; boundary?: "spanned" | "empty" }[];
}

/** @throws UsageError where the record is empty */
export function namedAdapters(adapters: Record<string, Adapter | null> | undefined): [string, Adapter | null][] {
  const named = Object.entries(adapters ?? { base: null });
  if (named.length === 0) throw new UsageError("adapters: give at least one, or leave the option out");
  return named;
}

export async function* scoreAll(
  model: Model,
  requests: Iterable<ScoreRequest> | AsyncIterable<ScoreRequest>,
  options: ScoreOptions,
): AsyncGenerator<ScoreResult> {
  const { signal, onProgress, maxRows = AIMED_ROWS } = options;
  const adapters = namedAdapters(options.adapters);
  const budget = rowBudget(model.planner, "score", maxRows);
  const largestTree = rowBudget(model.planner, "score", SHARING_ROWS * maxRows);
  const held: ScoreResult[][] = adapters.map(() => []);
  const progress: ScoreProgress = { done: 0, tokens: 0 };
  if (Array.isArray(requests)) progress.total = requests.length;

  let chunk = new RequestChunk(largestTree);
  const flush = async (): Promise<ScoreResult[]> => {
    const scored = await scoreChunk(model, chunk, adapters, budget, options);
    for (const completion of chunk.requests.flatMap((request) => request.completions)) {
      progress.tokens += completion.tokens.length * adapters.length;
    }
    progress.done += chunk.requests.length;
    onProgress?.({ ...progress });
    chunk = new RequestChunk(largestTree);
    scored.slice(1).forEach((results, index) => {
      for (const result of results) held[index + 1]!.push(result);
    });
    return scored[0]!;
  };

  let index = 0;
  for await (const value of requests) {
    throwIfAborted(signal);
    index++;
    const prepared = prepareOrSkip(options, () => prepare(model, value, index, options.boundary ?? "longest"));
    if (prepared === null) {
      progress.done++;
      continue;
    }
    if (chunk.rows * adapters.length >= budget && !chunk.continues(prepared)) yield* await flush();
    chunk.add(prepared);
  }
  if (chunk.requests.length > 0) yield* await flush();
  for (const results of held) yield* results;
}

/** How many times as large a chunk may grow by requests that begin alike: what they share is then paid for less often. */
const SHARING_ROWS = 4;

function prepare(model: Model, value: unknown, index: number, boundary: "longest" | "harness"): PreparedRequest {
  const request = parseRecord(scoreRequestSchema, value, `score request ${index}`);
  const prepared = startsOfRequest(boundaryEncoder(model), request, boundary);
  const { context, completions } = prepared;
  const { vocabulary, maxPositions } = model.files.config;
  for (const tokens of [context, ...completions.map((completion) => completion.tokens)]) {
    checkTokens(tokens, vocabulary, `request "${request.id}"`);
  }
  const longest = context.length + Math.max(0, ...completions.map(({ tokens }) => tokens.length - 1));
  if (longest > maxPositions) {
    throw new DataFormatError(
      `request "${request.id}": ${longest} tokens are more than the model's ${maxPositions} positions; shorten its context`,
    );
  }
  return prepared;
}

/** Scores a chunk; results per adapter, in input order. */
async function scoreChunk(
  model: Model,
  { requests, trees }: RequestChunk,
  adapters: readonly [string, Adapter | null][],
  budget: number,
  options: ScoreOptions,
): Promise<ScoreResult[][]> {
  const placed = adapters.flatMap(([, adapter], index) =>
    trees.map((tree) => ({ tree: tree.build(adapter?.handle ?? 0), adapter: index, slots: tree.slots })),
  );
  const results: ScoreResult[][] = adapters.map(() => []);
  const at = offsets(requests);
  adapters.forEach(([name], index) => {
    requests.forEach((request) => {
      request.completions.forEach((completion, position) => {
        results[index]!.push({
          id: request.id,
          adapter: name,
          completion: position,
          logprob: 0,
          tokens: completion.tokens.length,
          bytes: completion.bytes,
          greedy: true,
          ...(completion.boundary === undefined ? {} : { boundary: completion.boundary }),
          ...(options.perToken ? { token_logprobs: [] } : {}),
        });
      });
    });
  });
  const scores = await scoreTrees(
    model,
    placed.map(({ tree }) => tree),
    {
      budget,
      signal: options.signal,
      nameOf: (index) => `request "${requests[placed[index]!.slots[0]!.request]!.id}"`,
      remedy: "raise --memory, or shorten its context",
    },
  );
  let target = 0;
  for (const { adapter, slots } of placed) {
    for (const { request, completion } of slots) {
      const result = results[adapter]![at[request]! + completion]!;
      for (const end = target + result.tokens; target < end; target++) {
        result.logprob += scores.logprobs[target]!;
        result.greedy &&= scores.greedy[target] === 1;
        result.token_logprobs?.push(scores.logprobs[target]!);
      }
      if (!Number.isFinite(result.logprob)) {
        throw new NotFiniteError(
          `request "${result.id}", adapter ${result.adapter}: the log-probability is not a finite number; the model's or the adapter's weights are damaged`,
        );
      }
    }
  }
  return results;
}

/** The first result of each request. */
function offsets(requests: readonly PreparedRequest[]): number[] {
  let next = 0;
  return requests.map((request) => {
    const begin = next;
    next += request.completions.length;
    return begin;
  });
}
