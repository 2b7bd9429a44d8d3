/** The suites that run a whole model: scoring, and steps of preference training, on random tokens. */
import type { PreferencePair } from "../data/pairs.js";
import { contextTree, type Tree } from "../engine/forest.js";
import type { Model } from "../engine/model.js";
import { openModel } from "../engine/open.js";
import { pairTrees } from "../engine/pair-batch.js";
import { drawBelow } from "../engine/random.js";
import type { ScoreRequest } from "../engine/score.js";
import { trainDpo } from "../engine/train.js";
import { ValoraError } from "../errors.js";
import { type MeasureOptions, measure, type Peaks } from "./measure.js";
import { shareTime } from "./operations.js";
import type { BenchResult } from "./result.js";
import { scoreFlops, trainFlops } from "./work.js";

/** Rounding between the two backends, over a handful of tokens; a wrong layer is off by far more. */
const SCORE_TOLERANCE = 1e-4;
/** With bf16 a float32 rounding can push a number over the edge between two bfloat16 neighbours, 1/256 apart. */
const BF16_TOLERANCE = 2e-2;
/** The first step's loss is ln 2, whatever the pairs: the adapter still is its own reference. */
const LOSS_TOLERANCE = 1e-6;

/** The mean lengths of HH-RLHF's pairs under SmolLM2's tokenizer. */
const PAIR_LENGTHS = { prompt: 154, chosen: 41, rejected: 51 };
/** Rows of one step reach what the engine puts into a batch. */
const PAIRS_PER_STEP = 4;

interface ScoreWorkload {
  name: string;
  shape: string;
  requests: (ScoreRequest & { context_tokens: number[]; completions_tokens: number[][] })[];
}

type Tokens = (count: number) => number[];

function randomTokens(vocabulary: number, stream: number): Tokens {
  let drawn = 0;
  return (count) => Array.from({ length: count }, () => drawBelow(vocabulary, 0, stream, drawn++));
}

function scoreWorkloads({ files }: Model): ScoreWorkload[] {
  const { vocabulary, maxPositions } = files.config;
  const tokens = randomTokens(vocabulary, 1);
  const whole = Math.min(256, maxPositions);
  const context = Math.min(96, maxPositions - 16);
  return [
    {
      name: "score_texts", // nothing is shared, every token is a target
      shape: `8×${whole}`,
      requests: Array.from({ length: 8 }, (_, index) => ({
        id: `text ${index}`,
        context_tokens: [index % vocabulary],
        completions_tokens: [tokens(whole - 1)],
      })),
    },
    {
      name: "score_choices", // a question and its four answers
      shape: `16×(${context}+4×16)`,
      requests: Array.from({ length: 16 }, (_, index) => ({
        id: `question ${index}`,
        context_tokens: tokens(context),
        completions_tokens: Array.from({ length: 4 }, () => tokens(16)),
      })),
    },
  ];
}

/** Opens the model of the suites. */
export function openBenchModel(
  name: string,
  { isa, compute, threads }: MeasureOptions,
  memoryBytes?: number,
): Promise<Model> {
  return openModel(name, {
    device: "cpu",
    isa,
    compute,
    threads,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  });
}

/** What every row of a model says. */
function describe(model: Model) {
  return {
    model: model.name,
    dtype: model.files.tensors.find(({ role }) => role === "down_proj")?.dtype ?? null,
    isa: model.device.isa,
    compute: model.device.compute,
    threads: model.device.threads,
  };
}

export async function* runScore(model: Model, peaks: Peaks, options: MeasureOptions): AsyncGenerator<BenchResult> {
  const workloads = scoreWorkloads(model);
  const error = await scoreError(model, workloads[0]!.requests[0]!, options);
  for (const { name, shape, requests } of workloads) {
    const trees = requests.map(({ context_tokens, completions_tokens }) =>
      contextTree(context_tokens, completions_tokens, 0),
    );
    const sample = async () => {
      const started = performance.now();
      for await (const _ of model.score(requests, { signal: options.signal }));
      return (performance.now() - started) / 1000;
    };
    const timing = await measure({ sample, flops: scoreFlops(model.files.config, trees) }, peaks, options);
    yield {
      suite: "score",
      kernel: name,
      shape,
      ...describe(model),
      ...timing,
      error,
      tolerance: scoreTolerance(options),
      tokens_per_second: tokensOf(trees) / timing.seconds,
      pairs_per_second: null,
      peak_memory_bytes: peakMemoryBytes(),
      operations: await shareTime(model, sample),
    };
  }
}

/** How far the log-probability of a text's first tokens is from the reference backend's, relative to it. */
async function scoreError(
  model: Model,
  { context_tokens, completions_tokens }: ScoreWorkload["requests"][number],
  { compute, threads }: MeasureOptions,
): Promise<number> {
  const request = { id: "check", context_tokens, completions_tokens: [completions_tokens[0]!.slice(0, 8)] };
  const logprob = async (scorer: Model): Promise<number> => {
    let sum = Number.NaN;
    for await (const result of scorer.score([request])) sum = result.logprob;
    return sum;
  };
  await using reference = await openModel(model.name, { device: "reference", compute, threads });
  const wanted = await logprob(reference);
  return checked("score", Math.abs((await logprob(model)) / wanted - 1), scoreTolerance({ compute }));
}

function scoreTolerance({ compute }: Pick<MeasureOptions, "compute">): number {
  return compute === "float32" ? SCORE_TOLERANCE : BF16_TOLERANCE;
}

function checked(what: string, error: number, tolerance: number): number {
  if (error <= tolerance) return error;
  throw new ValoraError(
    "ERR_INTERNAL",
    `${what}: the result is off by ${error.toExponential(1)} of what it has to be, more than rounding explains, so it is not timed`,
  );
}

export async function runTrain(model: Model, peaks: Peaks, options: MeasureOptions): Promise<BenchResult> {
  const { config } = model.files;
  const pairs = randomPairs(config.vocabulary, config.maxPositions);
  const trees = pairs.flatMap((pair) => pairTrees(pair, 0, true));
  await using adapter = await model.createAdapter({ rank: 4 });
  const steps = trainDpo(
    model,
    adapter,
    pairs.map(({ id, prompt, chosen, rejected }): PreferencePair => {
      return { id, prompt_tokens: prompt, chosen_tokens: chosen, rejected_tokens: rejected };
    }),
    { batchPairs: PAIRS_PER_STEP, steps: Number.MAX_SAFE_INTEGER, schedule: "constant", signal: options.signal },
  );
  const nextStep = async () => {
    const { value } = await steps.next();
    if (value === undefined) throw new Error("training ended before the benchmark did");
    return value;
  };
  try {
    const { loss } = await nextStep();
    const error = checked("train", Math.abs(loss / Math.LN2 - 1), LOSS_TOLERANCE);
    const sample = async () => (await nextStep()).seconds;
    const timing = await measure({ sample, flops: trainFlops(config, trees) }, peaks, options);
    const [{ prompt, chosen, rejected }] = pairs as [(typeof pairs)[number]];
    return {
      suite: "train",
      kernel: "dpo_step",
      shape: `${pairs.length}×(${prompt.length}+${chosen.length}+${rejected.length})`,
      ...describe(model),
      ...timing,
      error,
      tolerance: LOSS_TOLERANCE,
      tokens_per_second: (pairs.length * (prompt.length + chosen.length + rejected.length)) / timing.seconds,
      pairs_per_second: pairs.length / timing.seconds,
      peak_memory_bytes: peakMemoryBytes(),
      operations: await shareTime(model, sample),
    };
  } finally {
    await steps.return(undefined);
  }
}

function randomPairs(vocabulary: number, maxPositions: number) {
  const tokens = randomTokens(vocabulary, 2);
  const { chosen, rejected } = PAIR_LENGTHS;
  const prompt = Math.max(1, Math.min(PAIR_LENGTHS.prompt, maxPositions - rejected));
  return Array.from({ length: PAIRS_PER_STEP }, (_, index) => ({
    id: `pair ${index}`,
    prompt: tokens(prompt),
    chosen: tokens(chosen),
    rejected: tokens(rejected),
  }));
}

/** Tokens read or predicted, a shared context once. */
function tokensOf(trees: readonly Tree[]): number {
  return trees.reduce((sum, { spans, targets }) => sum + spans[0]!.tokens.length + targets.length, 0);
}

function peakMemoryBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
