/**
 * Multiple choice by likelihood, as lm-evaluation-harness reads it: every choice is scored after the question, and
 *
 *     acc        1 where the choice of the largest log p is right (the first of equals)
 *     acc_norm   the same for log p / characters of the choice (Unicode code points)
 *     acc_bytes  the same for log p / UTF-8 bytes of the choice
 *     log_margin log p(right) − log p(the likeliest wrong choice), in nats; of several right ones, the likeliest
 *
 * log_margin is above 0 exactly where acc is 1, and moves where accuracy sits at chance.
 */
import type { Prompt } from "../../../engine/encode.js";
import type { ScoreResult } from "../../../engine/score.js";
import type { LikelihoodQuestion } from "../../task.js";

export type ChoiceMetric = "acc" | "acc_norm" | "acc_bytes" | "log_margin";

export interface ChoiceQuestion {
  id: string;
  cluster?: string;
  context: Prompt;
  /** Without what stands between context and choice. */
  choices: readonly string[];
  /** Indices of the right ones. */
  right: readonly number[];
  /** Between context and choice; default one space. */
  delimiter?: string;
  /** Default: all of them. */
  metrics?: readonly ChoiceMetric[];
}

export function choiceQuestion(question: ChoiceQuestion): LikelihoodQuestion {
  const { id, cluster = id, context, choices, right, delimiter = " ", metrics } = question;
  return {
    kind: "likelihood",
    id,
    cluster,
    requests: [{ context, completions: choices.map((choice) => delimiter + choice) }],
    read([results]) {
      const all = readChoices(results!.map(logprobOf), choices, right);
      if (metrics === undefined) return all;
      return Object.fromEntries(metrics.map((metric) => [metric, all[metric]]));
    },
  };
}

export const logprobOf = ({ logprob }: ScoreResult): number => logprob;

export function readChoices(
  logprobs: readonly number[],
  choices: readonly string[],
  right: readonly number[],
): Record<ChoiceMetric, number> {
  const isRight = (per: (choice: string) => number): number =>
    right.includes(argMax(logprobs.map((logprob, index) => logprob / per(choices[index]!)))) ? 1 : 0;
  const best = (wanted: boolean): number =>
    Math.max(...logprobs.filter((_, index) => right.includes(index) === wanted));
  return {
    acc: isRight(() => 1),
    acc_norm: isRight((choice) => [...choice].length),
    acc_bytes: isRight((choice) => Buffer.byteLength(choice, "utf8")),
    log_margin: best(true) - best(false),
  };
}

/** The first of equals. A choice without text has log p / 0, minus infinity, and loses. */
function argMax(values: readonly number[]): number {
  let best = 0;
  values.forEach((value, index) => {
    if (value > values[best]!) best = index;
  });
  return best;
}
