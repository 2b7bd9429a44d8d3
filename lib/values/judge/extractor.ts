/**
 * The `judge` extractor: a local model is asked, for every value, whether a response expresses it; the score is how much
 * likelier it begins with Yes than with No, less what it would say of nothing.
 *
 *     l   = log p(Yes) − log p(No) at the answer's first token, each over all ways to write it
 *     b   = logit of the mean of σ(l) over content-free exchanges: prompt and response "N/A", "" and "[MASK]"
 *     score = σ(l − b)
 *
 * b is contextual calibration (Zhao, Wallace, Feng, Klein and Singh, "Calibrate Before Use", ICML 2021, section 4): dividing
 * p by the content-free p and normalising is, for two answers, the same as subtracting its log-odds. It takes away a
 * model's leaning to one answer, value by value; it does not make probabilities of the scores.
 *
 * One response is one tree of the forest: the exchange, and a branch for each value, with all answers as targets of the
 * branch's last row.
 */
import { AIMED_ROWS, longestPath, rowBudget, type Tree } from "../../engine/forest.js";
import type { Model } from "../../engine/model.js";
import { scoreTrees } from "../../engine/score-trees.js";
import { DataFormatError, NotFiniteError, type ValoraError } from "../../errors.js";
import type { Extractor, Scores } from "../extractor.js";
import type { Value } from "../taxonomy.js";
import { type AnswerTokens, answerTokens, encodeQuestions, type JudgedText, WORDING } from "./questions.js";

/** Grows when the same settings give other scores. */
const NAME = "judge@1";

/** Zhao et al.'s content-free inputs. */
const CONTENT_FREE = ["N/A", "", "[MASK]"];

/** Responses between two writes of the cache: a model takes seconds for as many. */
const BATCH = 4;

/**
 * Disposes of the model with the extractor, and where it cannot be made.
 *
 * @throws UsageError, UnsupportedError for a model without a tokenizer or a usable one
 */
export async function openJudge(values: readonly Value[], openModel: () => Promise<Model>): Promise<Extractor> {
  const model = await openModel();
  try {
    const judge = new Judge(model, values);
    return {
      name: NAME,
      settings: {
        model: await model.hash(),
        template: model.chatTemplate?.source ?? null,
        compute: model.device.compute,
        wording: { ...WORDING, ask: WORDING.ask("NAME", "DEFINITION") },
        answers: judge.answers,
        contentFree: CONTENT_FREE,
      },
      values: values.map(({ name }) => name),
      threshold: 0.5,
      cached: true,
      batchSize: BATCH,
      concurrency: 1,
      score: (batch, asked, { signal }) => judge.score(batch, asked, signal),
      dispose: () => model.dispose(),
    };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

class Judge {
  readonly answers: AnswerTokens;
  /** b, by the value's name. */
  private readonly biases = new Map<string, number>();

  constructor(
    private readonly model: Model,
    values: readonly Value[],
  ) {
    this.answers = answerTokens(model, values[0]!);
  }

  async score(
    batch: readonly JudgedText[],
    values: readonly Value[],
    signal: AbortSignal | undefined,
  ): Promise<(Scores | ValoraError)[]> {
    await this.calibrate(values, signal);
    const odds = await this.logOdds(batch, values, signal);
    return odds.map((answer) => {
      if (!Array.isArray(answer)) return answer;
      return Object.fromEntries(
        values.map(({ name }, index) => [name, sigmoid(answer[index]! - this.biases.get(name)!)]),
      );
    });
  }

  /** When the first response is asked about, not before: where all answers are in the cache it is not needed. */
  private async calibrate(values: readonly Value[], signal: AbortSignal | undefined): Promise<void> {
    const missing = values.filter(({ name }) => !this.biases.has(name));
    if (missing.length === 0) return;
    const nothing = CONTENT_FREE.map((text) => ({ prompt: text, response: text }));
    const odds = (await this.logOdds(nothing, missing, signal)).map((answer) => {
      if (!Array.isArray(answer)) throw answer;
      return answer;
    });
    for (const [index, { name }] of missing.entries()) {
      const mean = odds.reduce((sum, one) => sum + sigmoid(one[index]!), 0) / odds.length;
      this.biases.set(name, Math.log(mean / (1 - mean)));
    }
  }

  /** l of each response and value. */
  private async logOdds(
    batch: readonly JudgedText[],
    values: readonly Value[],
    signal: AbortSignal | undefined,
  ): Promise<(number[] | ValoraError)[]> {
    const { model, answers } = this;
    const trees = batch.map((text) => this.treeOf(text, values));
    const fitting = trees.filter((tree): tree is Tree => !(tree instanceof DataFormatError));
    const { logprobs } = await scoreTrees(model, fitting, {
      budget: rowBudget(model.planner, "score", AIMED_ROWS),
      signal,
      nameOf: () => "the questions about one response",
      remedy: "raise --memory, or ask for fewer values",
    });
    let target = 0;
    const take = (count: number): number => {
      const sum = logSumExp(logprobs.subarray(target, target + count));
      target += count;
      return sum;
    };
    return trees.map((tree) => {
      if (tree instanceof DataFormatError) return tree;
      const odds = values.map(() => take(answers.yes.length) - take(answers.no.length));
      if (odds.every(Number.isFinite)) return odds;
      return new NotFiniteError(`the model ${model.name} gives no finite probability of Yes or No for a response`);
    });
  }

  private treeOf(text: JudgedText, values: readonly Value[]): Tree | DataFormatError {
    const { context, questions } = encodeQuestions(this.model, text, values);
    const tokens = [...this.answers.yes, ...this.answers.no];
    const tree = {
      adapter: 0,
      spans: [{ parent: -1, tokens: context }, ...questions.map((question) => ({ parent: 0, tokens: question }))],
      targets: questions.flatMap((question, index) =>
        tokens.map((token) => ({ span: index + 1, offset: question.length - 1, token })),
      ),
    };
    const { maxPositions } = this.model.files.config;
    const length = longestPath(tree);
    if (length <= maxPositions) return tree;
    return new DataFormatError(
      `a prompt, a response and a question are ${length} tokens, more than the model's ${maxPositions} positions; leave such responses out with --on-error skip`,
    );
  }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function logSumExp(logprobs: Float64Array): number {
  const largest = Math.max(...logprobs);
  return largest + Math.log(logprobs.reduce((sum, logprob) => sum + Math.exp(logprob - largest), 0));
}
