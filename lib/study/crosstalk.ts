/**
 * The built-in measure: log-probabilities of both responses of every held-out pair, for many adapters in one pass.
 *
 * Items of suite `crosstalk`, task = the value that the pair is about, nats, over the whole response with its end of
 * turn: `logprob_matching`, `logprob_not_matching`, `log_margin` = their difference, `log_margin_per_token` = the
 * difference of the means over each response's tokens.
 */
import { join } from "node:path";
import type { Adapter } from "../engine/adapter.js";
import type { Model } from "../engine/model.js";
import { writeFolder } from "../files/artefact-folder.js";
import { createAtomicWriter } from "../files/atomic.js";
import { readHeldOut } from "./held-out.js";
import type { EvaluateJob } from "./jobs.js";
import { doseFolder, type JobTools } from "./run-train.js";

/** A line of a job's items.jsonl: an evaluation item without the names, which the study adds in the end. */
export interface PartItem {
  suite: string;
  task: string;
  metric: string;
  item: string;
  cluster: string;
  sample?: number;
  y: number;
}

/** Adapters by their jobs' keys; null for a job that measures the model without one. They are disposed of at the end. */
export async function withAdapters<T>(
  jobs: readonly EvaluateJob[],
  model: Model,
  { store }: JobTools,
  work: (adapters: Record<string, Adapter | null>) => Promise<T>,
): Promise<T> {
  const adapters: Record<string, Adapter | null> = {};
  try {
    for (const { key, subject } of jobs)
      adapters[key] =
        subject.kind === "adapter"
          ? await model.loadAdapter(join(store.pathOf(subject.train), doseFolder(subject.dose)))
          : null;
    return await work(adapters);
  } finally {
    for (const adapter of Object.values(adapters)) await adapter?.dispose();
  }
}

/** Writes a job's items, all or nothing. */
export async function writeItems(job: EvaluateJob, { store }: JobTools, items: AsyncIterable<PartItem>): Promise<void> {
  await writeFolder(store.pathOf(job.key), store.plannedManifest(job), async (draft) => {
    const writer = await createAtomicWriter(join(draft, "items.jsonl"));
    try {
      for await (const item of items) await writer.write(`${JSON.stringify(item)}\n`);
      await writer.commit();
    } finally {
      await writer.abort();
    }
  });
}

/** @param jobs of one model and measure; those with a system prompt have that in common too */
export async function runCrosstalk(jobs: readonly EvaluateJob[], model: Model, tools: JobTools): Promise<void> {
  const [{ measure, subject }] = jobs as [EvaluateJob];
  const values = await readHeldOut(tools.store.folder, measure, model, subject);
  const flat = values.flatMap(({ value, pairs }) => pairs.map((pair) => ({ value, pair })));
  await withAdapters(jobs, model, tools, async (adapters) => {
    const results = model.score(
      flat.map(({ pair }, index) => ({
        id: String(index),
        context_tokens: pair.prompt,
        completions_tokens: [pair.chosen, pair.rejected],
      })),
      {
        adapters,
        ...(tools.signal === undefined ? {} : { signal: tools.signal }),
        onProgress: ({ done }) => tools.onProgress?.(done / flat.length, `pair ${done}/${flat.length}`),
      },
    );
    // Results come adapter by adapter: two for each pair.
    const next = async (): Promise<number> => {
      const { value, done } = await results.next();
      if (done) throw new RangeError("scoring ended before its requests did");
      return value.logprob;
    };
    for (const job of jobs) {
      const items = async function* (): AsyncGenerator<PartItem> {
        for (const { value, pair } of flat) {
          const [matching, other] = [await next(), await next()];
          const shared = { suite: "crosstalk", task: value };
          const item = { item: pair.id, cluster: pair.cluster };
          const perToken = matching / pair.chosen.length - other / pair.rejected.length;
          yield { ...shared, metric: "logprob_matching", ...item, y: matching };
          yield { ...shared, metric: "logprob_not_matching", ...item, y: other };
          yield { ...shared, metric: "log_margin", ...item, y: matching - other };
          yield { ...shared, metric: "log_margin_per_token", ...item, y: perToken };
        }
      };
      await writeItems(job, tools, items());
    }
  });
}
