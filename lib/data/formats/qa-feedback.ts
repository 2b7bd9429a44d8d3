/**
 * The preferences of FineGrainedRLHF's qa_feedback (Wu et al. 2023): a question with passages and four answers, compared
 * two by two: 1 prefers the first, 2 the second, 0 neither. Six comparisons a record; the id ends in the two numbers.
 * The prompt is the question and, below it, the passages that the answers are to draw on.
 *
 * Dropped: comparisons without a preference; empty or equal answers.
 */
import { z } from "zod";
import { type Comparison, type Drop, defineRowFormat, EQUAL_RATINGS, userMessage } from "./format.js";

/** In the order of `preference`. */
const COMPARED = [
  [1, 2],
  [1, 3],
  [1, 4],
  [2, 3],
  [2, 4],
  [3, 4],
] as const;

const schema = z.looseObject({
  question: z.string(),
  /** Title, then sentences. */
  passages: z.array(z.array(z.string())),
  "prediction 1": z.string(),
  "prediction 2": z.string(),
  "prediction 3": z.string(),
  "prediction 4": z.string(),
  preference: z.array(z.union([z.literal(0), z.literal(1), z.literal(2)])).length(COMPARED.length),
});

export const qaFeedback = defineRowFormat({
  name: "qa-feedback",
  prefix: "qa",
  layout: 'question, passages, "prediction 1" to "prediction 4", preference',
  schema,
  compare(row) {
    const passages = row.passages.map(([title = "", ...sentences]) => `${title}\n${sentences.join(" ")}`);
    const prompt = userMessage([row.question, ...passages].join("\n\n"));
    return COMPARED.map(([first, second], index): Comparison | Drop => {
      const preferred = row.preference[index];
      if (preferred === 0) return { drop: EQUAL_RATINGS };
      const answers = [row[`prediction ${first}`], row[`prediction ${second}`]] as const;
      const [chosen, rejected] = preferred === 1 ? answers : ([answers[1], answers[0]] as const);
      return { prompt, chosen, rejected, part: `${first}-${second}` };
    });
  },
});
