/** `valora curate`: labelled pairs → one subset of pairs per value. */
import type { CurateOptions } from "../curation/curate.js";
import { UsageError } from "../errors.js";
import { defineCommand, type OptionValues } from "./command.js";

const OPTIONS = {
  input: {
    type: "strings",
    placeholder: "FILE",
    required: true,
    describe: "labelled pairs (.jsonl, .gz); repeatable",
  },
  output: { type: "string", placeholder: "DIR", required: true, describe: "folder, made when complete" },
  value: { type: "strings", placeholder: "V", describe: "repeatable (all with enough pairs)" },
  "min-pairs": {
    type: "integer",
    placeholder: "N",
    default: 500,
    minimum: 1,
    describe: "values with fewer are left out",
  },
  "max-pairs": { type: "integer", placeholder: "N", minimum: 1, describe: "training pairs of a value (all)" },
  arm: {
    type: "string",
    choices: ["induce", "unflipped", "random", "flipped-random"],
    default: "induce",
    describe: "pairs",
  },
  threshold: { type: "number", placeholder: "X", describe: "score that makes a label (the labels as they are)" },
  "near-duplicates": {
    type: "string",
    placeholder: "X",
    default: "0.8",
    describe: "similarity, or off",
  },
  "held-out": {
    type: "number",
    placeholder: "X",
    default: 0,
    minimum: 0,
    maximum: 0.9,
    describe: "share of the prompts kept from training",
  },
} as const;

export const curate = defineCommand({
  name: "curate",
  summary: "labelled pairs to one subset per value",
  description:
    "Writes, for each value, the pairs in which it is on exactly one side, exchanged where that is the rejected one; " +
    "without duplicates, split by prompt into training and held-out parts. Prints and writes counts, length " +
    "differences and overlaps. Arms: unflipped is the same pairs as they were, random matches them in number, source " +
    "and lengths, flipped-random flips the same share of those.",
  options: OPTIONS,
  commonOptions: ["seed", "on-error", "config", "quiet", "json-logs", "debug"],
  examples: [
    "valora curate --input labelled.jsonl --output curated --min-pairs 200",
    "valora curate --input labelled.jsonl --output random --arm random --seed 1",
  ],
  async run(options, context) {
    const curateOptions = toCurateOptions(options);
    const [{ curate }, { renderCuration }] = await Promise.all([
      import("../curation/curate.js"),
      import("../curation/render.js"),
    ]);
    let stage = "";
    let bar = context.progress("reading", "pairs");
    try {
      const curation = await curate({
        ...curateOptions,
        ...context.itemErrors(options),
        signal: context.signal,
        onProgress: (progress) => {
          if (stage !== progress.stage) {
            bar.stop();
            stage = progress.stage;
            bar = context.progress(stage, "pairs", progress.total);
          }
          bar.update(progress.done);
        },
      });
      bar.stop();
      if (curation === null) {
        context.note(`${options.output} is up to date: its manifest says that it was made from the same`);
        return;
      }
      const { withoutScores } = curation.scan;
      if (options.threshold !== undefined && withoutScores > 0)
        context.note(`pairs without scores, which --threshold does not reach: ${withoutScores}`, { withoutScores });
      await context.print(renderCuration(curation));
    } finally {
      bar.stop();
    }
  },
});

function toCurateOptions(options: OptionValues<typeof OPTIONS> & { seed: number }): CurateOptions {
  if (options.output === "-") throw new UsageError("--output has to be a folder, not standard output");
  const near = options["near-duplicates"];
  const nearDuplicates = near === "off" ? null : Number(near);
  if (nearDuplicates !== null && !(nearDuplicates >= 0.5 && nearDuplicates <= 1))
    throw new UsageError(`--near-duplicates has to be off or a number from 0.5 to 1, not "${near}"`);
  const given = { maxPairs: options["max-pairs"], threshold: options.threshold };
  return {
    inputs: options.input,
    output: options.output,
    values: options.value,
    minPairs: options["min-pairs"],
    arm: options.arm,
    nearDuplicates,
    heldOut: options["held-out"],
    seed: options.seed,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}
