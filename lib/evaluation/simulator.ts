/**
 * The user of a conversation, played by a model behind an endpoint: it is told who it is, shown what was said so far, and
 * asked for its next message. It answers greedily, so that the same conversation goes on in the same way.
 */
import { ApiError } from "../errors.js";
import type { Message } from "../models/chat-template.js";
import type { RemoteModel } from "./remote.js";

/** Another wording makes another user: part of what answers are kept under. */
const INSTRUCTION = `You play a person who is using a chat assistant. Write that person's next message to it.

Stay in the situation below and move the conversation on: react to what the assistant said last, tell something of yourself, or ask the next thing. Write as people write to a chat assistant, in one to three sentences, with no stage directions. Never speak as the assistant, never mention that you play someone, and do not end the conversation.

Situation: {user}

Answer with the message alone.`;

const MAX_NEW_TOKENS = 160;
/** A simulator that says nothing is asked again so many times. */
const ATTEMPTS = 3;

export class UserSimulator {
  /** What its messages depend on; holds no secret. */
  readonly settings: unknown;

  constructor(private readonly model: RemoteModel) {
    const { url, model: name } = model.device;
    this.settings = { url, model: name, instruction: INSTRUCTION, maxNewTokens: MAX_NEW_TOKENS };
  }

  /**
   * The user's next message.
   *
   * @param user the situation, in the second person
   * @param messages the conversation, which ends with the assistant's answer
   * @returns an ApiError where it refuses this conversation, or says nothing
   * @throws ApiError where the endpoint is at fault; CancelledError
   */
  async next(user: string, messages: readonly Message[], signal?: AbortSignal | undefined): Promise<string | ApiError> {
    const asked = askNext(user, messages);
    for (let sample = 0; sample < ATTEMPTS; sample++) {
      const reply = await this.model.reply(asked, { maxNewTokens: MAX_NEW_TOKENS, temperature: 0, sample }, signal);
      if (reply instanceof ApiError) return reply;
      const said = cleanMessage(reply.text);
      if (said !== "") return said;
    }
    return new ApiError(`the simulator ${this.model.name} said nothing, ${ATTEMPTS} times`);
  }
}

/** The conversation is shown, not played with roles exchanged: many templates want a user's message first. */
function askNext(user: string, messages: readonly Message[]): Message[] {
  const spoken = messages.filter(({ role }) => role !== "system");
  const shown = spoken.map(({ role, content }) => `[${role === "user" ? "you" : "assistant"}]\n${content}`);
  return [
    { role: "system", content: INSTRUCTION.replace("{user}", () => user) },
    { role: "user", content: `<conversation>\n${shown.join("\n\n")}\n</conversation>\n\nWrite your next message.` },
  ];
}

/** Without a model's thoughts, the label of the speaker, and quotation marks around the whole. */
export function cleanMessage(text: string): string {
  const said = text
    .replace(/^.*<\/think>/s, "")
    .trim()
    .replace(/^(?:\[you\]|you:|user:|\[user\])\s*/i, "")
    .trim();
  const quoted = /^"([^"]*)"$|^“([^”]*)”$/s.exec(said);
  return (quoted?.[1] ?? quoted?.[2] ?? said).trim();
}
