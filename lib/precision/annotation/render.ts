/** What `valora precision --import` prints: tables for the terminal, CSV of the values, JSON of everything. */
import { stringify } from "csv-stringify/sync";
import type { Estimate } from "../../metrics/classification.js";
import { textTable } from "../../report/text-table.js";
import type { PrecisionFormat } from "../render.js";
import type { AnnotationReport, PickPrecision } from "./compare.js";

export function renderAnnotation(report: AnnotationReport, key: string, format: PrecisionFormat): string {
  if (format === "json") return `${JSON.stringify({ key, ...report }, finite, 2)}\n`;
  return format === "csv" ? renderCsv(report) : renderTables(report, key);
}

/** JSON has no NaN: what has no value is null. */
function finite(_: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? null : value;
}

function renderCsv({ values, union, intersection, items }: AnnotationReport): string {
  const cells = ({ hits, random }: PickPrecision): string[] =>
    [hits.value, hits.low, hits.high, random].map((number) =>
      Number.isFinite(number) ? String(Number(number.toPrecision(6))) : "",
    );
  const head = ["union", "intersection"].flatMap((name) => [name, `${name}_low`, `${name}_high`, `${name}_random`]);
  const rows = [...values, { value: "all", items, union, intersection }].map((row) => [
    row.value,
    String(row.items),
    ...cells(row.union),
    ...cells(row.intersection),
  ]);
  return stringify([["value", "items", ...head], ...rows]);
}

const percent = (share: number): string => (Number.isFinite(share) ? (100 * share).toFixed(1) : "–");

/** "76.7 (71–82)", in per cent. */
function interval({ value, low, high }: Estimate): string {
  return Number.isFinite(value) ? `${percent(value)} (${Math.round(100 * low)}–${Math.round(100 * high)})` : "–";
}

function renderTables(report: AnnotationReport, key: string): string {
  const row = (name: string, items: number, { hits, random }: PickPrecision): string[] => [
    name,
    String(items),
    interval(hits),
    percent(random),
  ];
  const lines = [
    `${report.items} items of ${key} answered by all ${report.annotators.length}, ${report.unanswered} not`,
    "",
    ...textTable(
      ["the extractor's value is picked by", "items", "%", "random, %"],
      [
        ...report.annotators.map(({ name, precision }) => row(name, precision.hits.n, precision)),
        row("any of them (union)", report.union.hits.n, report.union),
        row("all of them (intersection)", report.intersection.hits.n, report.intersection),
      ],
    ),
    "intersection: of the items for which all picked some label in common",
    "random: as many labels drawn at random; in brackets: 95 %, Wilson",
    "",
    ...textTable(
      ["value", "items", "union, %", "random, %", "in common", "intersection, %", "random, %"],
      report.values.map(({ value, items, union, intersection }) => [
        ...row(value, items, union),
        ...row("", intersection.hits.n, intersection).slice(1),
      ]),
    ),
    "",
  ];
  if (report.agreement.length > 0)
    lines.push(
      ...textTable(
        ["agreement on yes or no to each label shown", "kappa"],
        report.agreement.map(({ between, kappa: { value, low, high } }) => [
          between,
          Number.isFinite(value) ? `${value.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})` : "–",
        ]),
      ),
      "in brackets: 95 % bootstrap over items",
    );
  return `${lines.join("\n").trimEnd()}\n`;
}
