/**
 * The demo: one adapter per trait, then what each did to the preference for every trait. Each part is kept under the hash
 * of everything that it depends on, so a second run does again only what has changed.
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Prompt } from "../engine/encode.js";
import type { GenerationResult } from "../engine/generate.js";
import { manifestOf } from "../engine/manifest-of.js";
import type { Model } from "../engine/model.js";
import { isUpToDate, writeArtefact } from "../files/artefact.js";
import { sha256File } from "../files/hash.js";
import { readJsonLines } from "../files/json-lines.js";
import type { Manifest } from "../files/manifest.js";
import type { Effect } from "../report/collect.js";
import { cutsOf, planDemo } from "./choose-plan.js";
import { INDUCED_TRAITS, MEASURED_TRAITS, readSample, sampleFile } from "./data.js";
import { evaluateTraits, type ScoredAdapter } from "./evaluate.js";
import { induceTrait } from "./induce.js";
import type { DemoPlan } from "./plan.js";
import { ADAPTER, type DemoRun, type DemoView, trainingOf } from "./settings.js";
import { writeDemoReport } from "./write-report.js";

export interface DemoOptions {
  output: string;
  /** What training and scoring may take; a slow machine does less work. */
  minutes: number;
  seed: number;
  view: DemoView;
  signal?: AbortSignal;
}

export interface Answer {
  /** "base", or the value that was induced. */
  adapter: string;
  text: string;
}

export interface DemoResult {
  /** The cells of the crosstalk matrix, row by row. */
  cells: Effect[];
  /** What moved, one sentence a trait. */
  findings: string[];
  prompt: string;
  answers: Answer[];
  /** What was left out to stay within the time. */
  cuts: string[];
  /** What an earlier run had done. */
  reused: string[];
  report: string;
  seconds: number;
}

const ANSWER_TOKENS = 48;

export async function runDemo(model: Model, options: DemoOptions): Promise<DemoResult> {
  const started = performance.now();
  await mkdir(options.output, { recursive: true });
  const run: DemoRun = { output: options.output, seed: options.seed, view: options.view, signal: options.signal };
  const planFile = await planDemo(model, options.minutes, run);
  const cuts = cutsOf(planFile);
  if (cuts.length > 0)
    run.view.note(
      `this machine trains ${planFile.pairsPerSecond.toFixed(1)} pairs/s; cut to stay near ${options.minutes} minutes: ${cuts.join("; ")}`,
    );

  const reused: string[] = [];
  const adapters: Record<string, ScoredAdapter> = { base: { adapter: null, steps: 0 } };
  const hashes: Record<string, string> = {};
  for (const trait of INDUCED_TRAITS) {
    const { adapter, steps, reused: old } = await induceTrait(model, trait, planFile.plan, run);
    adapters[trait] = { adapter, steps };
    hashes[trait] = await adapter.hash();
    if (old) reused.push(`adapter ${trait}`);
    run.view.note(`adapter ${trait}: ${old ? "unchanged, taken from an earlier run" : `${steps} steps`}`);
  }

  const { minutes, plan } = planFile;
  const manifest = await manifestOf(model, {
    command: "demo",
    options: { model: model.name, minutes, plan, adapter: ADAPTER, training: trainingOf(plan, options.seed) },
    seed: options.seed,
    sha256: { data: await dataHash(), ...hashes },
  });
  const parts: Parts = { model, adapters, manifest, run, reused };
  await evaluation(parts, plan);
  const [first] = await readSample(INDUCED_TRAITS[0], "held-out", 1);
  const messages = first!.prompt!;
  const answers = await answer(parts, messages);
  const prompt = typeof messages === "string" ? messages : messages.at(-1)!.content;
  const seconds = (performance.now() - started) / 1000;
  const report = await writeDemoReport({ model, run, answers: { prompt, answers }, cuts, planFile, manifest, seconds });
  const { page, effects: cells, findings } = report;
  return { cells, findings, prompt, answers, cuts, reused, report: page, seconds };
}

async function dataHash(): Promise<string> {
  const hash = createHash("sha256");
  for (const trait of MEASURED_TRAITS) hash.update(await sha256File(sampleFile(trait, "held-out")));
  return hash.digest("hex");
}

/** What the two measured parts work with. */
interface Parts {
  model: Model;
  adapters: Record<string, ScoredAdapter>;
  /** Of the demo as a whole: what both depend on. */
  manifest: Manifest;
  run: DemoRun;
  /** Gets the name of a part that an earlier run had done. */
  reused: string[];
}

async function evaluation(parts: Parts, plan: DemoPlan): Promise<void> {
  const { model, adapters, manifest, run, reused } = parts;
  const path = join(run.output, "items.jsonl");
  if (await isUpToDate(path, manifest)) reused.push("scores");
  else await writeArtefact(path, manifest, writeLines(evaluateTraits(model, adapters, plan, run)));
}

/** One greedy answer of the untrained model and of each adapter. */
async function answer(parts: Parts, prompt: Prompt): Promise<Answer[]> {
  const { model, adapters, manifest: whole, run, reused } = parts;
  const path = join(run.output, "answers.jsonl");
  const manifest = { ...whole, options: { ...whole.options, prompt, maxNewTokens: ANSWER_TOKENS } };
  if (await isUpToDate(path, manifest)) reused.push("answers");
  else {
    const bar = run.view.progress("answering", "tokens", ANSWER_TOKENS * Object.keys(adapters).length);
    const results = model.generate([{ id: "answer", prompt }], {
      adapters: Object.fromEntries(Object.entries(adapters).map(([name, { adapter }]) => [name, adapter])),
      maxNewTokens: ANSWER_TOKENS,
      onProgress: ({ tokens }) => bar.update(tokens),
      ...(run.signal === undefined ? {} : { signal: run.signal }),
    });
    try {
      await writeArtefact(path, manifest, writeLines(results));
    } finally {
      bar.stop();
    }
  }
  const lines = await readLines<GenerationResult>(path);
  return lines.map(({ adapter, text, finish }) => ({
    adapter,
    text: `${text ?? ""}${finish === "length" ? " …" : ""}`,
  }));
}

function writeLines(lines: AsyncIterable<unknown>): (write: (text: string) => Promise<void>) => Promise<void> {
  return async (write) => {
    for await (const line of lines) await write(`${JSON.stringify(line)}\n`);
  };
}

async function readLines<T>(path: string): Promise<T[]> {
  const lines: T[] = [];
  for await (const { value } of readJsonLines(path)) lines.push(value as T);
  return lines;
}
