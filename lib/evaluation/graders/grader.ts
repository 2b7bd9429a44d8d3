/** What a grader is: something that reads answers to prompts and gives each a label and a 0 or 1. */
import type { Prompt } from "../../engine/encode.js";
import type { ValoraError } from "../../errors.js";

/** One answer to be graded. */
export interface Answer {
  id: string;
  /** Empty where it is not known; graders that need it say so. */
  prompt: Prompt;
  text: string;
  /** What a right answer is, for graders that compare. */
  reference?: string | undefined;
}

/** One line of `valora grade`. */
export interface Grade {
  id: string;
  grader: string;
  /** The grader's own word, such as "refusal" or "partial". */
  label: string;
  /** Whether the answer has what the grader looks for. */
  y: 0 | 1;
  /** Where the grader is graded itself: a probability, or an amount. */
  score?: number;
}

export interface GradeOptions {
  signal?: AbortSignal | undefined;
  /** What an answer does that cannot be graded; default "fail". */
  onError?: "fail" | "skip";
  /** Told why an answer was left out. */
  onSkip?: (message: string) => void;
}

export interface Grader {
  readonly name: string;
  /** Grows when the same settings give other grades. */
  readonly version: string;
  /** What its grades depend on beside name, version and answer; plain JSON, no secrets. Goes into manifests. */
  readonly settings?: unknown;
  /**
   * Grades in the order of the answers, one at a time or a few ahead.
   *
   * @throws ValoraError for an answer that cannot be graded, unless such are skipped; CancelledError
   */
  grade(answers: AsyncIterable<Answer>, options: GradeOptions): AsyncIterable<Grade>;
  /** Frees models and connections. Safe to call twice. */
  dispose?(): Promise<void>;
}

/** What a rule says of one answer; an error where it cannot be graded. */
export type Verdict = Pick<Grade, "label" | "y" | "score"> | ValoraError;
