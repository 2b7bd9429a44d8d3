/**
 * How far a subject has gone from the untrained model: KL(subject ‖ base), estimated by its definition. Answers are
 * drawn from the subject at temperature 1, and each gives log p_subject − log p_base over its tokens: an unbiased
 * estimate for the first `tokens` tokens of an answer, single ones of which may be negative.
 *
 * Items of suite `divergence`, task `sampled`, nats: `kl` a response, `kl_per_token`. A system prompt is part of the
 * subject: the base does not see it.
 */
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import type { Measurement } from "../evaluation/item.js";
import { type HeldOutPair, readHeldOut } from "./held-out.js";
import type { EvaluateJob, Measure } from "./jobs.js";
import { withAdapters, writeMeasurements } from "./measure.js";
import type { JobTools } from "./run-train.js";

type KlMeasure = Extract<Measure, { kind: "kl" }>;

/** Of the draws: one for all, so that subjects differ in what they are and not in their luck. */
const SEED = 0;

interface Prompt {
  id: string;
  cluster: string;
  /** As the subject sees it, and as the base does. */
  tokens: number[];
  baseTokens: number[];
}

/** @param jobs of one model and measure; those with a system prompt have that in common too */
export async function runDivergence(jobs: readonly EvaluateJob[], model: Model, tools: JobTools): Promise<void> {
  const [{ measure, subject }] = jobs as [EvaluateJob & { measure: KlMeasure }];
  const seen = (await readHeldOut(tools.store.folder, measure, model, subject)).flatMap(({ pairs }) => pairs);
  const base =
    subject.kind === "system"
      ? (await readHeldOut(tools.store.folder, measure, model, { kind: "base" })).flatMap(({ pairs }) => pairs)
      : seen;
  const prompts = choosePrompts(seen, base, measure.prompts);
  // Fewer prompts than asked for, because they are all the same, get more answers each.
  const samples = Math.ceil((measure.prompts * measure.samples) / prompts.length);
  const { maxPositions } = model.files.config;
  const longest = Math.max(...prompts.map(({ tokens, baseTokens }) => Math.max(tokens.length, baseTokens.length)));
  const maxNewTokens = Math.max(1, Math.min(measure.tokens, maxPositions - longest));
  const signal = tools.signal === undefined ? {} : { signal: tools.signal };
  await withAdapters(jobs, model, tools, async (adapters) => {
    const answers = new Map<string, { prompt: Prompt; sample: number; tokens: number[] }[]>(
      jobs.map(({ key }) => [key, []]),
    );
    const total = jobs.length * prompts.length * samples * maxNewTokens;
    const byId = new Map(prompts.map((prompt) => [prompt.id, prompt]));
    const generated = model.generate(
      prompts.map(({ id, tokens }) => ({ id, prompt_tokens: tokens })),
      {
        adapters,
        maxNewTokens,
        temperature: 1,
        samples,
        seed: SEED,
        ...signal,
        onProgress: ({ tokens }) => tools.onProgress?.((0.8 * tokens) / total, `answers, ${tokens} tokens`),
      },
    );
    for await (const { id, adapter, sample, tokens } of generated)
      answers.get(adapter)!.push({ prompt: byId.get(id)!, sample, tokens });
    for (const job of jobs) {
      const own = answers.get(job.key)!;
      const score = async (contextOf: (prompt: Prompt) => number[], adapter: Adapter | null): Promise<number[]> => {
        const logprobs: number[] = [];
        const requests = own.map(({ prompt, tokens }, index) => ({
          id: String(index),
          context_tokens: contextOf(prompt),
          completions_tokens: [tokens],
        }));
        for await (const { logprob } of model.score(requests, { adapters: { one: adapter }, ...signal }))
          logprobs.push(logprob);
        return logprobs;
      };
      const subjects = await score(({ tokens }) => tokens, adapters[job.key] ?? null);
      const bases = await score(({ baseTokens }) => baseTokens, null);
      const items = async function* (): AsyncGenerator<Measurement> {
        for (const [index, { prompt, sample, tokens }] of own.entries()) {
          const kl = subjects[index]! - bases[index]!;
          const shared = { suite: "divergence", task: "sampled" };
          const item = { item: prompt.id, cluster: prompt.cluster, sample };
          yield { ...shared, metric: "kl", ...item, y: kl };
          yield { ...shared, metric: "kl_per_token", ...item, y: kl / tokens.length };
        }
      };
      await writeMeasurements(job, tools, items());
    }
  });
}

/** The first pairs with different prompts, spread evenly over the values. */
function choosePrompts(seen: readonly HeldOutPair[], base: readonly HeldOutPair[], count: number): Prompt[] {
  const baseOf = new Map(base.map((pair) => [pair.id, pair.prompt]));
  const different = new Map<string, Prompt>();
  for (const { id, cluster, prompt } of seen) {
    const key = prompt.join(" ");
    const baseTokens = baseOf.get(id);
    if (baseTokens !== undefined && !different.has(key))
      different.set(key, { id, cluster, tokens: prompt, baseTokens });
  }
  const all = [...different.values()];
  if (all.length <= count) return all;
  return Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)]!);
}
