/**
 * Stanford Human Preferences (Ethayarajh et al. 2022): a post and two comments, the one with more votes preferred
 * (`labels`: 1 where it is A). Domain and ratio of the votes stay in the pair's `origin`.
 *
 * Dropped: empty or equal comments.
 */
import { z } from "zod";
import { defineRowFormat, userMessage } from "./format.js";

const schema = z.looseObject({
  history: z.string(),
  human_ref_A: z.string(),
  human_ref_B: z.string(),
  labels: z.union([z.literal(0), z.literal(1), z.literal("0"), z.literal("1")]),
  domain: z.string().optional(),
  score_ratio: z.union([z.number(), z.string()]).optional(),
});

export const shp = defineRowFormat({
  name: "shp",
  prefix: "shp",
  layout: "history, human_ref_A, human_ref_B, labels",
  schema,
  compare({ history, human_ref_A, human_ref_B, labels, domain, score_ratio }) {
    const isA = Number(labels) === 1;
    return {
      prompt: userMessage(history),
      chosen: isA ? human_ref_A : human_ref_B,
      rejected: isA ? human_ref_B : human_ref_A,
      origin: {
        ...(domain === undefined ? {} : { domain }),
        ...(score_ratio === undefined ? {} : { score_ratio: Number(score_ratio) }),
      },
    };
  },
});
