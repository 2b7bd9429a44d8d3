/**
 * Replies of endpoints on disk, each in a file of its own under the hash of all that was asked: they are written whole or
 * not at all, any number of processes may use the folder, and nothing of it is held in memory.
 */
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../files/atomic.js";
import { readOptionalText } from "../files/optional-text.js";
import { cacheFolder } from "../models/registry.js";

const replySchema = z.object({
  text: z.string(),
  /** null where the endpoint does not say how many. */
  tokens: z.int().min(0).nullable(),
  /** "length" where the limit of tokens cut it. */
  finish: z.enum(["stop", "length"]),
});
export type KeptReply = z.infer<typeof replySchema>;

export class ReplyStore {
  /** @param folder default `replies` in the cache folder */
  constructor(private readonly folder: string = join(cacheFolder(), "replies")) {}

  /**
   * Null where there is none, or a damaged one.
   *
   * @param key 64 hexadecimal digits
   * @throws FileError where it cannot be read
   */
  async get(key: string): Promise<KeptReply | null> {
    const text = await readOptionalText(this.pathOf(key));
    if (text === null) return null;
    try {
      return replySchema.parse(JSON.parse(text));
    } catch {
      return null;
    }
  }

  /** @throws FileError */
  async put(key: string, reply: KeptReply): Promise<void> {
    await writeFileAtomic(this.pathOf(key), `${JSON.stringify(reply)}\n`);
  }

  private pathOf(key: string): string {
    return join(this.folder, key.slice(0, 2), `${key}.json`);
  }
}
