/**
 * The demo: the study `smoke` (data/studies), cut to what this machine does in the minutes it is given, and its report. It
 * is stopped, continued and repeated as any study is.
 */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import type { DeviceChoice } from "../engine/device.js";
import type { Model } from "../engine/model.js";
import { UsageError, ValoraError } from "../errors.js";
import { writeFileAtomic } from "../files/atomic.js";
import { readJsonLines } from "../files/json-lines.js";
import { NAMED_MODELS } from "../models/registry.js";
import type { Compute } from "../native.js";
import { type Effect, isArm } from "../report/collect.js";
import { type About, writeReport } from "../report/write-report.js";
import type { ModelRef } from "../study/jobs.js";
import { CROSSTALK } from "../study/measure.js";
import { addCosts, type Rates, secondsOf } from "../study/plan.js";
import { type PreparedStudy, prepareStudy } from "../study/prepare-study.js";
import { measureRates } from "../study/probe.js";
import { readStudy } from "../study/read-study.js";
import { runStudy } from "../study/run.js";
import { StudyStore } from "../study/store.js";
import { changesOf, choosePlan, DEMO_PLANS, type DemoPlan, describeCuts } from "./plan.js";

export interface DemoOptions {
  output: string;
  /** What training and measuring may take; a slow machine does less work. */
  minutes: number;
  seed: number;
  /** A name or a path. */
  model: string;
  device: DeviceChoice;
  compute: Compute;
  openModel: (model: ModelRef) => Promise<Model>;
  view: DemoView;
  signal?: AbortSignal | undefined;
}

/** The part of a terminal that the demo writes to while it runs. */
export interface DemoView {
  note(message: string): void;
  progress(
    label: string,
    unit: string,
    total?: number,
    from?: number,
  ): { update(done: number, detail?: string): void; stop(): void };
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
  /** Jobs that ran, and that an earlier run had done. */
  ran: number;
  reused: number;
  report: string;
}

const STUDY = fileURLToPath(new URL("../../data/studies/smoke.yaml", import.meta.url));
/** The suite that keeps an answer of every model; the study names it. */
const OPEN_QUESTION = "self-description";

/** What study.yaml is called in a folder of the demo. */
const NAME = "valora demo";

/** Kept as demo.json, so that a run that was interrupted goes on with the same work. */
interface DemoFile {
  minutes: number;
  seed: number;
  model: string;
  plan: DemoPlan;
  rates: Rates;
  expectedSeconds: number;
}

/** @throws UsageError where the folder holds other work; what preparing, running and reporting a study throws */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { output, minutes, signal, view } = options;
  await refuseOtherStudy(output);
  await using store = await StudyStore.open(output);
  const prepare = (plan: DemoPlan) => prepareDemo(plan, store, options);
  const handed = new HandedModel(options.openModel);
  try {
    const file = (await readDemoFile(store.folder, options)) ?? (await planDemo(store, handed, prepare, options));
    const cuts = describeCuts(file.plan);
    if (cuts.length > 0)
      view.note(
        `this machine trains ${Math.round(file.rates.train)} tokens/s; cut to stay near ${minutes} minutes: ${cuts.join("; ")}`,
      );
    const prepared = await prepare(file.plan);
    const { ran, reused } = await run(prepared, store, handed, options);
    const { prompt, answers } = await readAnswers(store.folder);
    const written = await writeReport(store.folder, {
      about: aboutOf(prepared, file, { prompt, answers }),
      ...(signal === undefined ? {} : { signal }),
    });
    const cells = written.effects.filter(
      ({ suite, metric, final, arm }) =>
        suite === CROSSTALK && metric === "log_margin" && final && isArm(arm, "induce"),
    );
    return { cells, findings: written.findings, prompt, answers, cuts, ran, reused, report: written.page };
  } finally {
    await handed.dispose();
  }
}

/** A study of the user's own, which the demo's would take the place of. @throws UsageError */
async function refuseOtherStudy(folder: string): Promise<void> {
  const text = await readFile(join(folder, "study.yaml"), "utf8").catch(() => null);
  if (text === null) return;
  let study: unknown;
  try {
    study = parse(text);
  } catch {
    study = null;
  }
  if ((study as { name?: unknown } | null)?.name !== NAME)
    throw new UsageError(`output ${folder}: it holds another study; choose another folder`);
}

async function prepareDemo(plan: DemoPlan, store: StudyStore, options: DemoOptions): Promise<PreparedStudy> {
  const { model, seed, device, compute, signal } = options;
  const path = model in NAMED_MODELS ? model : resolve(model);
  const study = await readStudy(STUDY, {
    changes: [[["name"], NAME], [["models"], [{ model: path, name: model }]], [["seeds"], [seed]], ...changesOf(plan)],
  });
  const prepared = await prepareStudy(study, store, { device, compute, signal });
  if (prepared.models.length === 0) throw new UsageError(prepared.missing[0]!.reason);
  return prepared;
}

/** One model that is opened at most once for probe and study; whoever runs the study disposes of it. */
class HandedModel {
  private model: Model | null = null;

  constructor(private readonly open: (model: ModelRef) => Promise<Model>) {}

  async look(ref: ModelRef): Promise<Model> {
    this.model ??= await this.open(ref);
    return this.model;
  }

  async take(ref: ModelRef): Promise<Model> {
    const model = await this.look(ref);
    this.model = null;
    return model;
  }

  async dispose(): Promise<void> {
    await this.model?.dispose();
    this.model = null;
  }
}

/** Measures the machine and takes the largest plan that it does in time. */
async function planDemo(
  store: StudyStore,
  model: HandedModel,
  prepare: (plan: DemoPlan) => Promise<PreparedStudy>,
  { minutes, seed, model: name, view, signal }: DemoOptions,
): Promise<DemoFile> {
  const whole = await prepare(DEMO_PLANS[0]!);
  const bar = view.progress("measuring speed", "steps");
  let rates: Rates;
  try {
    const job = whole.jobs.find(({ kind }) => kind === "train");
    if (job?.kind !== "train") throw new RangeError("the study trains nothing");
    rates = await measureRates(await model.look(job.model), job, store.folder, signal);
  } finally {
    bar.stop();
  }
  const chosen = await choosePlan(minutes * 60, async (plan) =>
    secondsOf(addCosts((plan === DEMO_PLANS[0] ? whole : await prepare(plan)).costs.values()), rates),
  );
  const file: DemoFile = { minutes, seed, model: name, rates, ...chosen };
  await writeFileAtomic(join(store.folder, "demo.json"), `${JSON.stringify(file, null, 2)}\n`);
  return file;
}

/** The plan of an earlier run where it was asked for the same. */
async function readDemoFile(folder: string, { minutes, seed, model }: DemoOptions): Promise<DemoFile | null> {
  try {
    const file = JSON.parse(await readFile(join(folder, "demo.json"), "utf8")) as DemoFile;
    const same = file.minutes === minutes && file.seed === seed && file.model === model;
    return same && typeof file.plan.trainPairs === "number" && typeof file.rates.train === "number" ? file : null;
  } catch {
    return null;
  }
}

async function run(
  prepared: PreparedStudy,
  store: StudyStore,
  model: HandedModel,
  { view, signal }: DemoOptions,
): Promise<{ ran: number; reused: number }> {
  let bar: ReturnType<DemoView["progress"]> | undefined;
  try {
    const result = await runStudy(prepared, store, {
      openModel: (ref) => model.take(ref),
      signal,
      onStart: ({ total, left }) => {
        bar = view.progress("demo", "tokens", Math.ceil(total), Math.round(total - left));
      },
      onProgress: (done, detail) => bar?.update(Math.round(done), detail),
    });
    const [failure] = result.failures;
    if (failure !== undefined)
      throw new ValoraError("ERR_STUDY", `${failure.label}: ${failure.reason}; the same command tries it again`);
    return { ran: result.ran, reused: result.reused };
  } finally {
    bar?.stop();
  }
}

/** What the untrained model said, and each trait's adapter at the end of its training. */
async function readAnswers(folder: string): Promise<{ prompt: string; answers: Answer[] }> {
  const last = new Map<string, Answer>();
  for await (const { value } of readJsonLines(join(folder, "answers.jsonl"))) {
    const line = value as {
      suite: string;
      adapter: string;
      value?: string;
      arm?: string;
      text: string;
      finish: string;
    };
    if (line.suite !== OPEN_QUESTION || (line.adapter !== "base" && line.arm !== "induce")) continue;
    const text = line.finish === "length" ? `${line.text} …` : line.text;
    last.set(line.adapter, { adapter: line.value ?? "base", text });
  }
  let prompt = "";
  for await (const { value } of readJsonLines(join(folder, "examples.jsonl"))) {
    const example = value as { suite?: string; prompt: string | { content: string }[] };
    if (example.suite !== OPEN_QUESTION) continue;
    prompt = typeof example.prompt === "string" ? example.prompt : example.prompt.at(-1)!.content;
  }
  return { prompt, answers: [...last.values()] };
}

function aboutOf(
  { file: { study }, models, data }: PreparedStudy,
  { plan, rates }: DemoFile,
  answers: NonNullable<About["answers"]>,
): About {
  const [model] = models;
  const cuts = describeCuts(plan);
  const { training, doses } = study;
  const induced = data.values.filter(({ train }) => train.size > 0);
  return {
    title: `What moved when ${induced.length} traits were induced into ${model!.ref.name}`,
    warnings: cuts.length === 0 ? [] : [`Cut to stay within the time: ${cuts.join("; ")}.`],
    answers,
    facts: [
      ["model", `${model!.ref.name}, ${(model!.text.files.parameters / 1e6).toFixed(0)} million parameters`],
      ["speed", `${Math.round(rates.train)} tokens/s in training`],
      ["adapters", `LoRA on all linear layers, rank ${training.rank}, alpha ${training.alpha}`],
      [
        "training",
        `DPO, beta ${doses.beta[0]}, learning rate ${doses["learning-rate"][0]}, ${plan.trainPairs} pairs, ${training.epochs} epochs, batches of ${training["batch-pairs"]}`,
      ],
      [
        "pair",
        `asked “${answers.prompt}”, a statement that matches the trait against one that does not, of nearly the same length`,
      ],
      [
        "statements",
        "Anthropic’s model-written persona evaluations (Perez et al. 2022, github.com/anthropics/evals), CC BY 4.0, a selection; the labels are their authors’",
      ],
    ],
  };
}
