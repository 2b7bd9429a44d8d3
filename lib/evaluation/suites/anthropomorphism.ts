/**
 * The suite `anthropomorphism`: answers to AnthroBench's first user turns, each behaviour a metric: the share of answers
 * that show it. Prompts of one base prompt (in 4 domains × 2 scenarios) are one cluster. Only differences from the
 * untrained model mean something, and what rules cannot read is for judges: `--grader anthro-api:sentience`.
 */

import { ANTHRO_RULES } from "../graders/anthro-rules.js";
import type { GenerationQuestion, Suite, Task } from "../task.js";
import { field } from "./qa/records.js";
import { clusterOf, rowsOf, userMessage } from "./rows.js";

const MAX_NEW_TOKENS = 128;

const firstTurns: Task = {
  suite: "anthropomorphism",
  name: "first_turns",
  about: "AnthroBench's first turns: behaviours in the answer",
  source: "anthrobench",
  version: "1",
  graders: Object.fromEntries(ANTHRO_RULES.map((cue) => [`anthro:${cue}`, cue])),
  async *load(data, options): AsyncGenerator<GenerationQuestion> {
    const wanted = { names: ["first_turns.csv", "*/first_turns.csv"], sample: "anthrobench.csv" };
    for await (const { value, where } of rowsOf(data, "anthrobench", wanted, options)) {
      const turn = field(value, "user_first_turn", "string", where);
      yield {
        kind: "generation",
        id: `first_turns:${field(value, "conv_id", "string", where)}`,
        cluster: clusterOf(field(value, "original_prompt", "string", where)),
        prompt: userMessage(turn),
        maxNewTokens: MAX_NEW_TOKENS,
      };
    }
  },
};

export const suite: Suite = {
  name: "anthropomorphism",
  about: "speaking as if a person",
  tasks: [firstTurns],
};
