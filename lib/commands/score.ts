/** `valora score`: log-probabilities of completions, under any number of adapters in one pass. */
import type { ScoreResult } from "../engine/score.js";
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

export const score = defineCommand({
  name: "score",
  summary: "log-probabilities of completions, under any number of adapters",
  description:
    'Reads {"id", "context", "completions"} and writes one line per adapter, request and completion, adapters ' +
    "outermost: log-probability in nats, tokens, bytes, and whether every token was the likeliest.",
  options: {
    model: MODEL_OPTION,
    input: INPUT_OPTION,
    output: OUTPUT_OPTION,
    adapter: ADAPTER_OPTION,
    "per-token": { type: "boolean", default: false, describe: "add token_logprobs to each result" },
    format: { type: "string", choices: ["jsonl", "csv"], default: "jsonl", describe: "of the results" },
    boundary: {
      type: "string",
      choices: ["longest", "harness"],
      default: "longest",
      describe: "a token across the seam",
    },
    "chat-template": TEMPLATE_OPTION,
  },
  commonOptions: MODEL_COMMON,
  examples: [
    "valora score --model smollm2-135m-instruct --input requests.jsonl \\",
    "  --adapter base --adapter kind=adapters/kind --format csv --output scores.csv",
  ],
  async run(options, context) {
    const choices = parseAdapters(options.adapter);
    const { readScoreRequests } = await import("../data/input-lines.js");
    await using model = await openFromOptions(options, context);
    const adapters = await loadAdapters(model, choices, context);
    const requests = readScoreRequests(options.input, context.itemErrors(options));
    const bar = context.progress("scoring", "requests");
    try {
      await withResultSink(options.output, context, { options, model, adapters }, async (sink) => {
        const format = options.format === "csv" ? await csvFormat(options["per-token"]) : jsonFormat;
        await sink.write(format.header);
        const results = model.score(requests, {
          adapters,
          perToken: options["per-token"],
          boundary: options.boundary,
          ...context.itemErrors(options),
          signal: context.signal,
          onProgress: ({ done, total }) => {
            if (total !== undefined) bar.setTotal(total);
            bar.update(done);
          },
        });
        for await (const result of results) await sink.write(format.line(result));
      });
    } finally {
      bar.stop();
    }
  },
});

interface ResultFormat {
  header: string;
  line(result: ScoreResult): string;
}

const jsonFormat: ResultFormat = { header: "", line: (result) => `${JSON.stringify(result)}\n` };

/** The JSON fields as columns; token_logprobs is one cell with a space between numbers. */
async function csvFormat(perToken: boolean): Promise<ResultFormat> {
  const { stringify } = await import("csv-stringify/sync");
  const columns = ["id", "adapter", "completion", "logprob", "tokens", "bytes", "greedy", "boundary"];
  if (perToken) columns.push("token_logprobs");
  const draw = (cells: unknown[]): string => stringify([cells], { cast: { boolean: (value) => String(value) } });
  return {
    header: draw(columns),
    line: (result) =>
      draw(
        columns.map((column) => {
          const value = (result as unknown as Record<string, unknown>)[column];
          return Array.isArray(value) ? value.join(" ") : value;
        }),
      ),
  };
}
