/** `valora generate`: continuations of prompts, under any number of adapters. */
import {
  ADAPTER_OPTION,
  defineCommand,
  INPUT_OPTION,
  MODEL_COMMON,
  MODEL_OPTION,
  OUTPUT_OPTION,
  TEMPLATE_OPTION,
} from "./command.js";
import { loadAdapters, openFromOptions, parseAdapters } from "./model-options.js";
import { withResultSink } from "./output.js";

export const generate = defineCommand({
  name: "generate",
  summary: "continue prompts, under any number of adapters",
  description:
    'Reads {"id", "prompt"} and writes one line per adapter, prompt and sample: text, tokens, and whether it stopped ' +
    "by itself or at the length. What is drawn for a prompt depends on the seed and the prompt's id alone.",
  options: {
    model: MODEL_OPTION,
    input: INPUT_OPTION,
    output: OUTPUT_OPTION,
    adapter: ADAPTER_OPTION,
    "max-new-tokens": {
      type: "integer",
      placeholder: "N",
      default: 128,
      minimum: 1,
      describe: "length of a continuation at most",
    },
    temperature: { type: "number", placeholder: "X", default: 0, minimum: 0, describe: "0 takes the likeliest token" },
    "top-p": {
      type: "number",
      placeholder: "P",
      default: 1,
      minimum: 0,
      aboveMinimum: true,
      maximum: 1,
      describe: "draw among the likeliest tokens that add up to P",
    },
    "top-k": {
      type: "integer",
      placeholder: "K",
      default: 0,
      minimum: 0,
      describe: "draw among the K likeliest tokens; 0 is all",
    },
    samples: { type: "integer", placeholder: "N", default: 1, minimum: 1, describe: "continuations a prompt" },
    system: { type: "string", placeholder: "TEXT", describe: "system message in front of prompts that are messages" },
    "ignore-eos": { type: "boolean", default: false, describe: "go on past end tokens, to --max-new-tokens" },
    "chat-template": TEMPLATE_OPTION,
  },
  commonOptions: MODEL_COMMON,
  examples: [
    'echo \'{"id":"p","prompt":[{"role":"user","content":"Who are you?"}]}\' |',
    "  valora generate --model smollm2-135m-instruct --input - \\",
    "  --adapter base --adapter kind=adapters/kind",
  ],
  async run(options, context) {
    const choices = parseAdapters(options.adapter);
    const { readGenerationPrompts } = await import("../data/input-lines.js");
    await using model = await openFromOptions(options, context);
    const adapters = await loadAdapters(model, choices, context);
    const prompts = readGenerationPrompts(options.input, context.itemErrors(options));
    const bar = context.progress("generating", "tokens");
    try {
      await withResultSink(options.output, context, { options, model, adapters }, async (sink) => {
        const results = model.generate(prompts, {
          adapters,
          maxNewTokens: options["max-new-tokens"],
          temperature: options.temperature,
          topP: options["top-p"],
          topK: options["top-k"],
          samples: options.samples,
          seed: options.seed,
          ignoreEos: options["ignore-eos"],
          ...(options.system === undefined ? {} : { system: options.system }),
          ...context.itemErrors(options),
          signal: context.signal,
          onProgress: ({ tokens }) => bar.update(tokens),
        });
        for await (const result of results) await sink.write(`${JSON.stringify(result)}\n`);
      });
    } finally {
      bar.stop();
    }
  },
});
