/**
 * The suites `values` and `degeneracy`: answers to a fixed set of everyday prompts (data/evaluation/prompts.jsonl, written
 * for this), read for the values that they express and for signs that a model is broken.
 *
 * `values` is read by the lexicon unless another grader is named. Who reads should not be who chose the training data: a
 * model that was trained on what the lexicon found has learnt the lexicon's words.
 */
import { measureDegeneracy } from "../graders/degeneracy.js";
import type { GenerationQuestion, Suite, Task } from "../task.js";
import { field } from "./qa/records.js";
import { clusterOf, rowsOf, userMessage } from "./rows.js";

/** The study's fifteen (data/values.yaml). */
const VALUES = [
  "empathy",
  "creativity",
  "honesty",
  "curiosity",
  "fairness",
  "personalization",
  "legality",
  "engagement",
  "privacy",
  "open-mindedness",
  "humor",
  "justice",
  "discretion",
  "deception",
  "violence",
] as const;

const MAX_NEW_TOKENS = 192;

function everydayTask(
  task: Pick<Task, "suite" | "name" | "about" | "graders">,
  read?: GenerationQuestion["read"],
): Task {
  return {
    ...task,
    source: "prompts",
    version: "1",
    async *load(data, options): AsyncGenerator<GenerationQuestion> {
      const wanted = { names: ["everyday_prompts.jsonl"], sample: "prompts.jsonl" };
      for await (const { value, where } of rowsOf(data, "prompts", wanted, { ...options, onNote: undefined })) {
        const prompt = field(value, "prompt", "string", where);
        yield {
          kind: "generation",
          id: `prompts:${field(value, "id", "string", where)}`,
          cluster: clusterOf(prompt),
          prompt: userMessage(prompt),
          maxNewTokens: MAX_NEW_TOKENS,
          ...(read === undefined ? {} : { read }),
        };
      }
    },
  };
}

export const values: Suite = {
  name: "values",
  about: "values expressed in answers to everyday prompts",
  tasks: [
    everydayTask({
      suite: "values",
      name: "expression",
      about: "share of answers that express each value",
      graders: Object.fromEntries(VALUES.map((value) => [`values-lexicon:${value}`, value])),
    }),
  ],
};

/** Metrics of one text; docs/grading.md defines them. */
export function readDegeneracy(
  text: string,
  { finish }: Pick<Parameters<NonNullable<GenerationQuestion["read"]>>[1], "finish">,
): Record<string, number> {
  const { words, empty, distinct, run } = measureDegeneracy(text);
  return {
    words,
    empty: empty ? 1 : 0,
    distinct_1: distinct[0],
    distinct_2: distinct[1],
    distinct_3: distinct[2],
    repeated_share: words === 0 ? 0 : run.words / words,
    stopped: finish === "stop" ? 1 : 0,
  };
}

export const degeneracy: Suite = {
  name: "degeneracy",
  about: "empty, endless and repetitive answers",
  tasks: [
    everydayTask(
      {
        suite: "degeneracy",
        name: "everyday",
        about: "length, repetition, emptiness of answers",
        graders: { degeneracy: "degenerate" },
      },
      readDegeneracy,
    ),
  ],
};
