/** `valora merge`: adds an adapter into the weights, and proves that nothing else changed. */
import { defineCommand, MODEL_COMMON, MODEL_OPTION } from "./command.js";
import { loadAdapter, openFromOptions } from "./model-options.js";

export const merge = defineCommand({
  name: "merge",
  summary: "add an adapter into the weights and prove that it is the same model",
  description:
    "Writes a safetensors model folder with the adapter added into its matrices (never requantised), then scores the " +
    "same tokens with model + adapter and with the merged model, and prints how far apart their log-probabilities are.",
  options: {
    model: MODEL_OPTION,
    adapter: { type: "string", placeholder: "DIR", required: true, describe: "adapter folder" },
    output: { type: "string", placeholder: "DIR", required: true, describe: "folder of the merged model" },
    dtype: { type: "string", choices: ["BF16", "F32"], default: "BF16", describe: "of the merged matrices" },
  },
  commonOptions: MODEL_COMMON,
  examples: ["valora merge --model smollm2-135m-instruct \\", "  --adapter adapters/kind --output merged"],
  async run(options, context) {
    const { mergeAdapter } = await import("../engine/merge.js");
    await using model = await openFromOptions(options, context);
    await using adapter = await loadAdapter(model, options.adapter, context);
    const bar = context.progress("merging", "bytes");
    try {
      const proof = await mergeAdapter(model, adapter, options.output, {
        dtype: options.dtype,
        signal: context.signal,
        onProgress: ({ done, total }) => {
          bar.setTotal(total);
          bar.update(done);
        },
      });
      await context.print(`${JSON.stringify(proof)}\n`);
    } finally {
      bar.stop();
    }
  },
});
