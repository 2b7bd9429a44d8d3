/** valora's own preference pairs: they pass as they are, with every field they have. */
import { prepareOrSkip } from "../../engine/requests.js";
import { type PreferencePair, parsePair, preferencePairSchema } from "../pairs.js";
import type { PairFormat } from "./format.js";

export const pairs: PairFormat = {
  name: "pairs",
  layout: "id, prompt, chosen, rejected (texts or tokens)",
  recognises: (record) => preferencePairSchema.safeParse(record).success,
  async *pairs(records, context): AsyncGenerator<PreferencePair> {
    for await (const { value, where } of records) {
      const pair = prepareOrSkip(context, () => parsePair(value, where));
      if (pair !== null) yield pair;
    }
  },
};
