/**
 * Scoring: log-probabilities of completions after their contexts, for any number of adapters in one pass.
 *
 * Requests are gathered into chunks of about a thousand rows an adapter. A chunk is a forest: a tree for every
 * adapter and context (consecutive requests with the same context share one, as do contexts that begin alike), a
 * branch for every completion. Results of the first adapter leave as they are made; those of the others, numbers and
 * never logits, wait in memory until the input ends, because results come adapter by adapter.
 */
import { DataFormatError, NotFiniteError, UsageError } from "../errors.js";
import type { Adapter } from "./adapter.js";
import { throwIfAborted } from "./cancel.js";
import { AIMED_ROWS, rowBudget, type Tree } from "./forest.js";
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
import { headTree, sharedTokens, shareHeads } from "./shared-heads.js";

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
  const held: ScoreResult[][] = adapters.map(() => []);
  const progress: ScoreProgress = { done: 0, tokens: 0 };
  if (Array.isArray(requests)) progress.total = requests.length;

  let chunk: PreparedRequest[] = [];
  /** Of one adapter. */
  let chunkRows = 0;
  const flush = async (): Promise<ScoreResult[]> => {
    const scored = await scoreChunk(model, chunk, adapters, budget, options);
    for (const completion of chunk.flatMap((request) => request.completions)) {
      progress.tokens += completion.tokens.length * adapters.length;
    }
    progress.done += chunk.length;
    onProgress?.({ ...progress });
    chunk = [];
    chunkRows = 0;
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
    chunkRows += requestRows(prepared) - sharedTokens(chunk.at(-1)?.context, prepared.context);
    chunk.push(prepared);
    if (chunkRows >= budget) yield* await flush();
  }
  if (chunk.length > 0) yield* await flush();
  for (const results of held) yield* results;
}

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

function requestRows({ context, completions }: PreparedRequest): number {
  return context.length + completions.reduce((rows, { tokens }) => rows + Math.max(0, tokens.length - 1), 0);
}

/** Where a tree's completion belongs: request and completion of the chunk. */
type Slot = { request: number; completion: number };
type PlacedTree = { tree: Tree; adapter: number; slots: Slot[] };

/** Scores a chunk; results per adapter, in input order. */
async function scoreChunk(
  model: Model,
  chunk: readonly PreparedRequest[],
  adapters: readonly [string, Adapter | null][],
  budget: number,
  options: ScoreOptions,
): Promise<ScoreResult[][]> {
  const groups = groupCompletions(chunk, budget).map(({ context, slots }) => ({
    context,
    slots,
    continuations: slots.map((slot) => chunk[slot.request]!.completions[slot.completion]!.tokens),
  }));
  const shared = shareHeads(groups, budget);
  const trees = adapters.flatMap(([, adapter], index) =>
    shared.map(
      (group): PlacedTree => ({
        tree: headTree(group, adapter?.handle ?? 0),
        adapter: index,
        slots: group.members.flatMap(({ slots }) => slots),
      }),
    ),
  );
  const results: ScoreResult[][] = adapters.map(() => []);
  const at = offsets(chunk);
  adapters.forEach(([name], index) => {
    chunk.forEach((request) => {
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
    trees.map(({ tree }) => tree),
    {
      budget,
      signal: options.signal,
      nameOf: (index) => `request "${chunk[trees[index]!.slots[0]!.request]!.id}"`,
      remedy: "raise --memory, or shorten its context",
    },
  );
  let target = 0;
  for (const { adapter, slots } of trees) {
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

/** The first result of each request of a chunk. */
function offsets(chunk: readonly PreparedRequest[]): number[] {
  let next = 0;
  return chunk.map((request) => {
    const begin = next;
    next += request.completions.length;
    return begin;
  });
}

/**
 * Completions of consecutive requests with the same context, together up to `budget` rows. A completion
 * without tokens needs no tree.
 */
export function groupCompletions(
  chunk: readonly PreparedRequest[],
  budget: number,
): { context: number[]; slots: Slot[] }[] {
  const groups: { context: number[]; slots: Slot[]; rows: number }[] = [];
  chunk.forEach(({ context, completions }, request) => {
    completions.forEach(({ tokens }, completion) => {
      if (tokens.length === 0) return;
      const last = groups.at(-1);
      const rows = tokens.length - 1;
      if (last !== undefined && last.rows + rows <= budget && sameTokens(last.context, context)) {
        last.slots.push({ request, completion });
        last.rows += rows;
      } else {
        groups.push({ context, slots: [{ request, completion }], rows: context.length + rows });
      }
    });
  });
  return groups;
}

function sameTokens(a: readonly number[], b: readonly number[]): boolean {
  return a === b || (a.length === b.length && a.every((token, index) => token === b[index]));
}
