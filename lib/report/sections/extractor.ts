/** How far the extractor that cut the subsets agrees with people. */
import { html } from "../html.js";
import { isExtracted, type PrecisionFile } from "../inputs.js";
import { htmlTable, type Table } from "../table.js";
import { conclude, type Section, type SectionContext } from "./section.js";

/** Null where no extractor told the values. */
export function extractorSection({ inputs, results }: SectionContext): Section | null {
  const { precision } = inputs;
  const validated = new Set(precision.flatMap(({ values }) => values.map(({ value }) => value)));
  const unvalidated = results.values.filter((value) => !validated.has(value));
  const warning =
    unvalidated.length === 0
      ? null
      : html`<p class="note"><strong>Unvalidated:</strong> ${unvalidated.join(", ")}. ${
          precision.length === 0
            ? "No measure of an extractor lies beside these items (valora precision --format json --output precision.json)."
            : "No text with a human label says how well these are told."
        }</p>`;
  if (precision.length === 0 && !isExtracted(inputs)) return null;
  return {
    id: "extractor",
    title: "Extractor quality",
    body: html`<p>A value’s subset is as good as what told the value. Against human labels, beside what chance reaches:</p>
${warning}
${precision.map((file) => qualityTable(file))}
${conclude(
  "A precision above the random one says that the extractor finds what people call by that name.",
  "A value whose labels come with its data, as persona statements do, needs no extractor and is “unvalidated” only in this sense. High precision on one kind of text does not carry over to another.",
)}`,
    tables: precision.length === 0 ? [] : [tableOf(precision)],
    charts: {},
  };
}

const percent = (share: number | null): string => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);

function qualityTable({ extractor, input, values }: PrecisionFile) {
  return htmlTable(
    `${extractor}${input === undefined ? "" : ` on ${input}`}`,
    [
      "value",
      "texts",
      "people say yes",
      "precision [95 %]",
      "at random",
      "recall [95 %]",
      "at random",
      "F1",
      "at random",
    ],
    values.map(({ value, texts, positives, scores, random }) => {
      const interval = (score: { value: number | null; low: number | null; high: number | null }): string =>
        score.low === null || score.high === null
          ? percent(score.value)
          : `${percent(score.value)} [${(100 * score.low).toFixed(0)}, ${(100 * score.high).toFixed(0)}]`;
      return [
        value,
        String(texts),
        String(positives),
        interval(scores.precision),
        percent(random.precision),
        interval(scores.recall),
        percent(random.recall),
        percent(scores.f1.value),
        percent(random.f1),
      ];
    }),
  );
}

function tableOf(files: readonly PrecisionFile[]): Table {
  return {
    name: "extractor",
    about: "Agreement of the extractor with human labels, and of as many yeses given at random.",
    columns: [
      ...[
        "extractor",
        "value",
        "texts",
        "positives",
        "precision",
        "precision_low",
        "precision_high",
        "random_precision",
      ],
      ...["recall", "recall_low", "recall_high", "random_recall", "f1", "random_f1"],
    ],
    rows: files.flatMap(({ extractor, values }) =>
      values.map(({ value, texts, positives, scores: { precision, recall, f1 }, random }) => [
        ...[extractor, value, texts, positives, precision.value, precision.low, precision.high, random.precision],
        ...[recall.value, recall.low, recall.high, random.recall, f1.value, random.f1],
      ]),
    ),
  };
}
