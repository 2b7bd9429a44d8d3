/** `valora tokenize`: texts or chat messages to token ids. */
import { defineCommand, INPUT_OPTION, MODEL_OPTION, OUTPUT_OPTION, TEMPLATE_OPTION } from "./command.js";
import { withResultSink } from "./output.js";

export const tokenize = defineCommand({
  name: "tokenize",
  summary: "turn texts or chat messages into token ids",
  description:
    'Reads lines {"id", "text"} or {"id", "messages"} and writes {"id", "tokens", "text"}. A text is used as it stands; ' +
    "messages go through the chat template. BOS stands in front where the model wants one, never twice.",
  options: {
    model: MODEL_OPTION,
    input: INPUT_OPTION,
    output: OUTPUT_OPTION,
    chat: { type: "boolean", default: false, describe: "take a text as one user message" },
    "generation-prompt": { type: "boolean", default: true, describe: "end messages without the assistant's opening" },
    "chat-template": TEMPLATE_OPTION,
  },
  commonOptions: ["on-error", "config", "quiet", "json-logs", "debug"],
  examples: [
    'echo \'{"id":"a","messages":[{"role":"user","content":"Hello"}]}\' |',
    "  valora tokenize --model smollm2-135m-instruct --input -",
  ],
  async run(options, context) {
    const [{ openText }, { encodeStart }, { readTexts }] = await Promise.all([
      import("../engine/open-text.js"),
      import("../engine/encode.js"),
      import("../data/input-lines.js"),
    ]);
    const model = await openText(options.model, options["chat-template"]);
    const bar = context.progress("tokenizing", "lines");
    const lines = readTexts(options.input, context.itemErrors(options));
    let done = 0;
    try {
      await withResultSink(options.output, context, null, async (sink) => {
        for await (const line of lines) {
          context.signal.throwIfAborted();
          const messages = line.messages ?? (options.chat ? [{ role: "user", content: line.text ?? "" }] : undefined);
          const text =
            messages === undefined ? (line.text ?? "") : model.render(messages, options["generation-prompt"]);
          await sink.write(`${JSON.stringify({ id: line.id, tokens: encodeStart(model, text), text })}\n`);
          bar.update(++done);
        }
      });
    } finally {
      bar.stop();
    }
  },
});
