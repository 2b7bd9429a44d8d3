/** `valora precision --export-csv` and `--import`: questions for annotators, blinded, and what they answered. */
import { UsageError } from "../errors.js";
import type { PrecisionFormat } from "../precision/render.js";
import type { CommonValues, OptionTable, OptionValues } from "./command.js";
import type { CommandContext } from "./context.js";
import { withResultSink } from "./output.js";

export const ANNOTATION_OPTIONS = {
  "export-csv": { type: "string", placeholder: "FILE", describe: "write a table for annotators instead" },
  import: { type: "strings", placeholder: "FILE", describe: "a table filled in, one an annotator, repeatable" },
  key: { type: "string", placeholder: "FILE", describe: "says which label is whose; written, then read" },
  "per-value": {
    type: "integer",
    placeholder: "N",
    default: 100,
    minimum: 1,
    describe: "most responses a value in the table",
  },
  choices: {
    type: "integer",
    placeholder: "N",
    default: 4,
    minimum: 2,
    maximum: 20,
    describe: "labels an item, the extractor's among them",
  },
} as const satisfies OptionTable;

type Options = OptionValues<typeof ANNOTATION_OPTIONS> &
  CommonValues & {
    input?: string | undefined;
    output?: string | undefined;
    format: PrecisionFormat;
    value: readonly string[];
    values?: string | undefined;
  };

/** @throws UsageError for options that do not go together */
export async function runExport(csv: string, options: Options, context: CommandContext): Promise<void> {
  const { input, key: keyPath, seed, choices } = options;
  if (input === undefined)
    throw new UsageError("--export-csv needs --input FILE, pairs that valora label has labelled");
  if (keyPath === undefined)
    throw new UsageError(
      "--export-csv needs --key FILE for what the annotators must not see; keep it apart from the table",
    );
  if (options.import.length > 0) throw new UsageError("--export-csv and --import are two steps; give one of them");
  const [
    { readPairs },
    { makeItems },
    { annotationCsv },
    { keyText },
    { chooseValues, loadTaxonomy },
    { createAtomicWriter },
  ] = await Promise.all([
    import("../data/pairs.js"),
    import("../precision/annotation/items.js"),
    import("../precision/annotation/csv.js"),
    import("../precision/annotation/key.js"),
    import("../values/taxonomy.js"),
    import("../files/atomic.js"),
  ]);
  const values = chooseValues(await loadTaxonomy(options.values), options.value).map(({ name }) => name);
  if (values.length < choices)
    throw new UsageError(`--choices: ${choices} labels an item need as many values, and there are ${values.length}`);
  const { items, key } = await makeItems(readPairs(input, context.itemErrors(options)), {
    values,
    perValue: options["per-value"],
    choices,
    seed,
    signal: context.signal,
  });
  // Both, or neither: a table without its key is lost work.
  const writers = [await createAtomicWriter(keyPath), await createAtomicWriter(csv)] as const;
  try {
    await writers[0].write(keyText(key));
    await writers[1].write(annotationCsv(items));
    for (const writer of writers) await writer.commit();
  } finally {
    for (const writer of writers) await writer.abort();
  }
  context.note(
    `${items.length} items in ${csv}, ${choices} labels each; annotators write the numbers of those that the response expresses into "picked", or none`,
    { items: items.length },
  );
  context.note(`keep ${keyPath} from them: it says which label the extractor gave`);
}

/** @throws UsageError for options that do not go together */
export async function runImport(options: Options, context: CommandContext): Promise<void> {
  const { import: tables, key: keyPath, seed } = options;
  if (keyPath === undefined) throw new UsageError("--import needs --key FILE, which --export-csv wrote");
  const [{ readKey }, { readPicks }, { compareAnnotators }, { renderAnnotation }] = await Promise.all([
    import("../precision/annotation/key.js"),
    import("../precision/annotation/csv.js"),
    import("../precision/annotation/compare.js"),
    import("../precision/annotation/render.js"),
  ]);
  const key = await readKey(keyPath);
  const annotators = [];
  for (const path of tables) annotators.push({ name: path, picks: await readPicks(path, key) });
  const report = compareAnnotators(key, annotators, { seed });
  if (report.items === 0)
    throw new UsageError(`--import: no item of ${keyPath} is answered in all of ${tables.join(", ")}`);
  await withResultSink(options.output, context, null, (sink) =>
    sink.write(renderAnnotation(report, keyPath, options.format)),
  );
}
