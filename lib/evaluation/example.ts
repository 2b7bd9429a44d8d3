/** A line of examples.jsonl: what a question showed, in text, for whoever reads a report. Answers are in answers.jsonl. */
import type { Prompt } from "../engine/encode.js";
import type { PlanOptions } from "./plan.js";
import type { Question, Task } from "./task.js";

export interface ExampleLine {
  suite: string;
  task: string;
  item: string;
  prompt: Prompt;
  /** Of a pair: the side that expresses the value, and the other. */
  matching?: string;
  other?: string;
  /** Of any other likelihood question: what the model chose from. */
  choices?: string[];
}

/** Null where the question has no text: it was given in tokens. */
function exampleOf({ suite, name: task }: Task, question: Question): ExampleLine | null {
  const named = { suite, task, item: question.id };
  if (question.kind === "generation") return { ...named, prompt: question.prompt };
  const [request] = question.requests;
  const { context = "", completions } = request ?? {};
  if (completions === undefined) return null;
  const isPair = question.wholeTurns === true && completions.length === 2;
  const [matching, other] = completions as [string, string];
  return { ...named, prompt: context, ...(isPair ? { matching, other } : { choices: [...completions] }) };
}

/** Of all questions that have text, in their order. */
export async function* examplesOf(
  tasks: readonly Task[],
  { data, limit, seed, signal }: Pick<PlanOptions, "data" | "limit" | "seed" | "signal">,
): AsyncGenerator<ExampleLine> {
  for (const task of tasks)
    for await (const question of task.load(data, { limit, seed, signal })) {
      const example = exampleOf(task, question);
      if (example !== null) yield example;
    }
}
