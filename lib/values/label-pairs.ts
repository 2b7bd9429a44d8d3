/**
 * The one driver of all extractors: preference pairs in, the same pairs with `values`, `scores` and `extractor` out, in
 * order, holding a bounded number of pairs at a time.
 */
import type { PreferencePair } from "../data/pairs.js";
import { throwIfAborted } from "../engine/cancel.js";
import { type ItemErrorOptions, prepareOrSkip } from "../engine/requests.js";
import { DataFormatError, ValoraError } from "../errors.js";
import { Asker, type Question } from "./asker.js";
import type { Exchange, Extractor, Scores, Side } from "./extractor.js";
import type { ScoreCache } from "./score-cache.js";
import type { Value } from "./taxonomy.js";

export interface LabelProgress {
  /** Pairs that have come out. */
  pairs: number;
  /** Responses that the extractor was asked, and those whose answer was there already. */
  asked: number;
  known: number;
}

export interface LabelPairsOptions extends ItemErrorOptions {
  /** Some of those that the extractor can score. */
  values: readonly Value[];
  /** Replaces the extractor's own threshold, for every value. */
  threshold?: number | undefined;
  /** Where answers of a cached extractor are kept; without one, equal responses are still asked once while in flight. */
  cache?: ScoreCache | null | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: LabelProgress) => void) | undefined;
}

export type LabelledPair = PreferencePair & Required<Pick<PreferencePair, "values" | "scores" | "extractor">>;

interface WaitingPair {
  pair: PreferencePair;
  chosen: Question;
  rejected: Question;
}

/**
 * Labels that a pair brings along are replaced; its other fields stay. A pair without text, or with a response that
 * cannot be scored, fails or is left out as `onError` says. Leaving the loop early, or the signal, ends the calls that
 * are under way; what they had answered is in the cache.
 *
 * @throws DataFormatError, CancelledError, and what the extractor throws
 */
export async function* labelPairs(
  pairs: Iterable<PreferencePair> | AsyncIterable<PreferencePair>,
  extractor: Extractor,
  options: LabelPairsOptions,
): AsyncGenerator<LabelledPair> {
  const { values, signal, onProgress } = options;
  const asker = new Asker(extractor, values, options.cache ?? null, signal);
  const waiting: WaitingPair[] = [];
  // Room for every call to be full and the next ones to be filling: the first pair's batch is then under way.
  const ahead = 2 * extractor.batchSize * extractor.concurrency;
  let done = 0;
  const finish = async ({ pair, chosen, rejected }: WaitingPair): Promise<LabelledPair | null> => {
    if (!chosen.sent || !rejected.sent) asker.send();
    const [first, second] = [await chosen.answer, await rejected.answer];
    onProgress?.({ pairs: ++done, asked: asker.asked, known: asker.known });
    return prepareOrSkip(options, () => label(pair, scoresOf(first), scoresOf(second), extractor, options));
  };
  try {
    for await (const pair of pairs) {
      throwIfAborted(signal);
      const sides = prepareOrSkip(options, () => exchangesOf(pair));
      if (sides === null) continue;
      waiting.push({ pair, chosen: asker.ask(sides.chosen), rejected: asker.ask(sides.rejected) });
      if (waiting.length < ahead) continue;
      const labelled = await finish(waiting.shift()!);
      if (labelled !== null) yield labelled;
    }
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      throwIfAborted(signal);
      const labelled = await finish(next);
      if (labelled !== null) yield labelled;
    }
  } finally {
    await asker.close();
  }
}

/**
 * Both responses as an extractor sees them.
 *
 * @throws DataFormatError where the pair is in tokens alone
 */
export function exchangesOf(pair: PreferencePair): Record<Side, Exchange> {
  const { prompt, chosen, rejected } = pair;
  if (prompt === undefined || chosen === undefined || rejected === undefined)
    throw new DataFormatError(`pair "${pair.id}" has tokens and no text, and values are read in text; add the text`);
  return {
    chosen: { prompt, response: chosen, pair, side: "chosen", counterpart: rejected },
    rejected: { prompt, response: rejected, pair, side: "rejected", counterpart: chosen },
  };
}

function scoresOf(answer: Scores | ValoraError): Scores {
  if (answer instanceof ValoraError) throw answer;
  return answer;
}

function label(
  pair: PreferencePair,
  chosen: Scores,
  rejected: Scores,
  extractor: Extractor,
  { values, threshold }: LabelPairsOptions,
): LabelledPair {
  const expressed = (scores: Scores): string[] =>
    values
      .map(({ name }) => name)
      .filter((name) => (scores[name] ?? 0) >= (threshold ?? extractor.thresholds?.[name] ?? extractor.threshold));
  return {
    ...pair,
    values: { chosen: expressed(chosen), rejected: expressed(rejected) },
    scores: { chosen, rejected },
    extractor: extractor.name,
  };
}
