/**
 * Preference training of a LoRA adapter: pairs in, one record a step out, and where there is an output
 * folder, metrics, checkpoints and the finished adapter in it.
 *
 * A step's pairs come from the sampler, are cut into micro-batches by rows alone, and their gradients are
 * added in the sampler's order; so the adapter depends on settings and seed, not on threads, memory
 * limit, or an interruption. Leaving the loop early, or aborting the signal, writes a checkpoint first.
 */
import type { PreferencePair } from "../data/pairs.js";
import { CancelledError, fromNative, NotFiniteError, UsageError } from "../errors.js";
import type { NativeLoss, NativeTrainer } from "../native.js";
import type { Adapter } from "./adapter.js";
import { throwIfAborted, withCancel } from "./cancel.js";
import { type Checkpoint, newestCheckpoint, type RunIdentity, saveCheckpoint } from "./checkpoint.js";
import { evaluatePairs, type HeldOut } from "./evaluate-pairs.js";
import type { Model } from "./model.js";
import { microBatches, nativePairs, type ReferencedPair, trainingRowBudget } from "./pair-batch.js";
import { type ReferenceLogprobs, referenceLogprobs } from "./reference.js";
import { Sampler } from "./sampler.js";
import { scheduleFactor, warmupSteps } from "./schedule.js";
import { hashPairs, type PairReport, type TokenizedPair, tokenizePairs } from "./tokenize-pairs.js";
import { finishRun, isFinished, TrainFolder } from "./train-folder.js";
import { type TrainOptions, type TrainSettings, type TrainStep, trainSettings } from "./train-options.js";

export type { TrainOptions, TrainReport, TrainStep } from "./train-options.js";

/** Checkpoints that stay where nothing is said: the newest, and one before it. */
const DEFAULT_KEEP = 2;

/** Where nothing is said: what a crash may cost, in milliseconds. A checkpoint takes a fraction of a second. */
const SAVE_INTERVAL = 10 * 60_000;

/** A run that is ready for its next step. */
interface Run {
  settings: TrainSettings;
  pairs: ReferencedPair[];
  heldOut: HeldOut | null;
  sampler: Sampler;
  steps: number;
  warmup: number;
  loss: NativeLoss;
  report: PairReport;
  reference: ReferenceLogprobs["source"];
  identity: RunIdentity;
  folder: TrainFolder | null;
}

/**
 * Trains `adapter` in place.
 *
 * @param pairs read once, before the first step
 * @throws NotFiniteError naming the pair whose loss is not a finite number; the adapter keeps the last good step
 * @throws CancelledError where the signal was aborted
 */
export async function* trainDpo(
  model: Model,
  adapter: Adapter,
  pairs: Iterable<PreferencePair> | AsyncIterable<PreferencePair>,
  options: TrainOptions = {},
): AsyncGenerator<TrainStep, void, undefined> {
  const { signal, keep = DEFAULT_KEEP } = options;
  if (adapter.model !== model) throw new UsageError("adapter: it belongs to another model; make it with this one");
  const run = await prepareRun(model, adapter, pairs, options);
  const { folder } = run;
  if (folder !== null && options.resume && (await isFinished(folder, run.identity))) {
    await folder.addEvents();
    return;
  }
  const checkpoint = folder !== null && options.resume ? await newestCheckpoint(folder.path, run.identity) : null;
  const trainer = await startTrainer(model, adapter, checkpoint);
  let done = checkpoint?.step ?? 0;
  let saved = done;
  let savedAt = performance.now();
  let outcome: "interrupted" | "failed" | "finished" = "interrupted";
  const save = async () => {
    if (folder === null || saved === done) return;
    await saveCheckpoint(folder.path, done, adapter, await trainer.state(), run.identity, keep);
    saved = done;
    savedAt = performance.now();
  };
  const isSaveDue = (last: boolean): boolean => {
    if (options.saveEvery === undefined) return !last && performance.now() - savedAt >= SAVE_INTERVAL;
    return last || done % options.saveEvery === 0;
  };
  try {
    await folder?.trimMetrics(done);
    options.onStart?.({
      ...run.report,
      steps: run.steps,
      stepsPerEpoch: run.sampler.stepsPerEpoch,
      resumedAt: done,
      reference: run.reference,
      evalPairs: run.heldOut?.pairs.length ?? 0,
    });
    const budget = trainingRowBudget(model.planner);
    while (done < run.steps) {
      throwIfAborted(signal);
      const record = await trainStep(model, adapter, trainer, run, done, budget, signal);
      done++;
      const last = done === run.steps;
      if (run.heldOut !== null && (last || (options.evalEvery !== undefined && done % options.evalEvery === 0))) {
        Object.assign(record, await evaluatePairs(model, adapter, run.heldOut, run.loss, signal));
      }
      await folder?.appendMetrics(record);
      if (isSaveDue(last)) await save();
      yield record;
    }
    if (folder !== null) await finishRun(folder, model, adapter, run.identity, run.report, options.source);
    outcome = "finished";
  } catch (error) {
    if (!(error instanceof CancelledError)) outcome = signal?.aborted ? "interrupted" : "failed";
    throw error;
  } finally {
    try {
      if (outcome === "interrupted") await save();
    } finally {
      trainer.dispose();
    }
  }
}

async function prepareRun(
  model: Model,
  adapter: Adapter,
  pairs: Iterable<PreferencePair> | AsyncIterable<PreferencePair>,
  options: TrainOptions,
): Promise<Run> {
  const settings = trainSettings(options);
  const { output, resume = false, tensorboard = false } = options;
  const folder = output === undefined ? null : await TrainFolder.open(output, resume, tensorboard);
  const { vocabulary, maxPositions } = model.files.config;
  const maxLength = Math.min(settings.maxLength, maxPositions);
  const tokenized = await tokenizePairs(model, pairs, maxLength, vocabulary);
  const heldOut =
    options.evalPairs === undefined ? null : await tokenizePairs(model, options.evalPairs, maxLength, vocabulary);

  const startAdapter = await adapter.hash();
  const reference = await referenceOf(model, adapter, startAdapter, settings.reference);
  try {
    const shared = {
      adapter: reference.handle,
      adapterHash: reference.hash,
      signal: options.signal,
    };
    const values = await referenceLogprobs(model, tokenized.pairs, { ...shared, onProgress: options.onReference });
    const evalValues = heldOut === null ? null : await referenceLogprobs(model, heldOut.pairs, shared);
    const sampler = new Sampler({
      count: tokenized.pairs.length,
      pairsPerStep: settings.batchPairs * settings.accumulate,
      shuffle: settings.shuffle,
      seed: settings.seed,
    });
    const steps = settings.steps ?? (settings.epochs ?? 1) * sampler.stepsPerEpoch;
    return {
      settings,
      pairs: withReference(tokenized.pairs, values.values),
      heldOut:
        heldOut === null || evalValues === null ? null : { pairs: withReference(heldOut.pairs, evalValues.values) },
      sampler,
      steps,
      warmup: warmupSteps(settings.warmup, steps),
      loss: {
        kind: settings.loss,
        beta: settings.beta,
        labelSmoothing: settings.labelSmoothing,
        rpoAlpha: settings.rpoAlpha,
      },
      report: tokenized.report,
      reference: values.source,
      identity: {
        settings,
        model: await model.hash(),
        startAdapter,
        referenceAdapter: reference.hash,
        data: hashPairs(tokenized.pairs),
        backend: model.device.kind + (model.device.compute === "float32" ? "" : ` with ${model.device.compute}`),
      },
      folder,
    };
  } finally {
    await reference.release();
  }
}

function withReference(pairs: readonly TokenizedPair[], values: Float64Array): ReferencedPair[] {
  return pairs.map((pair, index) => ({
    ...pair,
    chosenReference: values[2 * index]!,
    rejectedReference: values[2 * index + 1]!,
  }));
}

/** The adapter that the reference log-probabilities are taken with. */
async function referenceOf(
  model: Model,
  adapter: Adapter,
  startHash: string,
  reference: string,
): Promise<{ handle: number; hash: string; release(): Promise<void> }> {
  const release = async () => {};
  if (reference === "base") return { handle: 0, hash: "base", release };
  if (reference === "start") return { handle: adapter.handle, hash: startHash, release };
  const loaded = await model.loadAdapter(reference);
  return { handle: loaded.handle, hash: await loaded.hash(), release: () => loaded.dispose() };
}

async function startTrainer(model: Model, adapter: Adapter, checkpoint: Checkpoint | null): Promise<NativeTrainer> {
  try {
    if (checkpoint !== null) await adapter.replaceModules(checkpoint.modules);
    const trainer = await model.native.createTrainer(adapter.handle, { recompute: "auto" });
    if (checkpoint !== null) await trainer.setState(checkpoint.optimizer);
    return trainer;
  } catch (error) {
    throw fromNative(error);
  }
}

/** One optimiser step; `step` counts from 0. */
async function trainStep(
  model: Model,
  adapter: Adapter,
  trainer: NativeTrainer,
  run: Run,
  step: number,
  budget: number,
  signal: AbortSignal | undefined,
): Promise<TrainStep> {
  const { settings, sampler, loss } = run;
  const started = performance.now();
  const pairs = Array.from(sampler.pairsOfStep(step), (index) => run.pairs[index]!);
  const sums = new StepSums(settings.beta);
  const batching = { planner: model.planner, sharePrompt: settings.sharePrompt };
  await trainer.clear();
  for (const batch of microBatches(pairs, budget, batching)) {
    const batchPairs = nativePairs(batch, adapter.handle, settings.sharePrompt, 1 / pairs.length);
    const results = await withCancel(signal, (cancel) => trainer.accumulate(batchPairs, loss, cancel));
    batch.forEach((pair, index) => {
      const [pairLoss, chosen, rejected] = [results.loss[index]!, results.chosen[index]!, results.rejected[index]!];
      if (![pairLoss, chosen, rejected].every(Number.isFinite)) {
        throw new NotFiniteError(
          `step ${step + 1}: the loss of pair "${pair.id}" is ${pairLoss} (log-probabilities ${chosen} and ${rejected}); ` +
            "lower --learning-rate, or look at the pair",
        );
      }
      sums.add(pair, pairLoss, chosen, rejected);
    });
  }
  const learningRate = settings.learningRate * scheduleFactor(settings.schedule, step, run.warmup, run.steps);
  const { gradNorm } = await trainer
    .step({
      learningRate,
      beta1: settings.adamBeta1,
      beta2: settings.adamBeta2,
      epsilon: settings.adamEpsilon,
      weightDecay: settings.weightDecay,
      clip: settings.clip,
    })
    .catch((error: unknown) => {
      const named = fromNative(error);
      if (!(named instanceof NotFiniteError)) throw named;
      const ids = pairs.map((pair) => `"${pair.id}"`).join(", ");
      throw new NotFiniteError(`step ${step + 1}: the gradient of pairs ${ids} is not finite; lower --learning-rate`);
    });
  return {
    step: step + 1,
    epoch: (step + 1) / sampler.stepsPerEpoch,
    ...sums.means(),
    grad_norm: gradNorm,
    learning_rate: learningRate,
    pairs: pairs.length,
    tokens: pairs.reduce((sum, pair) => sum + pair.prompt.length, 0) + sums.chosenTokens + sums.rejectedTokens,
    seconds: (performance.now() - started) / 1000,
    kl: sums.kl(),
    chosen_tokens: sums.chosenTokens,
    rejected_tokens: sums.rejectedTokens,
  };
}

/** Sums over a step's pairs, in the sampler's order. */
class StepSums {
  chosenTokens = 0;
  rejectedTokens = 0;
  private readonly beta: number;
  private pairs = 0;
  private loss = 0;
  private chosen = 0;
  private rejected = 0;
  private chosenRatio = 0;
  private rejectedRatio = 0;
  private won = 0;

  constructor(beta: number) {
    this.beta = beta;
  }

  add(pair: ReferencedPair, loss: number, chosen: number, rejected: number): void {
    const chosenRatio = chosen - pair.chosenReference;
    const rejectedRatio = rejected - pair.rejectedReference;
    this.pairs++;
    this.loss += loss;
    this.chosen += chosen;
    this.rejected += rejected;
    this.chosenRatio += chosenRatio;
    this.rejectedRatio += rejectedRatio;
    this.won += chosenRatio > rejectedRatio ? 1 : 0;
    this.chosenTokens += pair.chosen.length;
    this.rejectedTokens += pair.rejected.length;
  }

  means() {
    const { pairs, beta } = this;
    return {
      loss: this.loss / pairs,
      chosen_reward: (beta * this.chosenRatio) / pairs,
      rejected_reward: (beta * this.rejectedRatio) / pairs,
      margin: (beta * (this.chosenRatio - this.rejectedRatio)) / pairs,
      accuracy: this.won / pairs,
      chosen_logp: this.chosen / pairs,
      rejected_logp: this.rejected / pairs,
    };
  }

  kl(): number {
    return (this.chosenRatio + this.rejectedRatio) / (this.chosenTokens + this.rejectedTokens);
  }
}
