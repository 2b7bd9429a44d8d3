/** `valora inspect`: what a model, adapter, data file or evaluation folder holds. */
import { defineCommand, PLAIN_COMMON } from "./command.js";
import { PREFERENCE_OPTIONS, preferenceOptions } from "./preference-options.js";

export const inspect = defineCommand({
  name: "inspect",
  summary: "say what a model, adapter, data file or evaluation folder holds",
  description:
    "Reads the headers of a model (.gguf file or safetensors folder, or the name of one in the cache), an adapter " +
    "folder, a data file (JSON Lines, JSON, CSV, TSV, Parquet) or an evaluation folder, and prints what is in it; of " +
    "preference data also the pairs and what is dropped. Weights are not loaded.",
  positional: { placeholder: "PATH|NAME", describe: "a file, a folder, or a named model" },
  options: {
    ...PREFERENCE_OPTIONS,
    json: { type: "boolean", default: false, describe: "one JSON object instead of text" },
  },
  commonOptions: PLAIN_COMMON,
  examples: ["valora inspect smollm2-135m-instruct", "valora inspect adapters/agreeableness --json"],
  async run(options, context, [path = ""]) {
    const { inspectPath } = await import("../models/inspect.js");
    const inspection = await inspectPath(path, preferenceOptions(options));
    if (options.json) {
      await context.print(`${JSON.stringify(inspection)}\n`);
    } else {
      const { stringify } = await import("yaml");
      await context.print(stringify(inspection, { lineWidth: 100, aliasDuplicateObjects: false }));
    }
  },
});
