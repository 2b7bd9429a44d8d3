/** What labelling will take of an extractor that is paid for: the responses it has not answered yet, and their tokens. */
import type { PreferencePair } from "../data/pairs.js";
import { throwIfAborted } from "../engine/cancel.js";
import { type ItemErrorOptions, prepareOrSkip } from "../engine/requests.js";
import type { Exchange, Extractor } from "./extractor.js";
import { exchangesOf } from "./label-pairs.js";
import { responseKey, type ScoreCache } from "./score-cache.js";
import type { Value } from "./taxonomy.js";

export interface AskingEstimate {
  /** Requests, where none has to be repeated. */
  requests: number;
  /** Different responses whose answers are in the cache. */
  known: number;
  tokensIn: number;
  tokensOut: number;
}

export interface EstimateOptions extends Pick<ItemErrorOptions, "onError"> {
  values: readonly Value[];
  cache: ScoreCache | null;
  signal?: AbortSignal | undefined;
}

/**
 * Reads all pairs, so that under `onError: "fail"` a bad one is found before anything is paid. Holds a key of some 60
 * bytes for each different response.
 *
 * @param sizeOf the extractor's
 * @throws what reading the pairs throws, DataFormatError, CancelledError
 */
export async function estimateAsking(
  pairs: AsyncIterable<PreferencePair>,
  sizeOf: NonNullable<Extractor["sizeOf"]>,
  { values, cache, signal, onError = "fail" }: EstimateOptions,
): Promise<AskingEstimate> {
  const estimate: AskingEstimate = { requests: 0, known: 0, tokensIn: 0, tokensOut: 0 };
  const seen = new Set<string>();
  const count = (exchange: Exchange): void => {
    const key = responseKey(exchange);
    if (seen.has(key)) return;
    seen.add(key);
    if (values.every((value) => cache?.get(key, value) !== undefined)) {
      estimate.known += 1;
      return;
    }
    const { tokensIn, tokensOut } = sizeOf(exchange);
    estimate.requests += 1;
    estimate.tokensIn += tokensIn;
    estimate.tokensOut += tokensOut;
  };
  for await (const pair of pairs) {
    throwIfAborted(signal);
    const sides = prepareOrSkip({ onError }, () => exchangesOf(pair));
    if (sides === null) continue;
    count(sides.chosen);
    count(sides.rejected);
  }
  return estimate;
}
