/**
 * Stack Exchange Paired (lvwerra/stack-exchange-paired): a question, a better answer (`response_j`) and a worse one
 * (`response_k`), by votes.
 *
 * Dropped: empty or equal answers.
 */
import { z } from "zod";
import { defineRowFormat, userMessage } from "./format.js";

export const stackExchangePaired = defineRowFormat({
  name: "stack-exchange-paired",
  prefix: "stack",
  layout: "question, response_j, response_k",
  schema: z.looseObject({ question: z.string(), response_j: z.string(), response_k: z.string() }),
  compare: ({ question, response_j, response_k }) => ({
    prompt: userMessage(question),
    chosen: response_j,
    rejected: response_k,
  }),
});
