/** Pairs, responses and extractors for the tests of values. */
import type { PreferencePair } from "#lib/data/pairs.js";
import type { Exchange, Extractor, Scores } from "#lib/values/extractor.js";
import type { Value } from "#lib/values/taxonomy.js";

export function pair(
  id: string,
  chosen: string,
  rejected: string,
  prompt: PreferencePair["prompt"] = "Q",
): PreferencePair {
  return { id, prompt, chosen, rejected };
}

export function exchange(response: string, counterpart = ""): Exchange {
  return { prompt: "Q", response, pair: pair("p", response, counterpart), side: "chosen", counterpart };
}

export function value(name: string, definition = `The response is about ${name}.`): Value {
  return { name, kind: "value", definition, valence: "neutral", related: [], opposed: [] };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export interface FakeExtractor extends Extractor {
  /** Every response that was asked, with the values asked of it. */
  readonly asked: { response: string; values: string[] }[];
  /** Most calls that were under way at once. */
  readonly peak: () => number;
}

/** Scores a response 1 for each value whose name it holds; each call takes a few milliseconds. */
export function fakeExtractor(
  values: readonly Value[],
  options: Partial<Extractor> & { answer?: (exchange: Exchange) => Scores | Error } = {},
): FakeExtractor {
  const asked: FakeExtractor["asked"] = [];
  let running = 0;
  let peak = 0;
  return {
    name: "fake@1",
    settings: {},
    values: values.map(({ name }) => name),
    threshold: 0.5,
    cached: true,
    batchSize: 4,
    concurrency: 2,
    async score(batch, wanted, { signal }) {
      peak = Math.max(peak, ++running);
      try {
        await new Promise((resolve) => setTimeout(resolve, batch.length === 0 ? 0 : 2 + (asked.length % 3)));
        signal?.throwIfAborted();
        return batch.map((exchange) => {
          asked.push({ response: exchange.response, values: wanted.map(({ name }) => name) });
          if (options.answer !== undefined) return options.answer(exchange) as Scores;
          return Object.fromEntries(
            wanted.filter(({ name }) => exchange.response.includes(name)).map(({ name }) => [name, 1]),
          );
        });
      } finally {
        running -= 1;
      }
    },
    async dispose() {},
    ...options,
    asked,
    peak: () => peak,
  };
}
