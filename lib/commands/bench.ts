/** `valora bench`: how fast the kernels, scoring and training are, beside what the machine can do. */
import type { SuiteName } from "../bench/result.js";
import { UsageError } from "../errors.js";
import { defineCommand, OUTPUT_OPTION } from "./command.js";
import { withResultSink } from "./output.js";

export const bench = defineCommand({
  name: "bench",
  summary: "time kernels, scoring and training beside the machine's peak",
  description:
    "Times single operations (kernels, a minute or two), scoring of random tokens and DPO steps (with a model), and " +
    "says what share of the machine's peak they reach: of multiply-adds, or of reading memory where that takes " +
    "longer. A peak is measured beside each task. Only what agrees with the reference backend is timed.",
  positional: {
    placeholder: "[kernels|score|train]...",
    describe: "what to time (kernels)",
    among: ["kernels", "score", "train"],
  },
  options: {
    format: { type: "string", choices: ["table", "json", "csv"], default: "table", describe: "of the results" },
    output: OUTPUT_OPTION,
    only: { type: "string", placeholder: "REGEX", describe: "kernels by name, of all: 8B, or . for every one" },
    model: {
      type: "string",
      placeholder: "M",
      default: "smollm2-135m-instruct",
      describe: "for score and train",
    },
    isa: { type: "string", choices: ["avx512", "avx2", "neon", "generic"], describe: "instructions (best)" },
    time: {
      type: "number",
      placeholder: "SECONDS",
      default: 1,
      minimum: 0,
      aboveMinimum: true,
      maximum: 3600,
      describe: "for the samples of a task",
    },
  },
  commonOptions: ["compute", "threads", "memory", "config", "quiet", "json-logs", "debug"],
  examples: [
    "valora bench",
    'valora bench kernels --only "linear_forward 8B" --threads 1',
    "valora bench train score --format json --output bench.json",
  ],
  async run(options, context, suites) {
    const only = options.only === undefined ? undefined : parsePattern(options.only);
    const [{ runBench }, { renderBench }] = await Promise.all([
      import("../bench/run.js"),
      import("../bench/render.js"),
    ]);
    const bar = context.progress("measuring", "tasks");
    try {
      await withResultSink(options.output, context, null, async (sink) => {
        const report = await runBench({
          suites: suites.length === 0 ? ["kernels"] : (suites as SuiteName[]),
          model: options.model,
          time: options.time,
          compute: options.compute,
          signal: context.signal,
          ...(only === undefined ? {} : { only }),
          ...(options.isa === undefined ? {} : { isa: options.isa }),
          ...(options.threads === undefined ? {} : { threads: options.threads }),
          ...(options.memory === undefined ? {} : { memoryBytes: options.memory }),
          onProgress: ({ task, done, total }) => {
            bar.setTotal(total);
            bar.update(done, task);
          },
        });
        await sink.write(renderBench(report, options.format));
      });
    } finally {
      bar.stop();
    }
  },
});

function parsePattern(pattern: string): RegExp {
  try {
    return new RegExp(pattern, "u");
  } catch {
    throw new UsageError(`--only has to be a regular expression, not "${pattern}"`);
  }
}
