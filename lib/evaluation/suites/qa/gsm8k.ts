/**
 * GSM8K (Cobbe et al., "Training Verifiers to Solve Math Word Problems", 2021): grade-school problems, five worked examples,
 * in the prompt, with the stops and both filters of lm-evaluation-harness's gsm8k:
 *
 *     exact_match_strict    the number behind "####" is the right one
 *     exact_match_flexible  the last number of the answer is
 *
 * Its examples are drawn anew for every question from the train split, by Python's generator with seed 1234.
 */
import { readRecords } from "../../../data/records.js";
import { DataFormatError } from "../../../errors.js";
import { PythonRandom } from "../../python-random.js";
import type { DataSources } from "../../sources.js";
import type { GenerationQuestion, LoadOptions, Task } from "../../task.js";
import { field, noteSample, takeFirst } from "./records.js";

const FEWSHOT_SEED = 1234;
const SHOTS = 5;
const STOP = ["Question:", "</s>", "<|im_end|>"];
/** Without the train split, examples come from these lines of test (from 0), which are then not asked. */
const LENT = { begin: 1000, end: 1100 };

interface Problem {
  question: string;
  answer: string;
}

export const GSM8K_TASKS: readonly Task[] = [gsm8kTask()];

/** @param maxNewTokens lm-evaluation-harness's default is 256 */
export function gsm8kTask(maxNewTokens = 256): Task {
  return {
    suite: "qa",
    name: "gsm8k",
    about: "GSM8K, five examples, final number",
    source: "gsm8k",
    version: "1",
    async *load(data, options): AsyncGenerator<GenerationQuestion> {
      const { examples, problems } = await openProblems(data, options);
      const random = new PythonRandom(FEWSHOT_SEED);
      let index = 0;
      for await (const { question, answer } of takeFirst(problems, options.limit)) {
        const shots = random.sample(examples.length, SHOTS).map((at) => examples[at]!);
        const shown = shots.map((shot) => `Question: ${shot.question}\nAnswer: ${shot.answer}\n\n`).join("");
        const id = `gsm8k:${index++}`;
        yield {
          kind: "generation",
          id,
          cluster: id,
          prompt: `${shown}Question: ${question}\nAnswer:`,
          maxNewTokens,
          stop: STOP,
          reference: answer,
          read: (text) => ({
            exact_match_strict: isSame(strictAnswer(text), answer) ? 1 : 0,
            exact_match_flexible: isSame(flexibleAnswer(text), answer) ? 1 : 0,
          }),
        };
      }
    },
  };
}

async function openProblems(
  data: DataSources,
  options: LoadOptions,
): Promise<{ examples: Problem[]; problems: AsyncIterable<Problem> }> {
  const hub = (split: string) => ({ repo: "openai/gsm8k", path: `main/${split}-00000-of-00001.parquet` });
  const names = (split: string) => [
    `${split}.jsonl`,
    `data/${split}.jsonl`,
    `grade_school_math/data/${split}.jsonl`,
    `main/${split}-00000-of-00001.parquet`,
  ];
  const test = await data.find("gsm8k", { names: names("test"), hub: hub("test"), sample: "gsm8k.jsonl" });
  noteSample("gsm8k", test, options);
  const examples: Problem[] = [];
  if (test.origin === "sample") {
    for await (const problem of readProblems(test.path, options, "train")) examples.push(problem);
    return { examples: enough(examples, test.path), problems: readProblems(test.path, options, "test") };
  }
  const train = await data.look("gsm8k", { names: names("train"), hub: hub("train") });
  if (train !== null) {
    for await (const problem of readProblems(train.path, options)) examples.push(problem);
    return { examples: enough(examples, train.path), problems: readProblems(test.path, options) };
  }
  options.onNote?.(
    `GSM8K: no train split beside ${test.path}; examples are drawn from its lines ${LENT.begin + 1} to ${LENT.end}, which are not asked`,
  );
  let line = 0;
  for await (const problem of takeFirst(readProblems(test.path, options), LENT.end))
    if (line++ >= LENT.begin) examples.push(problem);
  return { examples: enough(examples, test.path), problems: withoutLent(readProblems(test.path, options)) };
}

function enough(examples: Problem[], path: string): Problem[] {
  if (examples.length >= SHOTS) return examples;
  throw new DataFormatError(`${path}: ${examples.length} problems to draw examples from; ${SHOTS} are needed`);
}

async function* withoutLent(problems: AsyncIterable<Problem>): AsyncGenerator<Problem> {
  let line = 0;
  for await (const problem of problems) {
    if (line < LENT.begin || line >= LENT.end) yield problem;
    line += 1;
  }
}

async function* readProblems(path: string, { signal }: LoadOptions, split?: string): AsyncGenerator<Problem> {
  for await (const { value, where } of readRecords(path, { signal })) {
    if (split !== undefined && value.split !== split) continue;
    yield { question: field(value, "question", "string", where), answer: field(value, "answer", "string", where) };
  }
}

const NONE = "[invalid]";

/** The first number behind "#### ". */
export function strictAnswer(text: string): string {
  return /#### (-?[0-9.,]+)/.exec(text)?.[1]?.trim() ?? NONE;
}

/** The last thing that looks like a number. */
export function flexibleAnswer(text: string): string {
  return (
    text
      .match(/-?[$0-9.,]{2,}|-?[0-9]+/g)
      ?.at(-1)
      ?.trim() ?? NONE
  );
}

/** Equal but for commas, dollar signs, what stands before "#### ", one full stop at the end, and case. */
function isSame(answer: string, reference: string): boolean {
  const bare = (text: string): string =>
    text
      .replace(/[,$]/g, "")
      .replace(/.*#### /s, "")
      .replace(/\.$/, "")
      .toLowerCase();
  return bare(answer) === bare(reference);
}
