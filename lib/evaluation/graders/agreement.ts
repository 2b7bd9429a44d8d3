/** How far graders agree with each other beyond chance, answer by answer, in constant memory. */
import type { Grade } from "./grader.js";

export interface Agreement {
  first: string;
  second: string;
  /** Answers that both graded. */
  n: number;
  /** Share of them that both gave the same y. */
  alike: number;
  /** Cohen's kappa of y; NaN where both say the same of every answer. */
  kappa: number;
}

/** What a line is about, by the name of its grader: "refusal" of refusal-judge, "anthro:empathy" of anthro-api:empathy. */
export function subjectOf(line: string): string {
  const at = line.indexOf(":");
  const family = at < 0 ? line : line.slice(0, at);
  return family.split("-", 1)[0]! + (at < 0 ? "" : line.slice(at));
}

/** Takes all lines of one answer at a time; only lines about the same thing are compared. */
export class AgreementTally {
  /** By pair of lines: how often their y are (0,0), (0,1), (1,0), (1,1). */
  private readonly counts = new Map<string, { first: string; second: string; cells: number[] }>();

  add(grades: readonly Grade[]): void {
    for (const [index, one] of grades.entries()) {
      for (const other of grades.slice(index + 1)) {
        if (one.grader === other.grader || subjectOf(one.grader) !== subjectOf(other.grader)) continue;
        const key = `${one.grader}\n${other.grader}`;
        let count = this.counts.get(key);
        if (count === undefined) {
          count = { first: one.grader, second: other.grader, cells: [0, 0, 0, 0] };
          this.counts.set(key, count);
        }
        count.cells[2 * one.y + other.y]! += 1;
      }
    }
  }

  /** κ = (p_o − p_e) / (1 − p_e), as `cohenKappa` has it of lists (Cohen 1960). */
  results(): Agreement[] {
    return [...this.counts.values()].map(({ first, second, cells }) => {
      const [neither, onlySecond, onlyFirst, both] = cells as [number, number, number, number];
      const n = neither + onlySecond + onlyFirst + both;
      const alike = (neither + both) / n;
      const [p, q] = [(onlyFirst + both) / n, (onlySecond + both) / n];
      const expected = p * q + (1 - p) * (1 - q);
      return { first, second, n, alike, kappa: (alike - expected) / (1 - expected) };
    });
  }
}
