/** What `valora precision` prints: tables for the terminal, CSV of the values, JSON of everything. */
import { stringify } from "csv-stringify/sync";
import type { Estimate } from "../metrics/classification.js";
import { textTable } from "../report/text-table.js";
import type { PrecisionReport, ValuePrecision } from "./measure.js";

export type PrecisionFormat = "table" | "csv" | "json";

/** Facts that a report is read with. */
export interface PrecisionContext {
  input: string;
  layout: string;
  notes: readonly string[];
  /** Hash of what the extractor's scores depend on. */
  settings: string;
  seed: number;
}

export function renderPrecision(report: PrecisionReport, context: PrecisionContext, format: PrecisionFormat): string {
  if (format === "json") return `${JSON.stringify({ ...context, ...withoutEmpty(report) }, finite, 2)}\n`;
  return format === "csv" ? renderCsv(report) : renderTables(report, context);
}

const isValidated = ({ texts }: ValuePrecision): boolean => texts > 0;

/** Nothing is known of a value without labels, and nothing is written. */
function withoutEmpty(report: PrecisionReport): object {
  return {
    ...report,
    values: report.values.filter(isValidated),
    unvalidated: report.values.filter((value) => !isValidated(value)).map(({ value }) => value),
  };
}

/** JSON has no NaN: what has no value is null. */
function finite(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? null : value;
}

const SCORES = ["precision", "recall", "f1"] as const;

function renderCsv({ values }: PrecisionReport): string {
  const columns = [
    ...["value", "status", "texts", "positives", "found"],
    ...SCORES.flatMap((name) => [name, `${name}_low`, `${name}_high`, `random_${name}`]),
    ...["always_f1", "expected_calibration_error", "brier", "brier_of_share", "auc", "auc_low", "auc_high"],
  ];
  const cell = (number: number | undefined): string =>
    number === undefined || !Number.isFinite(number) ? "" : String(Number(number.toPrecision(6)));
  const rows = values.map((row) => {
    if (!isValidated(row)) return [row.value, "unvalidated", "0", ...columns.slice(3).map(() => "")];
    const { calibration, auc } = row;
    return [
      row.value,
      "validated",
      ...[row.texts, row.positives, row.found].map(String),
      ...SCORES.flatMap((name) => {
        const { value, low, high } = row.scores[name];
        return [value, low, high, row.random[name]].map(cell);
      }),
      ...[row.alwaysF1, calibration?.expectedError, calibration?.brier, calibration?.brierOfShare].map(cell),
      ...[auc.value, auc.low, auc.high].map(cell),
    ];
  });
  return stringify([columns, ...rows]);
}

const percent = (share: number): string => (Number.isFinite(share) ? (100 * share).toFixed(1) : "–");
const share = (number: number | undefined): string =>
  number === undefined || !Number.isFinite(number) ? "–" : number.toFixed(3);

/** "41.2 (33–50)", in per cent. */
function interval({ value, low, high }: Estimate): string {
  if (!Number.isFinite(value)) return "–";
  if (!Number.isFinite(low)) return percent(value);
  return `${percent(value)} (${Math.round(100 * low)}–${Math.round(100 * high)})`;
}

function renderTables(report: PrecisionReport, { input, layout, notes, seed }: PrecisionContext): string {
  const validated = report.values.filter(isValidated);
  const unvalidated = report.values.filter((value) => !isValidated(value));
  const over = report.clusters === null ? "texts" : `${report.clusters} clusters of texts`;
  const lines = [`${report.extractor} against ${input} (${layout}): ${report.texts} texts`, ""];
  if (validated.length > 0) {
    lines.push(
      ...textTable(
        ["value", "texts", "people", "found", "precision, %", "recall, %", "F1, %", "AUC, %"],
        validated.map(({ value, texts, positives, found, scores, auc }) => [
          value,
          ...[texts, positives, found].map(String),
          ...[...SCORES.map((name) => scores[name]), auc].map(interval),
        ]),
      ),
      "people, found: texts where people and the extractor say yes",
      "AUC: chance that a text where people say yes has a higher score than one where they say no; random 50",
      `in brackets: 95 % bootstrap over ${over}, seed ${seed}`,
      "",
      ...textTable(
        ["as many at random, %", "precision", "recall", "F1", "always yes, F1", "ECE", "Brier", "of the share"],
        validated.map(({ value, random, alwaysF1, calibration }) => [
          value,
          ...[random.precision, random.recall, random.f1, alwaysF1].map(percent),
          ...[calibration?.expectedError, calibration?.brier, calibration?.brierOfShare].map(share),
        ]),
      ),
      "ECE, Brier: of the scores taken as probabilities; of the share: Brier of always giving people's share of yes",
      "",
    );
  }
  if (report.picks.length > 0) {
    lines.push(
      ...textTable(
        ["a value that people gave is picked", "targets", "hit, %", "random, %", "commonest, %"],
        report.picks.map(({ name, k, hits, random, commonest }) => [
          name === "one of four" ? "among three distractors" : `among the ${k === 1 ? "best" : `best ${k}`} of all`,
          String(hits.n),
          interval(hits),
          percent(random),
          percent(commonest),
        ]),
      ),
      "commonest: who always prefers the value that people give most often",
      "",
    );
  }
  for (const note of notes) lines.push(note);
  if (unvalidated.length > 0)
    lines.push(`unvalidated, as no text has a human label for it: ${unvalidated.map(({ value }) => value).join(", ")}`);
  return `${lines.join("\n").trimEnd()}\n`;
}
