/**
 * What every value extractor is: something that reads responses and says how strongly each expresses each value.
 * `labelPairs` (label-pairs.ts) drives any of them over preference pairs, with cache, concurrency and order in one place.
 */
import type { PreferencePair } from "../data/pairs.js";
import type { ValoraError } from "../errors.js";
import type { Value } from "./taxonomy.js";

export type Side = "chosen" | "rejected";

/** One response as an extractor sees it. */
export interface Exchange {
  /** What was answered: raw text, or the messages before the response. */
  prompt: NonNullable<PreferencePair["prompt"]>;
  response: string;
  /** Where it stands. Only extractors that are not cached may look at these three. */
  pair: PreferencePair;
  side: Side;
  /** The pair's other response. */
  counterpart: string;
}

/**
 * By value, in [0, 1]: how surely the response expresses it. A value that was asked and is absent is not expressed; a
 * value that was not asked is passed over.
 */
export type Scores = Record<string, number>;

/** What one response costs to be asked about, where asking is paid for. */
export interface AskingSize {
  tokensIn: number;
  tokensOut: number;
}

export interface ScoreCallOptions {
  signal?: AbortSignal | undefined;
}

/**
 * An extractor is made ready for the values it may be asked for (extractors.ts) and is disposed of by whoever made it.
 *
 * A cached extractor promises that a response's score for a value depends on the prompt, the response, the value's
 * name and definition, and `settings` - on nothing else in the batch. What it does depend on (a model's hash, the words
 * of an instruction, a sampling seed, the list of values where all are asked in one question) belongs into `settings`.
 */
export interface Extractor {
  /** Name and version, as pairs carry it: "lexicon@1". The version grows when the same settings give other scores. */
  readonly name: string;
  /** What its scores depend on beside name and text; plain JSON. Goes, as a hash, into cache keys and manifests. No secrets. */
  readonly settings: unknown;
  /** The names of the values it can score. */
  readonly values: readonly string[];
  /** A value is expressed from this score on, unless the caller says otherwise. */
  readonly threshold: number;
  /** Replaces `threshold` for the values it names. */
  readonly thresholds?: Readonly<Record<string, number>>;
  /** Whether its answers are kept on disk and equal responses are asked once: yes where asking costs more than a look-up. */
  readonly cached: boolean;
  /** Most responses of one call. */
  readonly batchSize: number;
  /** Most calls at a time. */
  readonly concurrency: number;
  /**
   * Scores of a batch, in its order. A response that cannot be scored is a ValoraError in its place, and the others
   * count; a rejection ends the run. The values are some of `values`; all responses of a batch are asked for the same.
   *
   * @throws CancelledError soon after the signal, where it can; the driver keeps what was answered before
   */
  score(
    batch: readonly Exchange[],
    values: readonly Value[],
    options: ScoreCallOptions,
  ): Promise<readonly (Scores | ValoraError)[]>;
  /** What asking about a response takes, roughly; there where it costs money, so that the sum is known before. */
  readonly sizeOf?: (exchange: Exchange) => AskingSize;
  /** Frees models and connections. Safe to call twice. */
  dispose(): Promise<void>;
}
