/**
 * PKU-SafeRLHF (Ji et al. 2023): two responses, which of them is better and which is safer. `pkuChosen` says which of the
 * two judgements is taken; the safety labels stay in the pair's `origin` (`safe`, and `harm_category` and
 * `severity_level` where a release has them).
 *
 * Dropped: empty or equal responses.
 */
import { z } from "zod";
import { defineRowFormat, userMessage } from "./format.js";

const which = z.union([z.literal(0), z.literal(1)]);

const schema = z.looseObject({
  prompt: z.string(),
  response_0: z.string(),
  response_1: z.string(),
  is_response_0_safe: z.boolean(),
  is_response_1_safe: z.boolean(),
  better_response_id: which,
  safer_response_id: which,
});

export const pkuSaferlhf = defineRowFormat({
  name: "pku-saferlhf",
  prefix: "pku",
  layout: "prompt, response_0, response_1, better_response_id, safer_response_id",
  schema,
  compare(row, { pkuChosen = "better" }) {
    const best = pkuChosen === "better" ? row.better_response_id : row.safer_response_id;
    const describe = (id: 0 | 1): Record<string, unknown> => ({
      safe: row[`is_response_${id}_safe`],
      ...pick(row, `response_${id}_harm_category`, "harm_category"),
      ...pick(row, `response_${id}_severity_level`, "severity_level"),
    });
    const other = best === 0 ? 1 : 0;
    return {
      prompt: userMessage(row.prompt),
      chosen: row[`response_${best}`],
      rejected: row[`response_${other}`],
      origin: { chosen: describe(best), rejected: describe(other) },
    };
  },
});

function pick(row: Record<string, unknown>, field: string, name: string): Record<string, unknown> {
  return row[field] === undefined ? {} : { [name]: row[field] };
}
