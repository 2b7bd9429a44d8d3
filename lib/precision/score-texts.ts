/** Scores labelled texts by any extractor, through the same cache and batches as `valora label`. */
import { throwIfAborted, ValoraError } from "../errors.js";
import { Asker, type Question } from "../values/asker.js";
import type { Exchange, Extractor, Scores } from "../values/extractor.js";
import type { ScoreCache } from "../values/score-cache.js";
import type { Value } from "../values/taxonomy.js";
import type { LabelledText } from "./labelled.js";

export interface ScoreTextsOptions {
  cache: ScoreCache | null;
  onError?: "fail" | "skip";
  onSkip?: (message: string) => void;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number) => void) | undefined;
}

/**
 * In the order of the texts; null where one could not be scored and such are to be skipped.
 *
 * @throws what the extractor throws, and its answer for a text where such fail
 */
export async function scoreTexts(
  texts: readonly LabelledText[],
  extractor: Extractor,
  values: readonly Value[],
  options: ScoreTextsOptions,
): Promise<(Scores | null)[]> {
  const { onError = "fail", onSkip, signal, onProgress } = options;
  const asker = new Asker(extractor, values, options.cache, signal);
  const scores: (Scores | null)[] = [];
  const ahead = 2 * extractor.batchSize * extractor.concurrency;
  try {
    for (let first = 0; first < texts.length; first += ahead) {
      throwIfAborted(signal);
      const asked: Question[] = texts.slice(first, first + ahead).map((text) => asker.ask(exchangeOf(text)));
      asker.send();
      for (const [index, { answer }] of asked.entries()) {
        const answered = await answer;
        if (answered instanceof ValoraError) {
          if (onError === "fail") throw answered;
          onSkip?.(`text "${texts[first + index]!.id}": ${answered.message}`);
          scores.push(null);
        } else scores.push(answered);
        onProgress?.(scores.length);
      }
    }
  } finally {
    await asker.close();
  }
  return scores;
}

/** A single text is the chosen response of a pair whose other one is empty. */
function exchangeOf({ id, prompt, response }: LabelledText): Exchange {
  const pair = { id, prompt, chosen: response, rejected: "" };
  return { prompt, response, pair, side: "chosen", counterpart: "" };
}
