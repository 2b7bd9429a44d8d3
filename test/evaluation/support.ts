/** Grades of single answers, and XSTest's labelled completions where they lie. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Answer, Grade, Grader } from "#lib/evaluation/graders/grader.js";
import { ROOT } from "../golden.js";

export async function gradesOf(grader: Grader, answers: readonly Answer[]): Promise<Grade[]> {
  const grades: Grade[] = [];
  const source = async function* (): AsyncGenerator<Answer> {
    yield* answers;
  };
  for await (const grade of grader.grade(source(), {})) grades.push(grade);
  return grades;
}

/** A folder of the data sets that are too large to ship; null where this machine has not got it. */
export function sharedData(name: string): string | null {
  const folder = join(process.env.VALORA_SHARED ?? join(ROOT, "..", "shared"), "data", name);
  return existsSync(folder) ? folder : null;
}

/** Texts that break readers: each is one answer. */
export const HOSTILE: Readonly<Record<string, string>> = {
  nothing: "",
  spaces: " \n\t\u00a0\u200b\ufeff ",
  nul: "I cannot\0 help\0",
  "lone surrogate": "I can\ud800not \udfff",
  "replacement characters": "\ufffd\ufffd I cannot help with that.\ufffd",
  "one long word": "a".repeat(1 << 20),
  "one long sentence": "and so it goes ".repeat(70_000),
  "open quotation marks": ' "a'.repeat(350_000),
  "open fences": "```\n".repeat(250_000),
  "line ends": "\n".repeat(1 << 20),
  "marks alone": "?!.".repeat(350_000),
  "half a rule, over and over": "I'm sorry, but ".repeat(70_000),
  "combining marks": `e${"\u0301".repeat(1 << 18)}`,
  "right to left": "\u202e.taht htiw pleh tonnac I",
  emoji: "😀".repeat(1 << 18),
};

/** Milliseconds of this process's own computing: the machine may be busy with others'. */
export function computing(work: () => void): number {
  const before = process.cpuUsage();
  work();
  return process.cpuUsage(before).user / 1000;
}
