/** Options of the commands that use a queue, and what they open it with. */
import { UsageError } from "../errors.js";
import type { Connection } from "../queue/connection.js";
import type { OptionTable } from "./command.js";
import type { CommandContext } from "./context.js";

export const QUEUE_OPTIONS = {
  queue: {
    type: "string",
    placeholder: "URL",
    describe: "Redis: redis[s]://HOST:PORT, or env (docs/many-machines.md)",
  },
  shared: {
    type: "string",
    placeholder: "DIR",
    default: ".",
    describe: "with --queue: folder that every machine sees",
  },
} as const satisfies OptionTable;

/** Connects, and says what there is to be said of the server. Close it in the end. */
export async function openQueue(queue: string, context: CommandContext): Promise<Connection> {
  const [{ parseAddress }, { connect }] = await Promise.all([
    import("../queue/address.js"),
    import("../queue/connection.js"),
  ]);
  const connection = await connect(parseAddress(queue));
  for (const note of connection.notes) context.note(note);
  return connection;
}

/** Undefined where VALORA_QUEUE_LOCK does not say otherwise. @throws UsageError */
export function lockMilliseconds(): number | undefined {
  const text = process.env.VALORA_QUEUE_LOCK;
  if (text === undefined || text === "") return undefined;
  const seconds = Number(text);
  if (seconds >= 1 && seconds <= 3600) return 1000 * seconds;
  throw new UsageError(`VALORA_QUEUE_LOCK is "${text}": give seconds from 1 to 3600`);
}
