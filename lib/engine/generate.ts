/**
 * Generation: continuations of prompts, greedy or sampled, for any number of adapters in one pass.
 *
 * A prompt's random draws derive from the seed, its id and the sample's number alone, so that what is
 * generated depends neither on the batch nor on the other prompts; adapters see the same draws. Results of the first adapter leave as they are made, the others' wait in memory.
 */
import { createHash } from "node:crypto";
import { DataFormatError, UsageError } from "../errors.js";
import type { NativeJobShape } from "../native.js";
import type { Adapter } from "./adapter.js";
import { throwIfAborted, withCancel } from "./cancel.js";
import { encodePrompt, type Prompt, stopTokens } from "./encode.js";
import { splitToFit } from "./forest.js";
import type { Model } from "./model.js";
import {
  checkTokens,
  type GenerationPrompt,
  generationPromptSchema,
  type ItemErrorOptions,
  parseRecord,
  prepareOrSkip,
} from "./requests.js";
import { namedAdapters } from "./score.js";

export type { GenerationPrompt } from "./requests.js";

/** One line of the contract's generation results. */
export interface GenerationResult {
  id: string;
  adapter: string;
  sample: number;
  /** Without the token that ended it. */
  text: string | null;
  /** With the token that ended it. */
  tokens: number[];
  finish: "stop" | "length";
  prompt_tokens: number;
}

export interface GenerateProgress {
  /** Prompts. */
  done: number;
  /** Prompts in all, where the input is an array. */
  total?: number;
  /** Tokens generated so far. */
  tokens: number;
}

export interface GenerateOptions extends ItemErrorOptions {
  /** Name → adapter, or null for the model without one; default `{ base: null }`. */
  adapters?: Record<string, Adapter | null>;
  /** Default 128. */
  maxNewTokens?: number;
  /** 0 (default) = greedy. */
  temperature?: number;
  /** Draw from the smallest set of tokens that has this probability; default 1 = all. */
  topP?: number;
  /** Draw from the k most probable tokens; default 0 = all. */
  topK?: number;
  /** Continuations a prompt; default 1. */
  samples?: number;
  /** Default 0. */
  seed?: number;
  /** A system message put before every prompt that is a list of messages and has none. */
  system?: string;
  /** Run to maxNewTokens whatever comes. */
  ignoreEos?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: GenerateProgress) => void;
}

interface PreparedPrompt {
  id: string;
  tokens: number[];
}

type Settings = Required<Pick<GenerateOptions, "maxNewTokens" | "temperature" | "topP" | "topK" | "samples" | "seed">>;

/**
 * Sequences that grow side by side: each step reads every weight once for all of them, and past some
 * dozens the arithmetic, not the reading, takes the time.
 */
const AIMED_SEQUENCES = 64;

export async function* generateAll(
  model: Model,
  prompts: Iterable<GenerationPrompt> | AsyncIterable<GenerationPrompt>,
  options: GenerateOptions,
): AsyncGenerator<GenerationResult> {
  const { signal, onProgress } = options;
  const settings = checkSettings(options);
  const adapters = namedAdapters(options.adapters);
  const stops = options.ignoreEos ? [] : stopTokens(model);
  const held: GenerationResult[][] = adapters.map(() => []);
  const progress: GenerateProgress = { done: 0, tokens: 0 };
  if (Array.isArray(prompts)) progress.total = prompts.length;

  let chunk: PreparedPrompt[] = [];
  const flush = async (): Promise<GenerationResult[]> => {
    const before = progress.tokens;
    const made = await generateChunk(model, chunk, adapters, settings, stops, options, (tokens) => {
      progress.tokens = before + tokens;
      onProgress?.({ ...progress });
    });
    progress.done += chunk.length;
    onProgress?.({ ...progress });
    chunk = [];
    made.slice(1).forEach((results, index) => {
      held[index + 1]!.push(...results);
    });
    return made[0]!;
  };

  let index = 0;
  for await (const value of prompts) {
    throwIfAborted(signal);
    index++;
    const prepared = prepareOrSkip(options, () => prepare(model, value, index, settings, options.system));
    if (prepared === null) {
      progress.done++;
      continue;
    }
    chunk.push(prepared);
    if (chunk.length * adapters.length * settings.samples >= AIMED_SEQUENCES) yield* await flush();
  }
  if (chunk.length > 0) yield* await flush();
  for (const results of held) yield* results;
}

function checkSettings(options: GenerateOptions): Settings {
  const { maxNewTokens = 128, temperature = 0, topP = 1, topK = 0, samples = 1, seed = 0 } = options;
  const whole = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  if (!whole(maxNewTokens, 1))
    throw new UsageError(`max-new-tokens ${maxNewTokens}: give a whole number of at least 1`);
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new UsageError(`temperature ${temperature}: give a number of at least 0`);
  }
  if (!(topP > 0 && topP <= 1)) throw new UsageError(`top-p ${topP}: give a number above 0 and up to 1`);
  if (!whole(topK, 0)) throw new UsageError(`top-k ${topK}: give a whole number of at least 0`);
  if (!whole(samples, 1)) throw new UsageError(`samples ${samples}: give a whole number of at least 1`);
  if (!whole(seed, 0)) throw new UsageError(`seed ${seed}: give a whole number of at least 0`);
  return { maxNewTokens, temperature, topP, topK, samples, seed };
}

/** The prompt with the system message in front, where it is a list of messages that has none. */
export function withSystem(prompt: Prompt, system: string | undefined): Prompt {
  if (system === undefined || typeof prompt === "string" || prompt[0]?.role === "system") return prompt;
  return [{ role: "system", content: system }, ...prompt];
}

function prepare(
  model: Model,
  value: unknown,
  index: number,
  settings: Settings,
  system: string | undefined,
): PreparedPrompt {
  const prompt = parseRecord(generationPromptSchema, value, `prompt ${index}`);
  const tokens = prompt.prompt_tokens ?? encodePrompt(model, withSystem(prompt.prompt ?? "", system));
  const { vocabulary, maxPositions } = model.files.config;
  if (tokens.length === 0) throw new DataFormatError(`prompt "${prompt.id}": it has no tokens to continue`);
  checkTokens(tokens, vocabulary, `prompt "${prompt.id}"`);
  if (tokens.length + settings.maxNewTokens > maxPositions) {
    throw new DataFormatError(
      `prompt "${prompt.id}": ${tokens.length} tokens and ${settings.maxNewTokens} new ones are more than the model's ` +
        `${maxPositions} positions; shorten it or lower --max-new-tokens`,
    );
  }
  return { id: prompt.id, tokens };
}

/** The stream of random numbers that belongs to a prompt: 31 bits of its id's SHA-256. */
function streamOf(id: string): number {
  return createHash("sha256").update(id).digest().readUInt32LE(0) >>> 1;
}

/** One prompt with one adapter. */
interface Job {
  prompt: PreparedPrompt;
  adapter: number;
}

async function generateChunk(
  model: Model,
  chunk: readonly PreparedPrompt[],
  adapters: readonly [string, Adapter | null][],
  settings: Settings,
  stops: readonly number[],
  options: GenerateOptions,
  onTokens: (tokens: number) => void,
): Promise<GenerationResult[][]> {
  const jobs = adapters.flatMap((_, adapter) => chunk.map((prompt): Job => ({ prompt, adapter })));
  const batches = splitToFit(
    jobs,
    model.planner,
    (part) => generationShape(part, settings),
    ({ prompt }) => `prompt "${prompt.id}" (${prompt.tokens.length} tokens, ${settings.samples} samples)`,
    "raise --memory, or lower --max-new-tokens or --samples",
  );
  const results: GenerationResult[][] = adapters.map(() => []);
  let made = 0;
  for (const batch of batches) {
    const before = made;
    const generated = await withCancel(options.signal, (cancel) =>
      model.native.generate(
        {
          ...settings,
          prompts: batch.map(({ prompt }) => Int32Array.from(prompt.tokens)),
          adapters: Int32Array.from(batch, ({ adapter }) => adapters[adapter]![1]?.handle ?? 0),
          streams: Int32Array.from(batch, ({ prompt }) => streamOf(prompt.id)),
          stopTokens: Int32Array.from(stops),
        },
        cancel,
        (tokens) => onTokens(before + tokens),
      ),
    );
    batch.forEach(({ prompt, adapter }, position) => {
      for (let sample = 0; sample < settings.samples; sample++) {
        const at = position * settings.samples + sample;
        const tokens = Array.from(generated.tokens[at]!);
        const finish = generated.finish[at]!;
        made += tokens.length;
        results[adapter]!.push({
          id: prompt.id,
          adapter: adapters[adapter]![0],
          sample,
          text: textOf(model, finish === "stop" ? tokens.slice(0, -1) : tokens),
          tokens,
          finish,
          prompt_tokens: prompt.tokens.length,
        });
      }
    });
    onTokens(made);
  }
  return results;
}

function textOf(model: Model, tokens: number[]): string | null {
  if (model.tokenizer === null) return null;
  return tokens.length === 0 ? "" : model.tokenizer.decode(tokens);
}

function generationShape(jobs: readonly Job[], { samples, maxNewTokens }: Settings): NativeJobShape {
  const promptRows = jobs.reduce((rows, { prompt }) => rows + prompt.tokens.length, 0);
  const sequences = jobs.length * samples;
  // The last new token is not read: it needs no row.
  const grown = maxNewTokens - 1;
  return {
    job: "generate",
    rows: promptRows,
    targetRows: sequences,
    trees: jobs.length,
    longestPath: Math.max(...jobs.map(({ prompt }) => prompt.tokens.length)) + grown,
    recompute: false,
    sequences,
    cacheRows: promptRows + sequences * grown,
  };
}
