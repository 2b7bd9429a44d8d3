/**
 * Graders that ask a model: a local one for its log-odds of Yes against No (values/judge), or one behind an endpoint for
 * a checked JSON answer (values/api). Asking, retrying and remembering answers are those of the value extractors; what
 * is asked about here is a property of the answer, such as that it refuses, in the place of a value.
 */
import { DataFormatError, throwIfAborted, ValoraError } from "../../errors.js";
import { Asker, type Question } from "../../values/asker.js";
import type { Exchange, Extractor } from "../../values/extractor.js";
import { ScoreCache, settingsHash } from "../../values/score-cache.js";
import type { Value } from "../../values/taxonomy.js";
import type { Answer, Grade, Grader } from "./grader.js";
import { lineName } from "./rule.js";

/** Something that an answer has or has not. */
export interface Property {
  /** As lines of several properties carry it. */
  name: string;
  /** A sentence that holds where the answer has it: "The response …". */
  definition: string;
  /** What a line says of an answer that has it, and of one that has it not. */
  labels: readonly [yes: string, no: string];
  /** The value itself, where the property is that one is expressed. */
  value?: Value;
}

export interface AskedOptions {
  /** Lines carry the grader's name alone: for one that looks for one thing. Default false. */
  alone?: boolean;
  /** Keep answers on disk, where an extractor's scores are kept. Default true. */
  cache?: boolean;
}

/** What an extractor is asked for: a property in the form of a value. */
export function propertyValue({ name, definition, value }: Property): Value {
  if (value !== undefined) return value;
  return { name, kind: "value", definition, valence: "neutral", related: [], opposed: [] };
}

/**
 * Takes over the extractor, which has to be open for the properties' values. `y` is 1 from the extractor's own threshold
 * on; `score` is its score.
 */
export function askedGrader(
  name: string,
  extractor: Extractor,
  properties: readonly Property[],
  { alone = false, cache: cached = true }: AskedOptions = {},
): Grader {
  const values = properties.map(propertyValue);
  const ahead = 2 * extractor.batchSize * extractor.concurrency;
  return {
    name,
    version: extractor.name,
    settings: settingsHash(extractor),
    async *grade(answers, { signal, onError = "fail", onSkip }) {
      const cache = cached && extractor.cached ? await ScoreCache.open(extractor) : null;
      const asker = new Asker(extractor, values, cache, signal);
      const waiting: { answer: Answer; question: Question }[] = [];
      try {
        const settle = async function* (): AsyncGenerator<Grade> {
          asker.send();
          for (const { answer, question } of waiting.splice(0)) {
            const scores = await question.answer;
            if (!(scores instanceof ValoraError)) {
              for (const property of properties) {
                const score = scores[property.name] ?? 0;
                const y = score >= (extractor.thresholds?.[property.name] ?? extractor.threshold) ? 1 : 0;
                const grader = lineName(name, alone ? "" : property.name);
                yield { id: answer.id, grader, label: property.labels[y === 1 ? 0 : 1], y, score };
              }
            } else if (onError === "fail") throw scores;
            else onSkip?.(`answer "${answer.id}": ${scores.message}`);
          }
        };
        for await (const answer of answers) {
          throwIfAborted(signal);
          if (extractor.cached && answer.prompt.length === 0) {
            const error = new DataFormatError(
              `answer "${answer.id}": ${name} needs the prompt; add it, or --prompts FILE`,
            );
            if (onError === "fail") throw error;
            onSkip?.(error.message);
            continue;
          }
          waiting.push({ answer, question: asker.ask(exchangeOf(answer)) });
          if (waiting.length >= ahead) yield* settle();
        }
        yield* settle();
      } finally {
        await asker.close();
        await cache?.close();
      }
    },
    dispose: () => extractor.dispose(),
  };
}

/** An answer is the chosen response of a pair whose other one is empty. */
function exchangeOf({ id, prompt: given, text }: Answer): Exchange {
  const prompt = typeof given === "string" ? given : given.map((message) => ({ ...message }));
  const pair = { id, prompt, chosen: text, rejected: "" };
  return { prompt, response: text, pair, side: "chosen", counterpart: "" };
}
