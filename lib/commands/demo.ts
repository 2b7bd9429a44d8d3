/** `valora demo`: three values into a real model, and everything that moved, in about five minutes. */
import { resolve } from "node:path";
import { defineCommand, MODEL_COMMON } from "./command.js";
import { openFromOptions } from "./model-options.js";

export const demo = defineCommand({
  name: "demo",
  summary: "induce three traits into a small real model and show what moved",
  description:
    "Fetches SmolLM2-135M-Instruct and runs the study smoke on it: one adapter for each of three personality traits, with " +
    "controls, and what each moved on held-out statements of five traits. Prints the crosstalk matrix and one answer " +
    "before and after; writes a report. A second run does again only what has changed.",
  options: {
    output: {
      type: "string",
      placeholder: "DIR",
      default: "valora-demo",
      describe: "folder of report, tables and adapters",
    },
    minutes: {
      type: "number",
      placeholder: "M",
      default: 5,
      minimum: 0,
      aboveMinimum: true,
      describe: "for training and measuring; a slow machine does less",
    },
    model: {
      type: "string",
      placeholder: "M",
      default: "smollm2-135m-instruct",
      describe: "another model with a chat template",
    },
  },
  commonOptions: MODEL_COMMON,
  examples: ["valora demo --output my-demo --minutes 3"],
  async run(options, context) {
    const started = performance.now();
    const [{ NAMED_MODELS }, { runDemo }, { renderCrosstalkTable }] = await Promise.all([
      import("../models/registry.js"),
      import("../demo/run.js"),
      import("../demo/table.js"),
    ]);
    if (options.model in NAMED_MODELS) {
      const { pullWithProgress } = await import("./pull.js");
      await pullWithProgress(options.model, context);
    }
    const result = await runDemo({
      output: options.output,
      minutes: options.minutes,
      seed: options.seed,
      model: options.model,
      device: options.device,
      compute: options.compute,
      openModel: (ref) => openFromOptions({ ...options, model: ref.model }, context),
      view: context,
      signal: context.signal,
    });
    await context.print(`\n${renderCrosstalkTable(result.cells)}\n`);
    for (const sentence of result.findings) await context.print(`${sentence}\n`);
    await context.print(`\nAsked “${result.prompt}”:\n`);
    for (const { adapter, text } of result.answers)
      await context.print(
        `  ${`${adapter === "base" ? "untrained" : adapter}:`.padEnd(15)} ${text.replaceAll("\n", " ")}\n`,
      );
    if (result.cuts.length > 0)
      await context.print(`\nCut to stay within --minutes ${options.minutes}: ${result.cuts.join("; ")}.\n`);
    if (result.reused > 0)
      await context.print(
        `\nUnchanged since an earlier run: ${result.reused} of ${result.reused + result.ran} jobs.\n`,
      );
    const seconds = (performance.now() - started) / 1000;
    await context.print(`\nReport (${seconds.toFixed(0)} s): ${resolve(result.report)}\n`);
  },
});
