/**
 * UltraFeedback (Cui et al. 2023), both as it was released and binarized.
 *
 * Original: an instruction and four completions, each rated from 1 to 5 in four aspects (ratings are texts, "N/A" where
 * there is none). The completion with the highest rating is chosen, the one with the lowest rejected;
 * `ultrafeedbackRating` says which rating. Among equals the first counts. Completions without that rating are left out.
 *
 * Binarized: a prompt and two answers, texts or messages, with a rating each: `score_chosen` and `score_rejected`
 * (HuggingFaceH4, trl-lib), also within `metadata`, or `chosen-rating` and `rejected-rating` (argilla).
 *
 * Dropped: equal ratings; records where fewer than two completions are rated; empty or equal answers; binarized records
 * whose messages differ before the last answer. Ratings stay in the pair's `origin`.
 */
import { z } from "zod";
import { type Comparison, type Drop, defineRowFormat, EQUAL_RATINGS, ratingSchema, userMessage } from "./format.js";
import { compareMessages, messagesSchema } from "./messages.js";
import { type FormatOptions, ULTRAFEEDBACK_ASPECTS, type UltrafeedbackRating } from "./options.js";

const completionSchema = z.looseObject({
  model: z.string().optional(),
  response: z.string(),
  annotations: z.record(z.string(), z.looseObject({ Rating: ratingSchema.optional() })).optional(),
  overall_score: ratingSchema.nullish(),
  "fine-grained_score": ratingSchema.nullish(),
});
type Completion = z.infer<typeof completionSchema>;

const originalSchema = z.looseObject({ instruction: z.string(), completions: z.array(completionSchema) });

type Original = z.infer<typeof originalSchema>;

const answerSchema = z.union([z.string(), messagesSchema]);
const ratedSchema = z.looseObject({ score_chosen: ratingSchema, score_rejected: ratingSchema });
const binarizedSchema = z
  .looseObject({
    prompt: answerSchema.optional(),
    chosen: answerSchema,
    rejected: answerSchema,
    score_chosen: ratingSchema.optional(),
    score_rejected: ratingSchema.optional(),
    "chosen-rating": ratingSchema.optional(),
    "rejected-rating": ratingSchema.optional(),
    metadata: ratedSchema.optional(),
  })
  .refine((row) => ratingsOf(row) !== null, { message: "needs score_chosen and score_rejected" })
  .refine((row) => row.prompt !== undefined || typeof row.chosen !== "string", { message: "needs prompt" });
type Binarized = z.infer<typeof binarizedSchema>;

export const ultrafeedback = defineRowFormat({
  name: "ultrafeedback",
  prefix: "ultrafeedback",
  layout:
    "instruction, completions with ratings; or prompt, chosen, rejected with score_chosen, score_rejected (binarized)",
  schema: (record): z.ZodType<Original | Binarized> => ("completions" in record ? originalSchema : binarizedSchema),
  compare(row, options) {
    return isOriginal(row) ? compareCompletions(row, options) : compareBinarized(row);
  },
});

function isOriginal(row: Original | Binarized): row is Original {
  return "completions" in row;
}

function compareCompletions(
  { instruction, completions }: Original,
  { ultrafeedbackRating = "mean" }: FormatOptions,
): Comparison | Drop {
  const rated = completions
    .map((completion) => ({ completion, rating: rate(completion, ultrafeedbackRating) }))
    .filter((item): item is { completion: Completion; rating: number } => item.rating !== null);
  if (rated.length < 2) return { drop: "with fewer than two rated answers" };
  const best = rated.reduce((a, b) => (b.rating > a.rating ? b : a));
  const worst = rated.reduce((a, b) => (b.rating < a.rating ? b : a));
  if (best.rating === worst.rating) return { drop: EQUAL_RATINGS };
  const describe = ({ completion, rating }: typeof best): Record<string, unknown> => ({
    rating,
    ...(completion.model === undefined ? {} : { model: completion.model }),
  });
  return {
    prompt: userMessage(instruction),
    chosen: best.completion.response,
    rejected: worst.completion.response,
    origin: { chosen: describe(best), rejected: describe(worst) },
  };
}

/** Null where the completion has no such rating. */
function rate(completion: Completion, by: UltrafeedbackRating): number | null {
  if (by === "overall_score" || by === "fine-grained_score") return completion[by] ?? null;
  const aspects = by === "mean" ? ULTRAFEEDBACK_ASPECTS : [by];
  const ratings = aspects
    .map((aspect) => completion.annotations?.[aspect]?.Rating ?? null)
    .filter((rating) => rating !== null);
  return ratings.length === 0 ? null : ratings.reduce((sum, rating) => sum + rating, 0) / ratings.length;
}

/** Chosen, rejected; null where one is not there. */
function ratingsOf(row: Record<string, unknown>): [number, number] | null {
  const metadata = (row.metadata ?? {}) as Record<string, unknown>;
  for (const [chosen, rejected] of [
    [row.score_chosen, row.score_rejected],
    [row["chosen-rating"], row["rejected-rating"]],
    [metadata.score_chosen, metadata.score_rejected],
  ]) {
    if (typeof chosen === "number" && typeof rejected === "number") return [chosen, rejected];
  }
  return null;
}

function compareBinarized(row: Binarized): Comparison | Drop {
  const [chosen, rejected] = ratingsOf(row) as [number, number];
  if (chosen === rejected) return { drop: EQUAL_RATINGS };
  const origin = { chosen: { rating: chosen }, rejected: { rating: rejected } };
  if (chosen < rejected) return { drop: "whose rejected answer has the higher rating" };
  const { prompt } = row;
  if (typeof row.chosen === "string" || typeof row.rejected === "string") {
    if (typeof row.chosen !== typeof row.rejected) return { drop: "with a text and messages as answers" };
    const messages = typeof prompt === "string" ? userMessage(prompt) : (prompt ?? []);
    return { prompt: messages, chosen: row.chosen as string, rejected: row.rejected as string, origin };
  }
  const compared = compareMessages(prompt, row.chosen, row.rejected);
  return "drop" in compared ? compared : { ...compared, origin };
}
