/** How fast this machine works on a model: two training steps, some scoring and some generating on the study's own pairs. */
import { join } from "node:path";
import { type PreferencePair, readPairs } from "../data/pairs.js";
import type { Model } from "../engine/model.js";
import { tokenizePairs } from "../engine/tokenize-pairs.js";
import { trainDpo } from "../engine/train.js";
import type { TrainJob } from "./jobs.js";
import type { Rates } from "./plan.js";

const STEPS = 2;
const SCORED_PAIRS = 16;
const ANSWERS = 8;
const ANSWER_TOKENS = 16;

/** Tokens a second of each kind of work, on the pairs of `job`. The first step also reads the weights: the second counts. */
export async function measureRates(model: Model, job: TrainJob, folder: string, signal?: AbortSignal): Promise<Rates> {
  const wanted = Math.max(SCORED_PAIRS, job.training.batchPairs);
  const pairs: PreferencePair[] = [];
  for await (const pair of readPairs(join(folder, job.pairs.path))) if (pairs.push(pair) === wanted) break;
  const stop = signal === undefined ? {} : { signal };

  const { epochs: _, ...training } = job.training;
  let train = 0;
  await using adapter = await model.createAdapter({ ...job.adapter, seed: job.seed });
  for await (const step of trainDpo(model, adapter, pairs, { ...training, accumulate: 1, steps: STEPS, ...stop }))
    train = step.tokens / step.seconds;

  const { vocabulary, maxPositions } = model.files.config;
  const { pairs: tokens, report } = await tokenizePairs(model, pairs, maxPositions, vocabulary);
  const requests = tokens.map(({ id, prompt, chosen, rejected }) => ({
    id,
    context_tokens: prompt,
    completions_tokens: [chosen, rejected],
  }));
  const score = report.tokens / (await secondsFor(model.score(requests, { adapters: { probe: adapter }, ...stop })));

  const prompts = tokens.slice(0, ANSWERS).map(({ id, prompt }) => ({ id, prompt_tokens: prompt }));
  const generated = model.generate(prompts, {
    adapters: { probe: adapter },
    maxNewTokens: ANSWER_TOKENS,
    ignoreEos: true,
    ...stop,
  });
  const generate = (prompts.length * ANSWER_TOKENS) / (await secondsFor(generated));
  return { train, score, generate };
}

async function secondsFor(results: AsyncIterable<unknown>): Promise<number> {
  const started = performance.now();
  for await (const _ of results);
  return Math.max(1e-6, (performance.now() - started) / 1000);
}
