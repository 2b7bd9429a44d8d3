/**
 * The judge's open-ended mode, the study's own way of asking (arXiv 2605.07925): a local model names the values that a
 * response expresses, in its own words. What it says is taken apart and found again among the names and synonyms of the
 * values looked for; names that are none of these are counted and reported. A value scores 1 where it was named.
 */
import type { GenerationPrompt } from "../../engine/generate.js";
import type { Model } from "../../engine/model.js";
import { DataFormatError, type ValoraError } from "../../errors.js";
import type { Exchange, Extractor, Scores } from "../extractor.js";
import { responseIds } from "../response-ids.js";
import type { Value } from "../taxonomy.js";
import { NameFinder } from "./names.js";
import { exchangeText, WORDING } from "./questions.js";

/** Grows when the same settings give other scores. */
const NAME = "judge-list@1";

/** Responses that are continued side by side, and between two writes of the cache. */
const BATCH = 16;
/** About twenty names; a model that goes on talks about something else. */
const MAX_NEW_TOKENS = 64;
/** Unknown names that are told, the most frequent first. */
const TOLD = 10;

const LIST_WORDING = {
  ask: "Name the values that the response expresses. Write only their names, one or two words each, separated by commas.",
  /** After which a model without a chat template answers. */
  cue: "\nValues:",
} as const;

export interface ListJudgeOptions {
  /** Told, when the judge is disposed of, which values it named that were not looked for. */
  onNote?: ((message: string) => void) | undefined;
}

/** Disposes of the model with the extractor, and where it cannot be made. */
export async function openListJudge(
  values: readonly Value[],
  openModel: () => Promise<Model>,
  { onNote }: ListJudgeOptions = {},
): Promise<Extractor> {
  const model = await openModel();
  const finder = new NameFinder(values);
  const unknown = new Map<string, number>();
  let [answers, empty, told] = [0, 0, false];
  const count = (names: readonly string[], isEmpty: boolean): void => {
    answers++;
    if (isEmpty) empty++;
    for (const name of names) unknown.set(name, (unknown.get(name) ?? 0) + 1);
  };
  try {
    return {
      name: NAME,
      settings: {
        model: await model.hash(),
        template: model.chatTemplate?.source ?? null,
        compute: model.device.compute,
        wording: { ...WORDING, ask: LIST_WORDING.ask, cue: LIST_WORDING.cue },
        maxNewTokens: MAX_NEW_TOKENS,
        names: finder.names,
      },
      values: values.map(({ name }) => name),
      threshold: 0.5,
      cached: true,
      batchSize: BATCH,
      concurrency: 1,
      score: (batch, asked, { signal }) => nameValues(model, finder, batch, asked, count, signal),
      async dispose() {
        if (!told && answers > 0) onNote?.(describe(answers, empty, unknown));
        told = true;
        await model.dispose();
      },
    };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

async function nameValues(
  model: Model,
  finder: NameFinder,
  batch: readonly Exchange[],
  asked: readonly Value[],
  count: (unknown: readonly string[], isEmpty: boolean) => void,
  signal: AbortSignal | undefined,
): Promise<(Scores | ValoraError)[]> {
  const ids = responseIds(batch);
  const places = new Map(ids.map((id, index) => [id, index]));
  const answers = new Array<Scores | undefined>(batch.length);
  const reasons: string[] = [];
  const prompts = batch.map(({ prompt, response }, index): GenerationPrompt => {
    const content = `${exchangeText({ prompt, response })}${WORDING.question}\n${LIST_WORDING.ask}`;
    const isBase = model.chatTemplate === null;
    return { id: ids[index]!, prompt: isBase ? content + LIST_WORDING.cue : [{ role: "user", content }] };
  });
  const generated = model.generate(prompts, {
    maxNewTokens: MAX_NEW_TOKENS,
    ...(signal && { signal }),
    onError: "skip",
    onSkip: (reason) => reasons.push(reason),
  });
  for await (const { id, text } of generated) {
    const { found, unknown } = finder.find(text ?? "");
    count(unknown, found.size + unknown.length === 0);
    answers[places.get(id)!] = Object.fromEntries(
      asked.filter(({ name }) => found.has(name)).map(({ name }) => [name, 1]),
    );
  }
  // What was left out is told in the order of the prompts.
  return Array.from(answers, (answer) => answer ?? new DataFormatError(reasons.shift() ?? "a response was left out"));
}

function describe(answers: number, empty: number, unknown: ReadonlyMap<string, number>): string {
  const total = [...unknown.values()].reduce((sum, count) => sum + count, 0);
  const told = [...unknown].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, TOLD);
  const list = told.map(([name, count]) => `${name} (${count})`).join(", ");
  const rest = unknown.size > told.length ? `, and ${unknown.size - told.length} others` : "";
  const named =
    total === 0
      ? "every name is a value that was looked for"
      : `${total} names are of no value that was looked for: ${list}${rest}`;
  return `judge: of ${answers} answers ${empty} name nothing; ${named}`;
}
