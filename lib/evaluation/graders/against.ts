/** Graders against people's labels: precision, recall and F1, file by file and over all. */
import { createHash } from "node:crypto";
import { bootstrapScores, confusionOf, type Estimate, type Judged, wilson } from "../../metrics/classification.js";
import { textTable } from "../../report/text-table.js";
import type { AnswerLine } from "../answers.js";
import type { Grade } from "./grader.js";

/** Which answers count: those whose prompts rules were made on, or those that nobody looked at. */
export type Half = "tune" | "report" | "both";

/** By the lowest bit of the first byte of the prompt's SHA-256: 0 is "tune". Answers to one prompt stay together. */
export function halfOf({ prompt }: Pick<AnswerLine, "prompt">): Exclude<Half, "both"> {
  return createHash("sha256").update(clusterOf({ prompt })).digest()[0]! % 2 === 0 ? "tune" : "report";
}

const clusterOf = ({ prompt }: Pick<AnswerLine, "prompt">): string =>
  typeof prompt === "string" ? prompt : JSON.stringify(prompt);

export interface AgainstRow {
  grader: string;
  /** A file's name; "all" is over several. */
  group: string;
  answers: number;
  /** Where people say yes, and where the grader does. */
  positives: number;
  found: number;
  precision: Estimate;
  recall: Estimate;
  f1: Estimate;
}

/** Holds a few bytes an answer and grader: what people label is small. */
export class AgainstTally {
  private readonly judged = new Map<string, Map<string, Judged[]>>();

  add(answer: AnswerLine, grades: readonly Grade[]): void {
    for (const { grader, y } of grades) {
      const groups = this.judged.get(grader) ?? new Map<string, Judged[]>();
      this.judged.set(grader, groups);
      const items = groups.get(answer.group) ?? [];
      groups.set(answer.group, items);
      items.push({ truth: answer.truth === true, predicted: y === 1, cluster: clusterOf(answer) });
    }
  }

  /**
   * Precision and recall of a file have Wilson's intervals, which take answers as independent: in one model's file each
   * prompt stands once. Those over all files, and F1, are bootstrapped over prompts.
   */
  rows(seed: number): AgainstRow[] {
    return [...this.judged].flatMap(([grader, groups]) => {
      const rows = [...groups].map(([group, items]) => rowOf(grader, group, items, seed, true));
      if (groups.size > 1) rows.push(rowOf(grader, "all", [...groups.values()].flat(), seed, false));
      return rows;
    });
  }
}

function rowOf(grader: string, group: string, items: readonly Judged[], seed: number, single: boolean): AgainstRow {
  const { truePositive, falsePositive, falseNegative } = confusionOf(items);
  const [positives, found] = [truePositive + falseNegative, truePositive + falsePositive];
  const { precision, recall, f1 } = bootstrapScores(items, { seed });
  return {
    grader,
    group,
    answers: items.length,
    positives,
    found,
    precision: single ? wilson(truePositive, found) : precision,
    recall: single ? wilson(truePositive, positives) : recall,
    f1,
  };
}

export function renderAgainst(rows: readonly AgainstRow[], format: "table" | "json"): string {
  if (format === "json") return `${JSON.stringify(rows, finite, 2)}\n`;
  const titles = ["grader", "answers of", "n", "yes by people", "by grader", "precision %", "recall %", "F1 %"];
  const cells = rows.map(({ grader, group, answers, positives, found, precision, recall, f1 }) => [
    grader,
    group,
    String(answers),
    String(positives),
    String(found),
    ...[precision, recall, f1].map(percent),
  ]);
  return `${textTable(titles, cells).join("\n")}\n`;
}

function percent({ value, low, high }: Estimate): string {
  const whole = (share: number): string => (100 * share).toFixed(1);
  return Number.isFinite(value) ? `${whole(value)} (${whole(low)}–${whole(high)})` : "–";
}

/** JSON has no NaN: what has no value is null. */
function finite(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? null : value;
}
