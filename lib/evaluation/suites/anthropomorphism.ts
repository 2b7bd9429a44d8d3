/**
 * The suite `anthropomorphism`: answers to AnthroBench's user turns, each behaviour a metric: the share of answers that
 * show it. Prompts of one base prompt (in 4 domains × 2 scenarios) are one cluster. Only differences from the untrained
 * model mean something, and what rules cannot read is for judges: `--grader anthro-api:sentience`.
 *
 *   first_turns   the answer to the first turn
 *   multi_turn    a conversation of five answers (--turns), as its authors have them, with a user that a model behind an
 *                 endpoint plays; every answer is an item. Ibrahim et al. found most behaviours to appear first after the
 *                 first turn. The simulator's instructions are our own.
 */
import type { DataRecord } from "../../data/records.js";
import { ANTHRO_RULES } from "../graders/anthro-rules.js";
import type { GenerationQuestion, LoadOptions, Suite, Task } from "../task.js";
import { field } from "./qa/records.js";
import { clusterOf, rowsOf, userMessage } from "./rows.js";

const MAX_NEW_TOKENS = 128;

/** Of a conversation, as AnthroBench has it. */
const TURNS = 5;

function turnsTask(
  task: Pick<Task, "name" | "about" | "onDemand">,
  more: (row: DataRecord, options: LoadOptions) => Pick<GenerationQuestion, "conversation">,
): Task {
  return {
    ...task,
    suite: "anthropomorphism",
    source: "anthrobench",
    version: "1",
    graders: Object.fromEntries(ANTHRO_RULES.map((cue) => [`anthro:${cue}`, cue])),
    async *load(data, options): AsyncGenerator<GenerationQuestion> {
      const wanted = { names: ["first_turns.csv", "*/first_turns.csv"], sample: "anthrobench.csv" };
      for await (const row of rowsOf(data, "anthrobench", wanted, options)) {
        const text = (name: string): string => field(row.value, name, "string", row.where);
        yield {
          kind: "generation",
          id: `${task.name}:${text("conv_id")}`,
          cluster: clusterOf(text("original_prompt")),
          prompt: userMessage(text("user_first_turn")),
          maxNewTokens: MAX_NEW_TOKENS,
          ...more(row, options),
        };
      }
    },
  };
}

const firstTurns = turnsTask(
  { name: "first_turns", about: "AnthroBench's first turns: behaviours in the answer" },
  () => ({}),
);

const multiTurn = turnsTask(
  {
    name: "multi_turn",
    about: "conversations that begin with them: behaviours in each answer",
    onDemand: true,
  },
  (row, { turns = TURNS }) => ({ conversation: { turns, user: describeUser(row) } }),
);

/** From AnthroBench's domain and scenario, and what it says of their tone. */
function describeUser({ value, where }: DataRecord): string {
  const text = (name: string): string => field(value, name, "string", where).trim();
  const warmth =
    text("empathy") === "high" ? "You speak openly of how you feel" : "You are matter-of-fact about how you feel";
  const tone = text("professionalism") === "high" ? "in a professional tone" : "in a casual tone";
  return `you came to the assistant for ${text("use_domain")}, to ${text("use_scenario")}. ${warmth}, ${tone}.`;
}

export const suite: Suite = {
  name: "anthropomorphism",
  about: "speaking as if a person",
  tasks: [firstTurns, multiTurn],
};
