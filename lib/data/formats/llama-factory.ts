/**
 * LLaMA-Factory's layouts of preference data (data/README.md of that project):
 *
 *     conversations [{from, value}…], chosen {from, value}, rejected {from, value}      "sharegpt"
 *     messages [{role, content}…], chosen {role, content}, rejected {role, content}     the same in OpenAI's words
 *     instruction, input, chosen, rejected                                              "alpaca"
 *     instruction or prompt, input, output or response [chosen, rejected]               "alpaca", older
 *
 * A `system` text comes before the dialogue, the `history` of alpaca records ([question, answer]…) before the
 * instruction; `input` follows the instruction after a line end.
 *
 * Dropped: dialogues with tools; answers that are not the assistant's; empty or equal answers.
 */
import { z } from "zod";
import { type Comparison, type Drop, defineRowFormat, type Message } from "./format.js";

const turnSchema = z.union([
  z
    .looseObject({ from: z.string(), value: z.string() })
    .transform(({ from, value }) => ({ role: from, content: value })),
  z.looseObject({ role: z.string(), content: z.string() }),
]);
const dialogueSchema = z
  .looseObject({
    conversations: z.array(turnSchema).min(1).optional(),
    messages: z.array(turnSchema).min(1).optional(),
    system: z.string().nullish(),
    chosen: turnSchema,
    rejected: turnSchema,
  })
  .refine((row) => row.conversations !== undefined || row.messages !== undefined, { message: "needs conversations" });

const answersSchema = z.tuple([z.string(), z.string()]);
const alpacaSchema = z
  .looseObject({
    instruction: z.string().optional(),
    prompt: z.string().optional(),
    input: z.string().nullish(),
    system: z.string().nullish(),
    history: z.array(z.tuple([z.string(), z.string()])).nullish(),
    chosen: z.string().optional(),
    rejected: z.string().optional(),
    output: answersSchema.optional(),
    response: answersSchema.optional(),
  })
  .refine((row) => row.instruction !== undefined || (row.prompt !== undefined && listOf(row) !== undefined), {
    message: "needs instruction",
  })
  .refine((row) => listOf(row) !== undefined || (row.chosen !== undefined && row.rejected !== undefined), {
    message: "needs chosen and rejected",
  });

type Dialogue = z.infer<typeof dialogueSchema>;
type Alpaca = z.infer<typeof alpacaSchema>;

const ROLES: Record<string, string> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  assistant: "assistant",
  system: "system",
};

export const llamaFactory = defineRowFormat({
  name: "llama-factory",
  prefix: "llama-factory",
  layout:
    "conversations, chosen {from, value}, rejected {from, value}; or instruction, chosen, rejected; or prompt, response [chosen, rejected]",
  schema: (record): z.ZodType<Dialogue | Alpaca> =>
    "conversations" in record || "messages" in record ? dialogueSchema : alpacaSchema,
  compare: (row) => (isDialogue(row) ? compareDialogue(row) : compareAlpaca(row)),
});

function isDialogue(row: Dialogue | Alpaca): row is Dialogue {
  return typeof row.chosen === "object";
}

function listOf(row: { output?: unknown; response?: unknown }): [string, string] | undefined {
  return (row.output ?? row.response) as [string, string] | undefined;
}

function compareDialogue({ conversations, messages, system, chosen, rejected }: Dialogue): Comparison | Drop {
  const turns = [...systemMessage(system), ...((conversations ?? messages) as Message[])];
  if ([...turns, chosen, rejected].some(({ role }) => ROLES[role] === undefined)) return { drop: "with tools" };
  if (ROLES[chosen.role] !== "assistant" || ROLES[rejected.role] !== "assistant")
    return { drop: "whose dialogue does not end with the assistant" };
  const prompt = turns.map(({ role, content }) => ({ role: ROLES[role] as string, content }));
  return { prompt, chosen: chosen.content, rejected: rejected.content };
}

function compareAlpaca(row: Alpaca): Comparison {
  const content = [row.instruction ?? row.prompt, row.input].filter((text) => text).join("\n");
  const past = (row.history ?? []).flatMap(([question, answer]) => [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ]);
  const [chosen, rejected] = listOf(row) ?? [row.chosen as string, row.rejected as string];
  return { prompt: [...systemMessage(row.system), ...past, { role: "user", content }], chosen, rejected };
}

function systemMessage(text: string | null | undefined): Message[] {
  return text ? [{ role: "system", content: text }] : [];
}
