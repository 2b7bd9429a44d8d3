/** `valora label`: which values each response of preference pairs expresses, by any extractor. */
import type { PreferencePair } from "../data/pairs.js";
import { UsageError } from "../errors.js";
import type { Manifest } from "../files/manifest.js";
import type { Extractor } from "../values/extractor.js";
import { EXTRACTOR_NAMES, type ExtractorName, JUDGE_MODES } from "../values/extractors.js";
import type { LabelledPair } from "../values/label-pairs.js";
import type { Value } from "../values/taxonomy.js";
import { API_OPTIONS, apiOptions, noteEstimate } from "./api-options.js";
import { type CommonValues, defineCommand, MODEL_COMMON, type OptionValues, OUTPUT_OPTION } from "./command.js";
import type { CommandContext } from "./context.js";
import { openFromOptions } from "./model-options.js";
import { manifestOfOptions, withPlannedSink } from "./output.js";
import { PREFERENCE_OPTIONS, preferenceOptions } from "./preference-options.js";
import { PROBE_OPTIONS, runTrainProbe, TRAIN_PROBE_OPTIONS } from "./train-probe.js";

/** Those of the extractor are those of `valora precision` too. */
export const LABEL_OPTIONS = {
  input: {
    type: "strings",
    placeholder: "FILE",
    describe: "preference data, repeatable; - is standard input",
  },
  ...PREFERENCE_OPTIONS,
  extractor: { type: "string", choices: EXTRACTOR_NAMES, describe: "reader" },
  output: OUTPUT_OPTION,
  value: { type: "strings", placeholder: "V", describe: "look for this value, repeatable (all)" },
  values: { type: "string", placeholder: "FILE", describe: "YAML of more values; a known name is replaced" },
  threshold: {
    type: "number",
    placeholder: "X",
    minimum: 0,
    maximum: 1,
    describe: "lowest score that counts (extractor's own)",
  },
  labels: { type: "string", placeholder: "FILE", describe: "labels for --extractor file, JSON Lines or CSV" },
  model: { type: "string", placeholder: "M", describe: "for --extractor probe and judge" },
  "judge-mode": {
    type: "string",
    choices: JUDGE_MODES,
    default: "yes-no",
    describe: "asks for each value, or for a list",
  },
  ...PROBE_OPTIONS,
  ...API_OPTIONS,
} as const;
type Options = OptionValues<typeof LABEL_OPTIONS> & CommonValues;

export const label = defineCommand({
  name: "label",
  summary: "say which values the responses of preference pairs express",
  description:
    'Adds "values", "scores" and "extractor" to each pair: the values that its chosen and its rejected response ' +
    "express. Answers of slow extractors are kept: a run that was ended goes on where it was and asks nothing twice.",
  options: { ...LABEL_OPTIONS, ...TRAIN_PROBE_OPTIONS },
  commonOptions: MODEL_COMMON,
  examples: [
    "valora label --input pairs.jsonl --extractor lexicon --output labelled.jsonl",
    "valora label --train-probe valueeval23 --model M --output values.probe.json",
  ],
  async run(options, context) {
    const { "train-probe": labelled, input, layer, limit } = options;
    if (labelled !== undefined) {
      if (input.length > 0) throw new UsageError("--train-probe reads its own texts; leave out --input");
      return runTrainProbe(labelled, options, context);
    }
    if (layer !== undefined || limit !== undefined)
      throw new UsageError(`--${layer === undefined ? "limit" : "layer"} is for --train-probe; leave it out`);
    if (input.length === 0) throw new UsageError("--input is required, or --train-probe; see valora label --help");
    const [{ labelPairs }, { ScoreCache }, { readPreferenceData }, { describeReadReport }] = await Promise.all([
      import("../values/label-pairs.js"),
      import("../values/score-cache.js"),
      import("../data/preference-data.js"),
      import("../data/read-report.js"),
    ]);
    const { signal } = context;
    const reading = preferenceOptions(options);
    requireExtractor(options.extractor);
    const values = await chooseWanted(options);
    const extractor = await openNamedExtractor(options, values, context);
    const bar = context.progress("labelling", "pairs");
    try {
      await withPlannedSink(
        options.output,
        context,
        () => planManifest(options, extractor),
        async (sink) => {
          const tally = new Tally(values);
          const pairs = readPreferenceData(options.input, {
            ...reading,
            onFormat: (path, format) => {
              if (reading.format === "auto") context.note(`${path}: read as ${format}`, { path, format });
            },
            onReport: (report) => context.note(describeReadReport(report), { report }),
            signal,
            ...context.itemErrors(options),
          });
          const cache = extractor.cached ? await ScoreCache.open(extractor) : null;
          try {
            const again = () => readPreferenceData(options.input, { ...reading, onError: options["on-error"], signal });
            await noteEstimate(options, context, { extractor, values, cache, pairs: again });
            const labelled = labelPairs(pairs, extractor, {
              values,
              threshold: options.threshold,
              cache,
              signal,
              ...context.itemErrors(options),
              onProgress: ({ pairs, asked, known }) => {
                bar.update(pairs, known === 0 ? "" : `${asked} asked, ${known} known`);
              },
            });
            for await (const pair of labelled) {
              tally.add(pair);
              await sink.write(`${JSON.stringify(pair satisfies PreferencePair)}\n`);
            }
          } finally {
            await cache?.close();
          }
          bar.stop();
          tally.show(extractor, context);
        },
      );
    } finally {
      bar.stop();
      await extractor.dispose();
    }
  },
});

/**
 * Those of --value; without it, the kind that the extractor is for, or those that the probe knows. A labels file may hold
 * values of any kind.
 */
export async function chooseWanted(
  options: Pick<Options, "extractor" | "value" | "values" | "probe">,
): Promise<Value[]> {
  const { chooseValues, loadTaxonomy } = await import("../values/taxonomy.js");
  const taxonomy = await loadTaxonomy(options.values);
  if (options.value.length === 0 && options.extractor === "file") return taxonomy.values;
  if (options.value.length === 0 && options.extractor === "probe" && options.probe !== undefined) {
    const { readProbe } = await import("../values/probe/file.js");
    const names = (await readProbe(options.probe)).values.map(({ name }) => name);
    return chooseValues(taxonomy, names);
  }
  return chooseValues(taxonomy, options.value, options.extractor === "attributes" ? "attribute" : "value");
}

/** @throws UsageError where none is named */
export function requireExtractor(extractor: ExtractorName | undefined): ExtractorName {
  if (extractor === undefined) throw new UsageError(`--extractor is required: one of ${EXTRACTOR_NAMES.join(", ")}`);
  return extractor;
}

/** The extractor of --extractor for `values`, with what the other options say of it. */
export async function openNamedExtractor(
  options: Pick<Options, "extractor" | "model" | "labels" | "judge-mode" | "probe" | keyof typeof API_OPTIONS> &
    CommonValues,
  values: readonly Value[],
  context: CommandContext,
): Promise<Extractor> {
  const { openExtractor } = await import("../values/extractors.js");
  const { model, labels, probe } = options;
  const extractor = requireExtractor(options.extractor);
  return openExtractor(extractor, {
    values,
    openModel: async () => {
      if (model === undefined) throw new UsageError(`--extractor ${extractor} needs --model M`);
      return openFromOptions({ ...options, model }, context);
    },
    labels,
    probe,
    judgeMode: options["judge-mode"],
    ...apiOptions(options),
    signal: context.signal,
    onNote: (message) => context.note(message),
  });
}

/** Of everything that decides the result: options, files by content, the extractor by its settings. */
async function planManifest(options: Options, extractor: Extractor): Promise<Manifest> {
  const [{ sha256File, sha256IfFile }, { settingsHash }] = await Promise.all([
    import("../files/hash.js"),
    import("../values/score-cache.js"),
  ]);
  const sha256: Record<string, string> = { extractor: settingsHash(extractor) };
  for (const [index, path] of options.input.entries()) {
    const hash = await sha256IfFile(path);
    if (hash !== null) sha256[`input ${index + 1}`] = hash;
  }
  // Pipes, folders and data sets of the hub have no hash: what was made from them is made again.
  if (options.input.every((_, index) => sha256[`input ${index + 1}`] !== undefined)) {
    const { createHash } = await import("node:crypto");
    const all = options.input.map((_, index) => sha256[`input ${index + 1}`]).join(" ");
    sha256.data = options.input.length === 1 ? all : createHash("sha256").update(all).digest("hex");
  }
  if (options.values !== undefined) sha256.values = await sha256File(options.values);
  if (options.probe !== undefined) sha256.probe = await sha256File(options.probe);
  return manifestOfOptions("label", options, sha256, { extractor: extractor.name });
}

/** How many responses express each value: what a user looks at first. */
class Tally {
  private pairs = 0;
  private readonly counts: Map<string, { chosen: number; rejected: number; exclusive: number }>;

  constructor(values: readonly Value[]) {
    this.counts = new Map(values.map(({ name }) => [name, { chosen: 0, rejected: 0, exclusive: 0 }]));
  }

  add({ values: { chosen, rejected } }: LabelledPair): void {
    this.pairs += 1;
    for (const [name, count] of this.counts) {
      const inChosen = chosen.includes(name);
      const inRejected = rejected.includes(name);
      if (inChosen) count.chosen += 1;
      if (inRejected) count.rejected += 1;
      if (inChosen !== inRejected) count.exclusive += 1;
    }
  }

  show(extractor: Extractor, context: CommandContext): void {
    const found = [...this.counts].filter(([, { chosen, rejected }]) => chosen + rejected > 0);
    context.note(`${this.pairs} pairs labelled by ${extractor.name}; responses that express a value:`, {
      pairs: this.pairs,
      extractor: extractor.name,
      counts: Object.fromEntries(this.counts),
    });
    if (context.jsonLogs) return;
    const width = Math.max(5, ...found.map(([name]) => name.length));
    const row = (name: string, cells: (string | number)[]): void =>
      context.note(`  ${name.padEnd(width)}${cells.map((cell) => String(cell).padStart(10)).join("")}`);
    row("value", ["chosen", "rejected", "only one"]);
    for (const [name, { chosen, rejected, exclusive }] of found) row(name, [chosen, rejected, exclusive]);
    if (found.length < this.counts.size) context.note(`  in no response: ${this.counts.size - found.length} values`);
  }
}
