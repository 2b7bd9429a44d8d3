/**
 * Embedding: the mean of a model's hidden states over the tokens of a response, given its prompt - what a probe reads.
 *
 * Consecutive requests with the same prompt are one tree, so that the prompt is computed once. A hidden state is the
 * residual stream after `layer` layers, before the final norm (transformers' `hidden_states[layer]`, where its last one
 * alone is behind that norm). The mean is summed in double in the order of the tokens, and does not depend on what else
 * is embedded with it, to the bit.
 */
import { DataFormatError, NotFiniteError, UsageError } from "../errors.js";
import type { Adapter } from "./adapter.js";
import { commonPrefix } from "./boundary.js";
import { throwIfAborted, withCancel } from "./cancel.js";
import { encodePrompt, requireTokenizer, startToken } from "./encode.js";
import { AIMED_ROWS, groupByRows, jobShape, packForest, rowBudget, splitToFit, type Tree, treeRows } from "./forest.js";
import type { Model } from "./model.js";
import {
  checkTokens,
  type EmbedRequest,
  embedRequestSchema,
  type ItemErrorOptions,
  parseRecord,
  prepareOrSkip,
} from "./requests.js";

export type { EmbedRequest } from "./requests.js";

export interface EmbedResult {
  id: string;
  /** [channels] */
  embedding: Float32Array;
  /** Of the response: what the mean is over. */
  tokens: number;
}

export interface EmbedProgress {
  /** Requests, those left out too. */
  done: number;
  /** Requests in all, where the input is an array. */
  total?: number;
  /** Response tokens read so far. */
  tokens: number;
}

export interface EmbedOptions extends ItemErrorOptions {
  /** After how many layers, 0 (the embedding) to the model's number; default `defaultLayer`. */
  layer?: number;
  /** Default: the model without one. */
  adapter?: Adapter | null;
  signal?: AbortSignal | undefined;
  onProgress?: (progress: EmbedProgress) => void;
  /** Rows that a batch aims at; results do not depend on it. */
  maxRows?: number;
}

/** About two thirds of the depth, where probes of meaning read best; at least one layer. */
export function defaultLayer(layers: number): number {
  return Math.max(1, Math.round((2 * layers) / 3));
}

interface Prepared {
  id: string;
  prompt: number[];
  response: number[];
}

/** Requests that share a prompt, by their place in the chunk. */
interface Group {
  tree: Tree;
  members: number[];
  rows: number;
}

/** What `Model.embed` does. @throws UsageError for a layer that the model has not */
export async function* embedAll(
  model: Model,
  requests: Iterable<EmbedRequest> | AsyncIterable<EmbedRequest>,
  options: EmbedOptions,
): AsyncGenerator<EmbedResult> {
  const { signal, onProgress, maxRows = AIMED_ROWS, adapter = null } = options;
  const { layers } = model.files.config;
  const layer = options.layer ?? defaultLayer(layers);
  if (!(Number.isInteger(layer) && layer >= 0 && layer <= layers))
    throw new UsageError(`layer ${layer}: give a whole number from 0 to ${layers}, the layers of ${model.name}`);
  const budget = rowBudget(model.planner, "embed", maxRows);
  const progress: EmbedProgress = { done: 0, tokens: 0 };
  if (Array.isArray(requests)) progress.total = requests.length;

  let chunk: Prepared[] = [];
  let rows = 0;
  const flush = async (): Promise<EmbedResult[]> => {
    const results = await embedChunk(model, chunk, layer, adapter?.handle ?? 0, budget, signal);
    progress.done += chunk.length;
    for (const { response } of chunk) progress.tokens += response.length;
    onProgress?.({ ...progress });
    chunk = [];
    rows = 0;
    return results;
  };

  let index = 0;
  for await (const value of requests) {
    throwIfAborted(signal);
    index++;
    const prepared = prepareOrSkip(options, () => prepare(model, value, index));
    if (prepared === null) {
      progress.done++;
      continue;
    }
    const last = chunk.at(-1);
    rows += prepared.response.length;
    if (last === undefined || !sameTokens(last.prompt, prepared.prompt)) rows += prepared.prompt.length;
    chunk.push(prepared);
    if (rows >= budget) yield* await flush();
  }
  if (chunk.length > 0) yield* await flush();
}

function prepare(model: Model, value: unknown, index: number): Prepared {
  const request = parseRecord(embedRequestSchema, value, `embedding request ${index}`);
  const { id } = request;
  let prompt = request.prompt_tokens ?? encodePrompt(model, request.prompt ?? "");
  if (prompt.length === 0) prompt = [startToken(model)];
  const response = request.response_tokens ?? requireTokenizer(model).encode(request.response ?? "");
  const { vocabulary, maxPositions } = model.files.config;
  for (const tokens of [prompt, response]) checkTokens(tokens, vocabulary, `request "${id}"`);
  if (response.length === 0)
    throw new DataFormatError(`request "${id}": the response is empty and has no hidden states`);
  const length = prompt.length + response.length;
  if (length > maxPositions)
    throw new DataFormatError(
      `request "${id}": prompt and response are ${length} tokens, more than the model's ${maxPositions} positions; shorten them`,
    );
  return { id, prompt, response };
}

async function embedChunk(
  model: Model,
  chunk: readonly Prepared[],
  layer: number,
  adapter: number,
  budget: number,
  signal: AbortSignal | undefined,
): Promise<EmbedResult[]> {
  const results: EmbedResult[] = [];
  const { channels } = model.files.config;
  for (const batch of batchesOf(model, groupPrompts(chunk, adapter, budget), chunk, budget)) {
    const packed = packForest(batch.map(({ tree }) => tree));
    const members = batch.flatMap(({ members }) => members);
    // Every token of a response is a target, in the order of the responses.
    const owners = Int32Array.from(members.flatMap((at, owner) => chunk[at]!.response.map(() => owner)));
    const groups = packed.order.map((target) => owners[target]!);
    const means = await withCancel(signal, (cancel) =>
      model.native.embed({ forest: packed.forest, groups, layer }, cancel),
    );
    for (const [owner, at] of members.entries()) {
      const { id, response } = chunk[at]!;
      const embedding = means.slice(owner * channels, (owner + 1) * channels);
      if (!embedding.every(Number.isFinite))
        throw new NotFiniteError(
          `request "${id}": a hidden state is not a finite number; the model's or the adapter's weights are damaged`,
        );
      results.push({ id, embedding, tokens: response.length });
    }
  }
  return results;
}

function batchesOf(model: Model, groups: Group[], chunk: readonly Prepared[], budget: number): Group[][] {
  return groupByRows(groups, ({ tree }) => treeRows(tree), budget).flatMap((part) =>
    splitToFit(
      part,
      model.planner,
      (some) =>
        jobShape(
          "embed",
          some.map(({ tree }) => tree),
        ),
      ({ members }) => `request "${chunk[members[0]!]!.id}"`,
      "raise --memory, or shorten its text",
    ),
  );
}

/** Consecutive requests with the same prompt, together up to `budget` rows. */
function groupPrompts(chunk: readonly Prepared[], adapter: number, budget: number): Group[] {
  const groups: Group[] = [];
  for (const [index, { prompt, response }] of chunk.entries()) {
    let group = groups.at(-1);
    if (
      group === undefined ||
      group.rows + response.length > budget ||
      !sameTokens(chunk[group.members[0]!]!.prompt, prompt)
    ) {
      group = {
        tree: { adapter, spans: [{ parent: -1, tokens: prompt }], targets: [] },
        members: [],
        rows: prompt.length,
      };
      groups.push(group);
    }
    const span = group.tree.spans.length;
    group.tree.spans.push({ parent: 0, tokens: response });
    for (let offset = 0; offset < response.length; offset++) group.tree.targets.push({ span, offset, token: 0 });
    group.members.push(index);
    group.rows += response.length;
  }
  return groups;
}

function sameTokens(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && commonPrefix(a, b) === a.length;
}
