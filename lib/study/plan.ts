/**
 * What a study will take: tokens of every job, from the pairs in the model's own tokens, and from them hours and disk.
 *
 * Tokens of a file are those of its first pairs, scaled up. Hours are tokens over rates, which are measured by a short
 * probe or stated; without either there are none.
 */
import { join } from "node:path";
import { readPairs } from "../data/pairs.js";
import { parseTargets } from "../engine/adapter.js";
import type { ModelText } from "../engine/open-text.js";
import { tokenizePairs } from "../engine/tokenize-pairs.js";
import { ValoraError } from "../errors.js";
import type { PairFile } from "./data/pair-file.js";
import type { EvaluateJob, Job, TrainJob } from "./jobs.js";
import type { StudySuite } from "./suites.js";

/** Tokens that a job passes through the model. */
export interface Cost {
  train: number;
  score: number;
  generate: number;
}

/** Tokens a second. */
export type Rates = Cost;

/**
 * Where nothing was measured: what a token of scoring and of generating takes, in tokens of training. The proportions
 * that the probe found for SmolLM2-135M on 2 cores (AVX-512).
 */
const RELATIVE: Cost = { train: 1, score: 0.27, generate: 2.2 };

/** Pairs of a file that are counted. */
const COUNTED_PAIRS = 64;
/** Bytes of a line of items.jsonl. */
const ITEM_BYTES = 260;
/** Lines that a held-out pair makes, and a sampled answer. */
const LINES = { pair: 5, answer: 2 };

export function addCosts(costs: Iterable<Cost>): Cost {
  const sum = { train: 0, score: 0, generate: 0 };
  for (const { train, score, generate } of costs) {
    sum.train += train;
    sum.score += score;
    sum.generate += generate;
  }
  return sum;
}

/** Seconds at known rates. */
export function secondsOf(cost: Cost, rates: Rates): number {
  return cost.train / rates.train + cost.score / rates.score + cost.generate / rates.generate;
}

/** Rates that stand in a fixed relation to that of training. */
export function ratesFrom(trainTokensPerSecond: number): Rates {
  return {
    train: trainTokensPerSecond,
    score: trainTokensPerSecond / RELATIVE.score,
    generate: trainTokensPerSecond / RELATIVE.generate,
  };
}

/** Work in tokens of training: what progress and time left are counted in. */
export function workOf(cost: Cost): number {
  return cost.train * RELATIVE.train + cost.score * RELATIVE.score + cost.generate * RELATIVE.generate;
}

/** Counts tokens of pair files, each once. */
export class TokenCounter {
  private readonly known = new Map<string, Promise<{ pair: number; prompt: number }>>();

  constructor(
    private readonly folder: string,
    private readonly text: ModelText,
    private readonly suites: readonly StudySuite[],
  ) {}

  async costOf(job: Job): Promise<Cost> {
    return job.kind === "train" ? this.costOfTraining(job) : this.costOfMeasure(job);
  }

  private async costOfTraining({ pairs, training }: TrainJob): Promise<Cost> {
    const perStep = training.batchPairs * training.accumulate;
    const seen = training.steps === undefined ? pairs.pairs * (training.epochs ?? 1) : training.steps * perStep;
    const { pair } = await this.tokensOf(pairs, training.maxLength);
    return { train: pair * seen, score: pair * pairs.pairs, generate: 0 };
  }

  private async costOfMeasure({ measure, subject }: EvaluateJob): Promise<Cost> {
    const { maxPositions } = this.text.files.config;
    const cost = { train: 0, score: 0, generate: 0 };
    if (measure.kind === "suite") {
      const suite = this.suites.find((known) => known.measure.hash === measure.hash);
      return { train: 0, score: suite?.asked ?? 0, generate: suite?.written ?? 0 };
    }
    for (const { pairs } of measure.values) {
      const { pair, prompt } = await this.tokensOf(pairs, maxPositions);
      if (measure.kind === "crosstalk") cost.score += pair * pairs.pairs;
      else {
        const share = (measure.prompts * measure.samples) / measure.values.length;
        cost.generate += share * measure.tokens;
        // Its own log-probability, and the base's.
        cost.score += 2 * share * (measure.tokens + prompt);
      }
    }
    if (subject.kind === "system" && measure.kind === "crosstalk") cost.score += subject.text.length / 4;
    return cost;
  }

  /** Mean tokens of a pair and of its prompt. */
  private tokensOf(file: PairFile, maxLength: number): Promise<{ pair: number; prompt: number }> {
    const key = `${file.sha256} ${maxLength}`;
    let count = this.known.get(key);
    if (count === undefined) {
      count = this.count(file, maxLength);
      this.known.set(key, count);
    }
    return count;
  }

  private async count(file: PairFile, maxLength: number): Promise<{ pair: number; prompt: number }> {
    const first = [];
    for await (const pair of readPairs(join(this.folder, file.path))) {
      if (first.push(pair) === COUNTED_PAIRS) break;
    }
    const { vocabulary, maxPositions } = this.text.files.config;
    try {
      const { pairs, report } = await tokenizePairs(this.text, first, Math.min(maxLength, maxPositions), vocabulary);
      const prompt = pairs.reduce((sum, pair) => sum + pair.prompt.length, 0);
      return { pair: report.tokens / pairs.length, prompt: prompt / pairs.length };
    } catch (error) {
      // The job will say so, and fail alone.
      if (error instanceof ValoraError) return { pair: 0, prompt: 0 };
      throw error;
    }
  }
}

/** Bytes that a job leaves on disk. */
export function bytesOf(job: Job, { files }: ModelText): number {
  if (job.kind === "train") {
    const targets = new Set<string>(parseTargets(job.adapter.targets));
    const numbers = files.tensors
      .filter(({ role }) => targets.has(role))
      .reduce((sum, { rows, cols }) => sum + job.adapter.rank * (rows + cols), 0);
    return 4 * numbers * (job.doses.length + 1);
  }
  const { measure } = job;
  if (measure.kind === "kl") return measure.prompts * measure.samples * LINES.answer * ITEM_BYTES;
  // Few items for each token that they are asked with.
  if (measure.kind === "suite") return (measure.limit ?? 1000) * LINES.pair * ITEM_BYTES;
  return measure.values.reduce((sum, { pairs }) => sum + pairs.pairs, 0) * LINES.pair * ITEM_BYTES;
}
