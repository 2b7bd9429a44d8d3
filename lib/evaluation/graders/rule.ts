/** Graders that are rules: each answer is read on its own, at once, and by no model. */
import { throwIfAborted, ValoraError } from "../../errors.js";
import type { Answer, Grade, Grader, Verdict } from "./grader.js";

/** What is looked for ("" where the grader has one thing only), and what was found. */
export type RuleResult = readonly [property: string, verdict: Verdict];

/** Lines of a grader that looks for several things carry its name and the thing's: "anthro:empathy". */
export function lineName(grader: string, property: string): string {
  return property === "" ? grader : `${grader}:${property}`;
}

export function ruleGrader(name: string, version: string, read: (answer: Answer) => readonly RuleResult[]): Grader {
  return {
    name,
    version,
    async *grade(answers, { signal, onError = "fail", onSkip }) {
      for await (const answer of answers) {
        throwIfAborted(signal);
        for (const [property, verdict] of read(answer)) {
          if (!(verdict instanceof ValoraError)) yield { ...gradeOf(answer, lineName(name, property)), ...verdict };
          else if (onError === "fail") throw verdict;
          else onSkip?.(verdict.message);
        }
      }
    },
  };
}

function gradeOf({ id }: Answer, grader: string): Pick<Grade, "id" | "grader"> {
  return { id, grader };
}
