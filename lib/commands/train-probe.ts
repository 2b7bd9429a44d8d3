/** `valora label --train-probe`: from labelled texts to a probe, and how well it does on texts that it has not seen. */
import { UsageError } from "../errors.js";
import type { Manifest } from "../files/manifest.js";
import type { Value } from "../values/taxonomy.js";
import type { CommonValues, OptionTable, OptionValues } from "./command.js";
import type { CommandContext } from "./context.js";
import { openFromOptions } from "./model-options.js";
import { manifestOfOptions, withPlannedSink } from "./output.js";

/** Those of the probe extractor, and of training one. */
export const PROBE_OPTIONS = {
  probe: { type: "string", placeholder: "FILE", describe: "for --extractor probe" },
} as const satisfies OptionTable;
export const TRAIN_PROBE_OPTIONS = {
  "train-probe": { type: "string", placeholder: "F|DIR", describe: "train a probe on these labelled texts instead" },
  layer: { type: "integer", placeholder: "N", minimum: 0, describe: "that the probe reads after (2/3 of the depth)" },
  limit: { type: "integer", placeholder: "N", minimum: 1, describe: "texts to train on, drawn by the seed (all)" },
} as const satisfies OptionTable;

type Options = OptionValues<typeof TRAIN_PROBE_OPTIONS> &
  CommonValues & {
    model?: string | undefined;
    output?: string | undefined;
    value: readonly string[];
    values?: string | undefined;
  };

/** @throws UsageError for options that are missing */
export async function runTrainProbe(input: string, options: Options, context: CommandContext): Promise<void> {
  const { model: name, output, seed } = options;
  if (name === undefined) throw new UsageError("--train-probe needs --model M, whose hidden states the probe reads");
  if (output === undefined || output === "-")
    throw new UsageError("--train-probe needs --output FILE for the probe: standard output gets its figures");
  const [{ trainProbe }, { readTrainingTexts }, { probeText }, { renderPrecision }, { drawSome }] = await Promise.all([
    import("../values/probe/train-probe.js"),
    import("../values/probe/training-texts.js"),
    import("../values/probe/file.js"),
    import("../precision/render.js"),
    import("../precision/draw-some.js"),
  ]);
  const { signal } = context;
  const itemErrors = context.itemErrors(options);
  const wanted = await chooseLearnt(options);
  const { items, layout, notes } = await readTrainingTexts(input, wanted, { ...itemErrors, signal });
  const labelled = wanted.filter(({ name }) => items.some(({ labels }) => labels.has(name)));
  if (labelled.length === 0) throw nothingLabelled("--train-probe", input, wanted, items);
  const texts = options.limit === undefined ? items : drawSome(items, options.limit, seed);
  await using model = await openFromOptions({ ...options, model: name }, context);
  const reading = context.progress("reading", "texts", texts.length);
  const fitting = context.progress("fitting", "fits");
  try {
    await withPlannedSink(
      output,
      context,
      () => planManifest(input, options, model.hash()),
      async (sink) => {
        const { file, report } = await trainProbe(model, texts, labelled, {
          layer: options.layer,
          seed,
          input,
          layout,
          ...itemErrors,
          signal,
          onProgress: (what, done, total) => {
            if (what === "fitting") reading.stop();
            const bar = what === "reading" ? reading : fitting;
            bar.setTotal(total);
            bar.update(done);
          },
          onNote: (message) => context.note(message),
        });
        await sink.write(probeText(file));
        fitting.stop();
        const facts = { input, layout, notes, settings: file.model.sha256, seed };
        await context.print(renderPrecision(report, facts, "table"));
        const { groups, folds } = file.training;
        context.note(
          `cross-fitted: ${groups} groups of texts in ${folds} folds, hidden states after layer ${file.layer} of ${file.model.layers}`,
        );
      },
    );
  } finally {
    reading.stop();
    fitting.stop();
  }
}

/** Those of --value; without it every value that the texts are labelled for, of any kind. */
async function chooseLearnt({ value, values }: Options): Promise<Value[]> {
  const { chooseValues, loadTaxonomy } = await import("../values/taxonomy.js");
  const taxonomy = await loadTaxonomy(values);
  return value.length === 0 ? taxonomy.values : chooseValues(taxonomy, value);
}

/** Says which labels there are. */
export function nothingLabelled(
  option: string,
  input: string,
  wanted: readonly Value[],
  items: readonly { labels: ReadonlyMap<string, boolean> }[],
): UsageError {
  const there = [...new Set(items.flatMap(({ labels }) => [...labels.keys()]))].sort();
  const asked = wanted.map(({ name }) => name).join(", ");
  const remedy =
    there.length === 0
      ? ""
      : `, but for ${there.join(", ")}; ask for these with --value, and define what the taxonomy has not with --values FILE`;
  return new UsageError(`${option}: ${input} has human labels for none of ${asked}${remedy}`);
}

async function planManifest(input: string, options: Options, model: Promise<string>): Promise<Manifest> {
  const { sha256File, sha256IfFile } = await import("../files/hash.js");
  const sha256: Record<string, string> = { model: await model };
  const data = await sha256IfFile(input);
  if (data !== null) sha256.data = data;
  if (options.values !== undefined) sha256.values = await sha256File(options.values);
  return manifestOfOptions("label", options, sha256);
}
