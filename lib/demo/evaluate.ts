/** Scores every held-out pair under every adapter in one pass, as evaluation items (items.jsonl). */
import type { Adapter } from "../engine/adapter.js";
import { encodeResponse, endOfTurn } from "../engine/encode.js";
import type { Model } from "../engine/model.js";
import { MEASURED_TRAITS, readSample } from "./data.js";
import type { DemoPlan } from "./plan.js";
import type { DemoRun } from "./settings.js";

/** A line of items.jsonl: the contract's evaluation item, without the fields that do not apply. */
export interface EvaluationItem {
  model: string;
  adapter: string;
  /** The induced value; absent for the untrained model. */
  value?: string;
  arm?: "induce";
  seed: number;
  step: number;
  suite: "persona";
  /** The trait that the pair is about. */
  task: string;
  metric: "log_margin" | "logprob_matching" | "logprob_not_matching";
  item: string;
  cluster: string;
  /** Nats, over the whole answer with its end-of-turn token. */
  y: number;
}

export interface ScoredAdapter {
  /** null = the untrained model, named "base". */
  adapter: Adapter | null;
  /** Optimiser steps that it was trained for. */
  steps: number;
}

/** Yields items adapter by adapter, pair by pair. */
export async function* evaluateTraits(
  model: Model,
  adapters: Record<string, ScoredAdapter>,
  plan: DemoPlan,
  run: DemoRun,
): AsyncGenerator<EvaluationItem> {
  const tasks = new Map<string, string>();
  const end = endOfTurn(model);
  const requests = [];
  for (const trait of MEASURED_TRAITS) {
    for (const { id, prompt = "", chosen = "", rejected = "" } of await readSample(
      trait,
      "held-out",
      plan.heldOutPairs,
    )) {
      tasks.set(id, trait);
      requests.push({
        id,
        context_tokens: model.encodePrompt(prompt),
        completions_tokens: [encodeResponse(model, chosen, end), encodeResponse(model, rejected, end)],
      });
    }
  }
  const bar = run.view.progress(`scoring ${Object.keys(adapters).length} models`, "pairs", requests.length);
  try {
    const results = model.score(requests, {
      adapters: Object.fromEntries(Object.entries(adapters).map(([name, { adapter }]) => [name, adapter])),
      onProgress: ({ done }) => bar.update(done),
      ...(run.signal === undefined ? {} : { signal: run.signal }),
    });
    let matching = Number.NaN;
    for await (const { id, adapter, completion, logprob } of results) {
      if (completion === 0) {
        matching = logprob;
        continue;
      }
      const induced = adapter === "base" ? {} : ({ value: adapter, arm: "induce" } as const);
      const shared = {
        model: model.name,
        adapter,
        ...induced,
        seed: run.seed,
        step: adapters[adapter]!.steps,
        suite: "persona" as const,
        task: tasks.get(id)!,
      };
      const item = { item: id, cluster: id };
      yield { ...shared, metric: "logprob_matching", ...item, y: matching };
      yield { ...shared, metric: "logprob_not_matching", ...item, y: logprob };
      yield { ...shared, metric: "log_margin", ...item, y: matching - logprob };
    }
  } finally {
    bar.stop();
  }
}
