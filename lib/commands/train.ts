/** `valora train`: one adapter by preference optimisation. */
import { basename } from "node:path";
import type { TrainOptions, TrainReport, TrainStep } from "../engine/train-options.js";
import { CancelledError, UsageError } from "../errors.js";
import { sha256IfFile } from "../files/hash.js";
import { defineCommand, MODEL_COMMON, MODEL_OPTION, type OptionValues, TEMPLATE_OPTION } from "./command.js";
import type { CommandContext, Progress } from "./context.js";
import { loadAdapter, openFromOptions } from "./model-options.js";

const OPTIONS = {
  model: MODEL_OPTION,
  pairs: {
    type: "string",
    placeholder: "FILE",
    required: true,
    describe: "preference pairs, JSON Lines (.gz) or -",
  },
  output: {
    type: "string",
    placeholder: "DIR",
    required: true,
    describe: "adapter folder, also metrics.jsonl",
  },
  rank: { type: "integer", placeholder: "R", default: 4, minimum: 1, describe: "LoRA rank" },
  alpha: {
    type: "number",
    placeholder: "X",
    default: 16,
    minimum: 0,
    aboveMinimum: true,
    describe: "LoRA scale × rank",
  },
  targets: { type: "string", placeholder: "LIST", default: "all-linear", describe: "matrices, e.g. q_proj,v_proj" },
  rslora: { type: "boolean", default: false, describe: "scale by alpha / √rank" },
  loss: {
    type: "string",
    choices: ["sigmoid", "ipo", "hinge", "robust", "sft"],
    default: "sigmoid",
    describe: "loss",
  },
  "label-smoothing": { type: "number", placeholder: "X", default: 0, describe: "share of labels taken to be wrong" },
  "rpo-alpha": { type: "number", placeholder: "X", default: 0, describe: "weight of a likelihood term on chosen" },
  beta: { type: "number", placeholder: "X", default: 0.1, describe: "strength of the tie to the reference" },
  "learning-rate": { type: "number", placeholder: "X", default: 1e-4, describe: "peak of the schedule" },
  schedule: {
    type: "string",
    choices: ["cosine", "linear", "constant"],
    default: "cosine",
    describe: "shape",
  },
  warmup: { type: "number", placeholder: "X", default: 0.1, describe: "share of the steps, or steps from 1 on" },
  "weight-decay": { type: "number", placeholder: "X", default: 0.01, describe: "decoupled" },
  clip: { type: "number", placeholder: "X", default: 1, describe: "largest gradient norm; 0 is none" },
  "batch-pairs": { type: "integer", placeholder: "N", default: 16, describe: "pairs of a batch" },
  accumulate: { type: "integer", placeholder: "N", default: 1, describe: "batches of a step" },
  epochs: { type: "integer", placeholder: "N", describe: "passes over the pairs (5)" },
  steps: { type: "integer", placeholder: "N", describe: "optimiser steps, instead of --epochs" },
  "max-length": {
    type: "integer",
    placeholder: "N",
    default: 1024,
    describe: "tokens; longer prompts lose their start",
  },
  shuffle: { type: "boolean", default: true, describe: "keep the order of the file" },
  "share-prompt": { type: "boolean", default: true, describe: "compute each pair's prompt twice" },
  "init-adapter": { type: "string", placeholder: "DIR", describe: "start from this adapter instead of a fresh one" },
  reference: {
    type: "string",
    placeholder: "start|base|DIR",
    default: "start",
    describe: "what the loss holds the adapter to",
  },
  "save-every": { type: "integer", placeholder: "N", describe: "checkpoint every N steps (10 minutes)" },
  keep: { type: "integer", placeholder: "K", default: 2, describe: "checkpoints that stay" },
  resume: { type: "boolean", default: false, describe: "go on from the newest checkpoint in --output" },
  tensorboard: { type: "boolean", default: false, describe: "keep an event file for TensorBoard in --output" },
  "eval-pairs": { type: "string", placeholder: "FILE", describe: "held-out pairs for loss and accuracy" },
  "eval-every": { type: "integer", placeholder: "N", describe: "score them every N steps (at the end)" },
  "chat-template": TEMPLATE_OPTION,
} as const;

export const train = defineCommand({
  name: "train",
  summary: "induce a value: LoRA by DPO on preference pairs",
  description:
    "Trains one LoRA adapter on preference pairs; the same options and seed give the same bits. Ctrl-C " +
    "ends the step and checkpoints; --resume goes on.",
  options: OPTIONS,
  commonOptions: MODEL_COMMON,
  examples: [
    "valora train --model smollm2-135m-instruct --learning-rate 5e-4 \\",
    "  --pairs data/persona/agreeableness.train.jsonl --output adapters/kind",
  ],
  async run(options, context) {
    const trainOptions = toTrainOptions(options);
    const { trainSettings } = await import("../engine/train-options.js");
    trainSettings(trainOptions);
    const [{ trainDpo }, { readPairs }] = await Promise.all([import("../engine/train.js"), import("../data/pairs.js")]);
    await using model = await openFromOptions(options, context);
    await using adapter =
      options["init-adapter"] === undefined
        ? await model.createAdapter({
            rank: options.rank,
            alpha: options.alpha,
            targets: options.targets,
            rslora: options.rslora,
            seed: options.seed,
          })
        : await loadAdapter(model, options["init-adapter"], context);
    const evalPath = options["eval-pairs"];
    const view = new TrainView(context, options.output);
    try {
      const steps = trainDpo(model, adapter, readPairs(options.pairs, context.itemErrors(options)), {
        ...trainOptions,
        source: await sourceOf(options),
        ...(evalPath === undefined ? {} : { evalPairs: readPairs(evalPath, context.itemErrors(options)) }),
        signal: context.signal,
        onReference: (progress) => view.reference(progress),
        onStart: (report) => view.start(report),
      });
      for await (const step of steps) view.step(step);
      view.end();
    } catch (error) {
      if (error instanceof CancelledError) throw view.interrupted(error);
      throw error;
    } finally {
      view.stop();
    }
  },
});

/** What manifest and model card say of the run's input: names without their folders, which are nobody else's. */
async function sourceOf(options: OptionValues<typeof OPTIONS>): Promise<TrainOptions["source"]> {
  const { pairs, "chat-template": template, "init-adapter": init } = options;
  const sha256 = await sha256IfFile(pairs);
  return {
    pairs: basename(pairs),
    ...(template === undefined ? {} : { chatTemplate: basename(template) }),
    ...(init === undefined ? {} : { initAdapter: basename(init) }),
    ...(sha256 === null ? {} : { sha256 }),
  };
}

function toTrainOptions(options: OptionValues<typeof OPTIONS> & { seed: number }): TrainOptions {
  if (options.output === "-") throw new UsageError("--output has to be a folder, not standard output");
  const given = {
    epochs: options.epochs,
    steps: options.steps,
    saveEvery: options["save-every"],
    evalEvery: options["eval-every"],
  };
  return {
    loss: options.loss,
    beta: options.beta,
    labelSmoothing: options["label-smoothing"],
    rpoAlpha: options["rpo-alpha"],
    learningRate: options["learning-rate"],
    schedule: options.schedule,
    warmup: options.warmup,
    weightDecay: options["weight-decay"],
    clip: options.clip,
    batchPairs: options["batch-pairs"],
    accumulate: options.accumulate,
    maxLength: options["max-length"],
    shuffle: options.shuffle,
    sharePrompt: options["share-prompt"],
    reference: options.reference,
    seed: options.seed,
    output: options.output,
    keep: options.keep,
    resume: options.resume,
    tensorboard: options.tensorboard,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}

/** What a run shows while it runs: the reference pass, then a live line of loss, accuracy and pairs a second. */
class TrainView {
  private bar: Progress;
  private last: TrainStep | undefined;
  private report: TrainReport | undefined;
  private started = performance.now();

  constructor(
    private readonly context: CommandContext,
    private readonly output: string,
  ) {
    this.bar = context.progress("reference", "pairs");
  }

  reference({ done, total }: { done: number; total: number }): void {
    this.bar.setTotal(total);
    this.bar.update(done);
  }

  start(report: TrainReport): void {
    this.stop();
    this.report = report;
    this.started = performance.now();
    this.context.note(describeReport(report), { report });
    this.bar = this.context.progress("training", "steps", report.steps, report.resumedAt);
  }

  step(step: TrainStep): void {
    this.last = step;
    this.context.event("step", { ...step });
    const rate = (step.pairs / step.seconds).toPrecision(3);
    this.bar.update(step.step, `loss ${step.loss.toFixed(4)}  accuracy ${step.accuracy.toFixed(2)}  ${rate} pairs/s`);
  }

  end(): void {
    this.stop();
    const { last } = this;
    if (last === undefined) {
      this.context.note(`adapter in ${this.output}: nothing left to train`);
      return;
    }
    const held = last.eval_accuracy === undefined ? "" : `, held-out accuracy ${last.eval_accuracy.toFixed(3)}`;
    this.context.note(
      `adapter in ${this.output}: ${last.step} steps, loss ${last.loss.toFixed(4)}, accuracy ${last.accuracy.toFixed(3)}${held}, ` +
        `${((performance.now() - this.started) / 1000).toFixed(0)} s`,
    );
  }

  interrupted(cause: CancelledError): CancelledError {
    const done = this.last?.step ?? this.report?.resumedAt ?? 0;
    const of = this.report === undefined ? "" : ` of ${this.report.steps}`;
    const next =
      done > 0 ? `; the checkpoint is in ${this.output} and --resume goes on from it` : "; nothing was trained yet";
    return new CancelledError(`interrupted after step ${done}${of}${next}`, { cause });
  }

  stop(): void {
    this.bar.stop();
  }
}

/** What is about to be done, and what was left out of it. */
function describeReport(report: TrainReport): string {
  const parts = [`${report.used} pairs, ${report.steps} steps`];
  if (report.resumedAt > 0) parts.push(`resumed after step ${report.resumedAt}`);
  if (report.truncated > 0) parts.push(`prompts cut to --max-length: ${report.truncated}`);
  if (report.leftOut.length > 0)
    parts.push(`pairs that cannot fit --max-length, left out: ${report.leftOut.length} (first: ${report.leftOut[0]})`);
  if (report.evalPairs > 0) parts.push(`${report.evalPairs} held-out pairs`);
  return `training: ${parts.join("; ")}`;
}
