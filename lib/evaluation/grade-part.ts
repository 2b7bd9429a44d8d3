/** Measurements of a part of answers: what the questions read themselves, then what each grader says. */

import type { Prompt } from "../engine/encode.js";
import { DataFormatError, UsageError } from "../errors.js";
import { sha256Json } from "../files/hash.js";
import { subjectOf } from "./graders/agreement.js";
import type { Answer, Grade, Grader } from "./graders/grader.js";
import {
  type AnswerLine,
  defaultPartsFolder,
  isThere,
  type MeasurementLine,
  partPath,
  readPart,
  writeParts,
} from "./parts.js";
import type { PlannedPart } from "./plan.js";
import { messagesOf } from "./remote.js";
import type { GenerationQuestion, Question, Task } from "./task.js";

/** Opens a grader by its name; whoever gives it disposes of what it opened. */
export type OpenGrader = (name: string) => Promise<Grader>;

export interface GradePartOptions {
  graders?: readonly string[] | undefined;
  openGrader?: OpenGrader | undefined;
  partsFolder?: string;
  signal?: AbortSignal | undefined;
}

/** Changes where the same answers would give other measurements. */
const FORMAT = 1;

/**
 * Makes the part of measurements where it is not there; its path.
 *
 * @param questions of the task, in the order of the answers; some may have been left out there
 * @throws UsageError for a grader that cannot be opened, and whatever a grader throws
 */
export async function gradePart(
  task: Task,
  questions: () => AsyncIterable<Question>,
  answers: Pick<PlannedPart, "key" | "path">,
  options: GradePartOptions,
): Promise<string> {
  const named = task.graders ?? {};
  const graders: { metric: string; grader: Grader }[] = [];
  for (const name of options.graders ?? Object.keys(named)) {
    if (options.openGrader === undefined)
      throw new UsageError(
        `${task.suite}:${task.name} is read by the grader ${name}, and no grader can be opened here`,
      );
    graders.push({ metric: metricOf(name, named), grader: await options.openGrader(name) });
  }
  const settings = graders.map(({ metric, grader: { name, version, settings } }) => [metric, name, version, settings]);
  const path = partPath(
    options.partsFolder ?? defaultPartsFolder(),
    sha256Json([FORMAT, answers.key, task.version, settings]),
  );
  if (await isThere(path)) return path;
  await writeParts<MeasurementLine>([path], async (write) => {
    for await (const { question, line } of paired(questions(), readPart<AnswerLine>(answers.path))) {
      const read = question.read?.(line.text, line) ?? {};
      for (const [metric, y] of Object.entries(read)) await write(0, measurement(question, line, metric, y));
    }
    for (const { metric, grader } of graders) {
      const waiting: Asked[] = [];
      const asked = (async function* (): AsyncGenerator<Answer> {
        for await (const pair of paired(questions(), readPart<AnswerLine>(answers.path))) {
          waiting.push(pair);
          const { question, line, prompt } = pair;
          yield { id: answerId(line), prompt, text: line.text, reference: question.reference };
        }
      })();
      for await (const grade of grader.grade(asked, { signal: options.signal })) {
        const { question, line } = takeGraded(waiting, grade);
        await write(0, { ...measurement(question, line, metric, grade.y), grader: grade.grader });
      }
    }
  });
  return path;
}

/** A grader that is asked for has the metric of the task's own that reads the same thing: refusal-judge that of refusal-match. */
function metricOf(name: string, named: Readonly<Record<string, string>>): string {
  const same = Object.keys(named).find((own) => subjectOf(own) === subjectOf(name));
  return named[name] ?? (same === undefined ? undefined : named[same]) ?? name.slice(name.indexOf(":") + 1);
}

const answerId = ({ item, sample, turn }: AnswerLine): string => `${item} ${sample} ${turn ?? ""}`;

/** Grades come in the order of the answers; a grader may leave some out. */
function takeGraded<T extends { line: AnswerLine }>(waiting: T[], { id, grader }: Grade): T {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
    if (answerId(next.line) === id) return next;
  throw new DataFormatError(`the grader ${grader} graded "${id}", which it was not given, or out of order`);
}

/** Each answer of a conversation is an item: "multi_turn:7:3" is the third. */
function measurement(
  question: GenerationQuestion,
  { sample, turn }: AnswerLine,
  metric: string,
  y: number,
): MeasurementLine {
  const several = (question.samples ?? 1) > 1;
  const item = turn === undefined ? question.id : `${question.id}:${turn}`;
  return { metric, item, cluster: question.cluster, ...(several ? { sample } : {}), y };
}

/** An answer with its question, and what it answers: all that was said before it in a conversation. */
interface Asked {
  question: GenerationQuestion;
  line: AnswerLine;
  prompt: Prompt;
}

/** Questions and answers come in the same order, with any number of answers to a question. */
async function* paired(questions: AsyncIterable<Question>, answers: AsyncIterable<AnswerLine>): AsyncGenerator<Asked> {
  const source = questions[Symbol.asyncIterator]();
  let question: GenerationQuestion | undefined;
  let last: Asked | undefined;
  try {
    for await (const line of answers) {
      while (question?.id !== line.item) {
        const next = await source.next();
        if (next.done) throw new DataFormatError(`the answer to "${line.item}" has no question; the data have changed`);
        question = next.value as GenerationQuestion;
      }
      last = { question, line, prompt: line.user === undefined ? question.prompt : goOn(last!, line.user) };
      yield last;
    }
  } finally {
    await source.return?.();
  }
}

function goOn({ prompt, line }: Asked, user: string): Prompt {
  return [...messagesOf(prompt), { role: "assistant", content: line.text }, { role: "user", content: user }];
}
