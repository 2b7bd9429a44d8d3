/** `valora precision`: how far an extractor agrees with people. */
import { UsageError } from "../errors.js";
import { API_OPTIONS } from "./api-options.js";
import { defineCommand, MODEL_COMMON, OUTPUT_OPTION } from "./command.js";
import { chooseWanted, LABEL_OPTIONS, openNamedExtractor } from "./label.js";
import { withResultSink } from "./output.js";

export const precision = defineCommand({
  name: "precision",
  summary: "hold an extractor against human labels",
  description:
    "Prints for each value how many of the extractor's labels people gave too (precision), how many of theirs it found " +
    "(recall), F1, calibration, and what chance reaches; then whether the extractor picks people's value among others. " +
    "Input: a folder of ValueEval'23, or labelled texts as JSON Lines or CSV (docs/values.md).",
  options: {
    input: { type: "string", placeholder: "FILE|DIR", required: true, describe: "texts with human labels" },
    extractor: LABEL_OPTIONS.extractor,
    format: { type: "string", choices: ["table", "csv", "json"], default: "table", describe: "of the results" },
    output: OUTPUT_OPTION,
    limit: { type: "integer", placeholder: "N", minimum: 1, describe: "texts, drawn by the seed (all)" },
    value: LABEL_OPTIONS.value,
    values: LABEL_OPTIONS.values,
    threshold: LABEL_OPTIONS.threshold,
    labels: LABEL_OPTIONS.labels,
    model: LABEL_OPTIONS.model,
    ...API_OPTIONS,
  },
  commonOptions: MODEL_COMMON,
  examples: [
    "valora precision --input valueeval23 --extractor lexicon",
    "valora precision --input labelled.csv --extractor judge --model M",
  ],
  async run(options, context) {
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
    const itemErrors = context.itemErrors(options);
    const wanted = await chooseWanted(options);
    const { items, layout, notes } = await readLabelled(input, wanted, { ...itemErrors, signal });
    // What nobody labelled cannot be judged, and need not be asked.
    const labelled = wanted.filter(({ name }) => items.some(({ labels }) => labels.has(name)));
    if (labelled.length === 0)
      throw new UsageError(
        `--input: ${input} has human labels for none of ${wanted.map(({ name }) => name).join(", ")}`,
      );
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
