/** Graders that compare an answer with a reference: `match` by its words, `numeric` by its last number. */
import { DataFormatError } from "../../errors.js";
import type { Answer, Verdict } from "./grader.js";

export const VERSION = "1";

/** Texts beyond are compared by their first so many UTF-16 units. */
const MAX_TEXT = 1 << 20;

/**
 * Equal after case, punctuation, articles and white space are taken out (the normalisation of SQuAD: Rajpurkar, Zhang,
 * Lopyrev and Liang, EMNLP 2016). An answer that holds the reference among other words is "contained": y is 0, as the
 * words around may deny it.
 */
export function gradeMatch(answer: Answer): Verdict {
  const reference = referenceOf(answer, "match");
  if (reference instanceof DataFormatError) return reference;
  const [given, right] = [normalize(answer.text), normalize(reference)];
  if (given === right) return { label: "exact", y: 1, score: 1 };
  const contained = right !== "" && ` ${given} `.includes(` ${right} `);
  return { label: contained ? "contained" : "different", y: 0, score: 0 };
}

/** The number behind "####" or "the answer is", else the last one; equal to a relative 1e-9. */
export function gradeNumeric(answer: Answer): Verdict {
  const reference = referenceOf(answer, "numeric");
  if (reference instanceof DataFormatError) return reference;
  const right = finalNumber(reference);
  if (right === null)
    return new DataFormatError(`answer "${answer.id}": the reference has no number in it; numeric needs one`);
  const given = finalNumber(answer.text);
  if (given === null) return { label: "none", y: 0, score: 0 };
  const equal = Math.abs(given - right) <= 1e-9 * Math.max(1, Math.abs(right));
  return equal ? { label: "right", y: 1, score: 1 } : { label: "wrong", y: 0, score: 0 };
}

function referenceOf({ id, reference }: Answer, grader: string): string | DataFormatError {
  return reference ?? new DataFormatError(`answer "${id}": ${grader} needs a reference; add one to the line`);
}

function normalize(text: string): string {
  return text
    .slice(0, MAX_TEXT)
    .normalize("NFC")
    .toLowerCase()
    .replace(/['’]/g, "")
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, " ")
    .replace(/\b(?:a|an|the)\b/g, " ")
    .replace(/ +/g, " ")
    .trim();
}

const NUMBER = /(?<![\p{L}\p{N}])[-\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?/gu;

/** null where there is none. */
export function finalNumber(text: string): number | null {
  const tail = text.slice(-MAX_TEXT);
  const marked = /(?:####|the (?:final )?answer is:?)\s*[$€£]?\s*([-\u2212]?[\d,]*\.?\d+)/i.exec(tail)?.[1];
  const last = marked ?? tail.match(NUMBER)?.at(-1);
  if (last === undefined) return null;
  const number = Number(last.replaceAll(",", "").replace("\u2212", "-"));
  return Number.isFinite(number) ? number : null;
}
