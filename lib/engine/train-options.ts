/** What training can be told, with its defaults and checks. */
import type { PreferencePair } from "../data/pairs.js";
import { UsageError } from "../errors.js";
import type { LossKind } from "../native.js";
import type { RunSource } from "./model-card.js";
import type { ScheduleKind } from "./schedule.js";
import type { PairReport } from "./tokenize-pairs.js";

export interface TrainOptions {
  /** Default "sigmoid"; "sft" trains on the chosen responses alone. */
  loss?: LossKind;
  /** How far the policy may leave the reference; default 0.1. */
  beta?: number;
  /** Probability that a label is wrong: cDPO with "sigmoid", the unbiased estimate with "robust"; default 0. */
  labelSmoothing?: number;
  /** Weight of the negative log-likelihood of the chosen response (RPO); default 0. */
  rpoAlpha?: number;
  /** Largest rate of the schedule; default 1e-4. */
  learningRate?: number;
  /** Default "cosine". */
  schedule?: ScheduleKind;
  /** Below 1 a fraction of all steps, else steps; default 0.1. */
  warmup?: number;
  /** Decoupled weight decay; default 0.01. */
  weightDecay?: number;
  /** Largest gradient norm, 0 = none; default 1. */
  clip?: number;
  adamBeta1?: number;
  adamBeta2?: number;
  adamEpsilon?: number;
  /** Pairs of one batch; default 16. */
  batchPairs?: number;
  /** Batches of one optimiser step; default 1. */
  accumulate?: number;
  /** Passes over the pairs; default 5. */
  epochs?: number;
  /** Optimiser steps, in place of epochs. */
  steps?: number;
  /** Tokens of a prompt with a response; default 1024. */
  maxLength?: number;
  /** Default true: another order each epoch. */
  shuffle?: boolean;
  /** Of the order; default 0. */
  seed?: number;
  /** What the policy is held to: the adapter as it is at the start (default), the base model, or an adapter folder. */
  reference?: string;
  /** Compute a pair's prompt once (default) or once a response; differs by rounding only. */
  sharePrompt?: boolean;
  /** Where metrics, checkpoints and the adapter go; without it training leaves nothing but the adapter in memory. */
  output?: string;
  /** Optimiser steps between checkpoints; without it one every ten minutes, and where the run is interrupted. */
  saveEvery?: number;
  /** Newest checkpoints that stay; default 2. */
  keep?: number;
  /** Go on from the newest checkpoint in `output`, or start where there is none. */
  resume?: boolean;
  /** Keep an event file for TensorBoard in `output` too, with TRL's names; default false. */
  tensorboard?: boolean;
  /** For manifest and model card: where the pairs came from. `sha256` is that of their file. */
  source?: RunSource & { sha256?: string | undefined };
  /** Held-out pairs, scored every `evalEvery` steps and at the end. */
  evalPairs?: Iterable<PreferencePair> | AsyncIterable<PreferencePair>;
  /** Default: at the end only. */
  evalEvery?: number;
  signal?: AbortSignal;
  /** Called once, before the first step. */
  onStart?: (report: TrainReport) => void;
  /** Progress of the pass that computes the reference. */
  onReference?: (progress: { done: number; total: number }) => void;
}

export interface TrainReport extends PairReport {
  /** Optimiser steps in all. */
  steps: number;
  stepsPerEpoch: number;
  /** The step that a resumed run starts after; 0 for a fresh one. */
  resumedAt: number;
  /** Where the reference log-probabilities came from. */
  reference: "computed" | "cached";
  /** Pairs held out. */
  evalPairs: number;
}

/** One line of metrics.jsonl: means over the step's pairs unless said. */
export interface TrainStep {
  /** From 1. */
  step: number;
  /** Epochs done, with the part of the current one. */
  epoch: number;
  loss: number;
  /** beta × (log p − reference log p). */
  chosen_reward: number;
  rejected_reward: number;
  /** chosen_reward − rejected_reward. */
  margin: number;
  /** Share of pairs with a positive margin. */
  accuracy: number;
  chosen_logp: number;
  rejected_logp: number;
  /** Before clipping. */
  grad_norm: number;
  learning_rate: number;
  /** Pairs of the step. */
  pairs: number;
  /** Tokens of the step: prompt once, chosen, rejected. */
  tokens: number;
  /** Wall time of the step. */
  seconds: number;
  /**
   * log p − reference log p of both responses, a token: the plain estimate of the divergence from the
   * reference, on the data's responses instead of the policy's own, so that it can be negative.
   */
  kl: number;
  chosen_tokens: number;
  rejected_tokens: number;
  eval_loss?: number;
  eval_margin?: number;
  eval_accuracy?: number;
}

/** Options that decide what comes out, all set: equal ones give bit-identical adapters. */
export interface TrainSettings {
  loss: LossKind;
  beta: number;
  labelSmoothing: number;
  rpoAlpha: number;
  learningRate: number;
  schedule: ScheduleKind;
  warmup: number;
  weightDecay: number;
  clip: number;
  adamBeta1: number;
  adamBeta2: number;
  adamEpsilon: number;
  batchPairs: number;
  accumulate: number;
  epochs: number | null;
  steps: number | null;
  maxLength: number;
  shuffle: boolean;
  seed: number;
  reference: string;
  sharePrompt: boolean;
}

type Check = [name: string, value: number, valid: boolean, expected: string];

/** @throws UsageError naming the option, what was expected and what arrived */
export function trainSettings(options: TrainOptions): TrainSettings {
  const settings: TrainSettings = {
    loss: options.loss ?? "sigmoid",
    beta: options.beta ?? 0.1,
    labelSmoothing: options.labelSmoothing ?? 0,
    rpoAlpha: options.rpoAlpha ?? 0,
    learningRate: options.learningRate ?? 1e-4,
    schedule: options.schedule ?? "cosine",
    warmup: options.warmup ?? 0.1,
    weightDecay: options.weightDecay ?? 0.01,
    clip: options.clip ?? 1,
    adamBeta1: options.adamBeta1 ?? 0.9,
    adamBeta2: options.adamBeta2 ?? 0.999,
    adamEpsilon: options.adamEpsilon ?? 1e-8,
    batchPairs: options.batchPairs ?? 16,
    accumulate: options.accumulate ?? 1,
    epochs: options.steps === undefined ? (options.epochs ?? 5) : null,
    steps: options.steps ?? null,
    maxLength: options.maxLength ?? 1024,
    shuffle: options.shuffle ?? true,
    seed: options.seed ?? 0,
    reference: options.reference ?? "start",
    sharePrompt: options.sharePrompt ?? true,
  };
  if (options.steps !== undefined && options.epochs !== undefined) {
    throw new UsageError("epochs and steps: give one of the two");
  }
  if (!["sigmoid", "ipo", "hinge", "robust", "sft"].includes(settings.loss)) {
    throw new UsageError(`loss "${settings.loss}": choose sigmoid, ipo, hinge, robust or sft`);
  }
  if (!["cosine", "linear", "constant"].includes(settings.schedule)) {
    throw new UsageError(`schedule "${settings.schedule}": choose cosine, linear or constant`);
  }
  const atLeast = (value: number, least: number) => Number.isFinite(value) && value >= least;
  const whole = (value: number, least: number) => Number.isSafeInteger(value) && value >= least;
  const smoothingLimit = settings.loss === "robust" ? 0.5 : 1;
  const checks: Check[] = [
    ["beta", settings.beta, settings.beta > 0 && Number.isFinite(settings.beta), "a number above 0"],
    [
      "label-smoothing",
      settings.labelSmoothing,
      atLeast(settings.labelSmoothing, 0) && settings.labelSmoothing < smoothingLimit,
      `a number from 0 to below ${smoothingLimit}`,
    ],
    ["rpo-alpha", settings.rpoAlpha, atLeast(settings.rpoAlpha, 0), "a number of at least 0"],
    ["learning-rate", settings.learningRate, atLeast(settings.learningRate, 0), "a number of at least 0"],
    [
      "warmup",
      settings.warmup,
      atLeast(settings.warmup, 0) && (settings.warmup < 1 || Number.isSafeInteger(settings.warmup)),
      "a fraction below 1 or a whole number of steps",
    ],
    ["weight-decay", settings.weightDecay, atLeast(settings.weightDecay, 0), "a number of at least 0"],
    ["clip", settings.clip, atLeast(settings.clip, 0), "a number of at least 0"],
    ["batch-pairs", settings.batchPairs, whole(settings.batchPairs, 1), "a whole number of at least 1"],
    ["accumulate", settings.accumulate, whole(settings.accumulate, 1), "a whole number of at least 1"],
    ["epochs", settings.epochs ?? 1, whole(settings.epochs ?? 1, 1), "a whole number of at least 1"],
    ["steps", settings.steps ?? 1, whole(settings.steps ?? 1, 1), "a whole number of at least 1"],
    ["max-length", settings.maxLength, whole(settings.maxLength, 2), "a whole number of at least 2"],
    ["seed", settings.seed, whole(settings.seed, 0), "a whole number of at least 0"],
    ["save-every", options.saveEvery ?? 1, whole(options.saveEvery ?? 1, 1), "a whole number of at least 1"],
    ["keep", options.keep ?? 1, whole(options.keep ?? 1, 1), "a whole number of at least 1"],
    ["eval-every", options.evalEvery ?? 1, whole(options.evalEvery ?? 1, 1), "a whole number of at least 1"],
  ];
  for (const [name, value, valid, expected] of checks) {
    if (!valid) throw new UsageError(`${name} ${value}: give ${expected}`);
  }
  if (options.output === undefined && (options.resume || options.saveEvery !== undefined || options.tensorboard)) {
    const name = options.resume ? "resume" : options.tensorboard ? "tensorboard" : "save-every";
    throw new UsageError(`${name} needs an output folder`);
  }
  return settings;
}
