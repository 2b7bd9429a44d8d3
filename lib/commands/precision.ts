/** `valora precision`: how far an extractor agrees with people. */
import { UsageError } from "../errors.js";
import type { LabelledText } from "../precision/labelled.js";
import { ANNOTATION_OPTIONS, runExport, runImport } from "./annotation.js";
import { API_OPTIONS } from "./api-options.js";
import { defineCommand, MODEL_COMMON, OUTPUT_OPTION } from "./command.js";
import type { CommandContext } from "./context.js";
import { chooseWanted, LABEL_OPTIONS, openNamedExtractor, requireExtractor } from "./label.js";
import { withResultSink } from "./output.js";
import { nothingLabelled } from "./train-probe.js";

export const precision = defineCommand({
  name: "precision",
  summary: "hold an extractor against human labels",
  description:
    "Prints for each value how many of the extractor's labels people gave too (precision), how many of theirs it found " +
    "(recall), F1, calibration, and what chance reaches; then whether the extractor picks people's value among others. " +
    "Input: a published set or labelled texts as JSON Lines or CSV (docs/values.md). --export-csv makes a blind table for " +
    "annotators of labelled pairs, --import compares what they filled in.",
  options: {
    input: { type: "string", placeholder: "FILE|DIR", describe: "texts with human labels" },
    extractor: LABEL_OPTIONS.extractor,
    format: { type: "string", choices: ["table", "csv", "json"], default: "table", describe: "of the results" },
    output: OUTPUT_OPTION,
    limit: { type: "integer", placeholder: "N", minimum: 1, describe: "texts, drawn by the seed (all)" },
    value: LABEL_OPTIONS.value,
    values: LABEL_OPTIONS.values,
    threshold: LABEL_OPTIONS.threshold,
    labels: LABEL_OPTIONS.labels,
    model: LABEL_OPTIONS.model,
    "judge-mode": LABEL_OPTIONS["judge-mode"],
    probe: LABEL_OPTIONS.probe,
    ...ANNOTATION_OPTIONS,
    ...API_OPTIONS,
  },
  commonOptions: MODEL_COMMON,
  examples: [
    "valora precision --input valueeval23 --extractor lexicon",
    "valora precision --input labelled.csv --extractor judge --model M",
    "valora precision --input labelled.jsonl --export-csv table.csv --key key.jsonl",
    "valora precision --import anna.csv --import ben.csv --key key.jsonl",
  ],
  async run(options, context) {
    if (options["export-csv"] !== undefined) return runExport(options["export-csv"], options, context);
    if (options.import.length > 0) return runImport(options, context);
    const [{ readLabelled }, { scoreTexts }, { measurePrecision }, { renderPrecision }, { drawSome }] =
      await Promise.all([
        import("../precision/labelled.js"),
        import("../precision/score-texts.js"),
        import("../precision/measure.js"),
        import("../precision/render.js"),
        import("../precision/draw-some.js"),
      ]);
    const { ScoreCache, settingsHash } = await import("../values/score-cache.js");
    const { signal } = context;
    const { input, seed } = options;
    if (input === undefined) throw new UsageError("--input is required, or --import; see valora precision --help");
    requireExtractor(options.extractor);
    const itemErrors = context.itemErrors(options);
    const wanted = await chooseWanted(options);
    const { items: all, layout, notes } = await readLabelled(input, wanted, { ...itemErrors, signal });
    const items = await withoutSeen(input, all, options.probe, context);
    // What nobody labelled cannot be judged, and need not be asked.
    const labelled = wanted.filter(({ name }) => items.some(({ labels }) => labels.has(name)));
    if (labelled.length === 0) throw nothingLabelled("--input", input, wanted, items);
    const texts = options.limit === undefined ? items : drawSome(items, options.limit, seed);
    const extractor = await openNamedExtractor(options, labelled, context);
    const bar = context.progress("scoring", "texts", texts.length);
    try {
      await withResultSink(options.output, context, null, async (sink) => {
        const cache = extractor.cached ? await ScoreCache.open(extractor) : null;
        try {
          const scores = await scoreTexts(texts, extractor, labelled, {
            cache,
            ...itemErrors,
            signal,
            onProgress: (done) => bar.update(done),
          });
          bar.stop();
          const names = wanted.map(({ name }) => name);
          const report = measurePrecision(extractor.name, texts, scores, names, {
            thresholdOf: (value) => options.threshold ?? extractor.thresholds?.[value] ?? extractor.threshold,
            seed,
          });
          const facts = { input, layout, notes, settings: settingsHash(extractor), seed };
          await sink.write(renderPrecision(report, facts, options.format));
        } finally {
          await cache?.close();
        }
      });
    } finally {
      bar.stop();
      await extractor.dispose();
    }
  },
});

/** A probe is measured on what it has not been trained on; so is what it is compared with, where --probe is given. */
async function withoutSeen(
  input: string,
  items: LabelledText[],
  probe: string | undefined,
  context: CommandContext,
): Promise<LabelledText[]> {
  if (probe === undefined) return items;
  const { textsNotSeen } = await import("../precision/not-seen.js");
  const left = await textsNotSeen(probe, items);
  if (left.length === 0 && items.length > 0)
    throw new UsageError(
      `--probe: ${probe} was trained on all texts of ${input} or on others of their groups; its cross-fitted figures are in it, so measure it on another set`,
    );
  if (left.length < items.length)
    context.note(`${items.length - left.length} texts are left out: ${probe} was trained on them or their groups`);
  return left;
}
