/** The key of an endpoint, which is in the environment and nowhere else. */
import { UsageError } from "../../errors.js";

/** Where the key is looked for: the first of them that is set. */
export const KEY_NAMES = ["VALORA_API_KEY", "OPENAI_API_KEY"] as const;

/**
 * The key of the environment: the first of `names` that is set, else none.
 *
 * @throws UsageError, without the key, where no HTTP header could carry it
 */
export function apiKey(env: NodeJS.ProcessEnv = process.env, names: readonly string[] = KEY_NAMES): string | null {
  const name = names.find((each) => (env[each] ?? "") !== "");
  const key = name === undefined ? "" : env[name]!.trim();
  if (key === "") return null;
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new UsageError(`the environment's ${name} holds spaces or letters that no key has; set it anew`);
  return key;
}
