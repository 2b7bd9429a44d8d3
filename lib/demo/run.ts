/**
 * The demo: one adapter per trait, then what each did to the preference for every trait. Each part is kept under the hash
 * of everything that it depends on, so a second run does again only what has changed.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Model } from "../engine/model.js";
import { createAtomicWriter, writeFileAtomic } from "../files/atomic.js";
import { sha256File } from "../files/hash.js";
import { readJsonLines } from "../files/json-lines.js";
import { type Crosstalk, crosstalkMatrix } from "../metrics/crosstalk.js";
import type { Answer } from "../report/crosstalk-page.js";
import { cutsOf, type PlanFile, planDemo } from "./choose-plan.js";
import { INDUCED_TRAITS, MEASURED_TRAITS, readSample, sampleFile } from "./data.js";
import { type EvaluationItem, evaluateTraits, marginsOf, type ScoredAdapter } from "./evaluate.js";
import { induceTrait } from "./induce.js";
import type { DemoRun, DemoView } from "./settings.js";
import { writeReport } from "./write-report.js";

export interface DemoOptions {
  output: string;
  /** What training and scoring may take; a slow machine does less work. */
  minutes: number;
  seed: number;
  view: DemoView;
  signal?: AbortSignal;
}

export interface DemoResult {
  crosstalk: Crosstalk;
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

  const inputs = {
    model: await model.hash(),
    device: model.device.kind,
    adapters: hashes,
    data: await dataHash(),
    plan: planFile.plan,
  };
  const items = await evaluation(model, adapters, inputs, planFile, run, reused);
  const crosstalk = crosstalkMatrix(marginsOf(items), { seed: options.seed });
  const [first] = await readSample(INDUCED_TRAITS[0], "held-out", 1);
  const messages = first!.prompt!;
  const answers = await answer(model, adapters, messages, inputs, run, reused);
  const prompt = typeof messages === "string" ? messages : messages.at(-1)!.content;
  const seconds = (performance.now() - started) / 1000;
  const report = await writeReport({
    model,
    run,
    crosstalk,
    prompt,
    answers,
    cuts,
    planFile,
    adapterHashes: hashes,
    seconds,
  });
  return { crosstalk, prompt, answers, cuts, reused, report, seconds };
}

async function dataHash(): Promise<string> {
  const hash = createHash("sha256");
  for (const trait of MEASURED_TRAITS) hash.update(await sha256File(sampleFile(trait, "held-out")));
  return hash.digest("hex");
}

async function evaluation(
  model: Model,
  adapters: Record<string, ScoredAdapter>,
  inputs: object,
  { plan }: PlanFile,
  run: DemoRun,
  reused: string[],
): Promise<EvaluationItem[]> {
  const path = join(run.output, "items.jsonl");
  const made = await keep<EvaluationItem>(path, inputs, () => evaluateTraits(model, adapters, plan, run));
  if (made.reused) reused.push("scores");
  return made.lines;
}

/** One greedy answer of the untrained model and of each adapter. */
async function answer(
  model: Model,
  adapters: Record<string, ScoredAdapter>,
  prompt: NonNullable<Awaited<ReturnType<typeof readSample>>[number]["prompt"]>,
  inputs: object,
  run: DemoRun,
  reused: string[],
): Promise<Answer[]> {
  const bar = run.view.progress("answering", "tokens", ANSWER_TOKENS * Object.keys(adapters).length);
  try {
    const made = await keep(join(run.output, "answers.jsonl"), { ...inputs, prompt, ANSWER_TOKENS }, () =>
      model.generate([{ id: "answer", prompt }], {
        adapters: Object.fromEntries(Object.entries(adapters).map(([name, { adapter }]) => [name, adapter])),
        maxNewTokens: ANSWER_TOKENS,
        onProgress: ({ tokens }) => bar.update(tokens),
        ...(run.signal === undefined ? {} : { signal: run.signal }),
      }),
    );
    if (made.reused) reused.push("answers");
    return made.lines.map(({ adapter, text, finish }) => ({
      adapter,
      text: `${text ?? ""}${finish === "length" ? " …" : ""}`,
    }));
  } finally {
    bar.stop();
  }
}

/** The lines of `path` where it was made from the same inputs and is what was written then; else makes it. */
async function keep<T>(
  path: string,
  inputs: object,
  make: () => AsyncIterable<T>,
): Promise<{ lines: T[]; reused: boolean }> {
  const manifest = `${path}.manifest.json`;
  const wanted = createHash("sha256").update(JSON.stringify(inputs)).digest("hex");
  try {
    const saved = JSON.parse(await readFile(manifest, "utf8")) as { inputs: string; sha256: string };
    if (saved.inputs === wanted && saved.sha256 === (await sha256File(path)))
      return { lines: await readAll<T>(path), reused: true };
  } catch {
    // Missing or damaged: made again.
  }
  const writer = await createAtomicWriter(path);
  const lines: T[] = [];
  try {
    for await (const line of make()) {
      lines.push(line);
      await writer.write(`${JSON.stringify(line)}\n`);
    }
    await writer.commit();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writeFileAtomic(
    manifest,
    `${JSON.stringify({ inputs: wanted, made_from: inputs, sha256: await sha256File(path) }, null, 2)}\n`,
  );
  return { lines, reused: false };
}

async function readAll<T>(path: string): Promise<T[]> {
  const lines: T[] = [];
  for await (const { value } of readJsonLines(path)) lines.push(value as T);
  return lines;
}
