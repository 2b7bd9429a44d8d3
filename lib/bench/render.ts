/** A benchmark's report as a table for people, as JSON, or as CSV with the machine's facts in every row. */
import { stringify } from "csv-stringify/sync";
import { textTable } from "../report/text-table.js";
import type { OperationShare } from "./operations.js";
import type { BenchReport, BenchResult } from "./result.js";

export type BenchFormat = "table" | "json" | "csv";

export function renderBench(report: BenchReport, format: BenchFormat): string {
  if (format === "json") return `${JSON.stringify(report, null, 2)}\n`;
  return format === "csv" ? renderCsv(report) : renderTable(report);
}

const RESULT_FIELDS: readonly (keyof BenchResult)[] = [
  "suite",
  "kernel",
  "model",
  "shape",
  "dtype",
  "isa",
  "compute",
  "threads",
  "seconds",
  "spread_percent",
  "samples",
  "gflops",
  "gbytes_per_second",
  "limit",
  "peak",
  "peak_percent",
  "error",
  "tolerance",
  "tokens_per_second",
  "pairs_per_second",
  "peak_memory_bytes",
];

function renderCsv({ machine, results }: BenchReport): string {
  const { date, commit, cpu, cores, build, versions } = machine;
  const facts = { date, commit, cpu, cores, build, ...versions };
  return stringify(
    results.map((result) => ({ ...result, ...facts })),
    { header: true, columns: [...RESULT_FIELDS, ...Object.keys(facts)] },
  );
}

const COLUMNS: readonly [string, (result: BenchResult) => string][] = [
  ["suite", ({ suite }) => suite],
  ["kernel", ({ kernel }) => kernel],
  ["model", ({ model }) => model],
  ["shape", ({ shape }) => shape],
  ["dtype", ({ dtype }) => dtype ?? "-"],
  ["isa", ({ isa, compute }) => (compute === "float32" ? isa : `${isa} ${compute}`)],
  ["threads", ({ threads }) => `${threads}`],
  ["median", ({ seconds }) => duration(seconds)],
  ["spread", ({ spread_percent }) => `${spread_percent.toFixed(1)} %`],
  ["rate", rate],
  ["of peak", ({ peak_percent, limit }) => `${peak_percent.toFixed(0)} % ${limit}`],
  ["error", ({ error }) => error.toExponential(1)],
];

const OPERATION_COLUMNS: readonly [string, (share: OperationShare) => string][] = [
  ["operation", ({ operation }) => operation],
  ["calls", ({ calls }) => `${calls}`],
  ["time", ({ seconds }) => duration(seconds)],
  ["of all", ({ percent }) => `${percent.toFixed(1)} %`],
  ["threads at work", ({ busy_percent }) => (busy_percent === null ? "-" : `${busy_percent.toFixed(0)} %`)],
];

function draw<Row>(columns: readonly [string, (row: Row) => string][], rows: readonly Row[]): string[] {
  return textTable(
    columns.map(([title]) => title),
    rows.map((row) => columns.map(([, cell]) => cell(row))),
  );
}

function renderTable({ machine, results }: BenchReport): string {
  const { versions, commit, cpu, cores, date, build } = machine;
  const origin = commit === null ? `valora ${versions.valora}` : `valora ${versions.valora}, commit ${commit}`;
  const notes = results.flatMap(({ kernel, tokens_per_second, pairs_per_second, peak_memory_bytes }) => {
    if (tokens_per_second === null || peak_memory_bytes === null) return [];
    const pairs = pairs_per_second === null ? "" : `${pairs_per_second.toPrecision(3)} pairs/s, `;
    const memory = `${(peak_memory_bytes / 2 ** 20).toFixed(0)} MiB resident at most`;
    return [`${kernel}: ${pairs}${tokens_per_second.toPrecision(4)} tokens/s, ${memory}`];
  });
  return [
    `${origin} (${build}, ${versions.compiler}, Node ${versions.node}) on ${cpu}, ${cores} cores, ${date}`,
    "",
    ...draw(COLUMNS, results),
    ...(notes.length > 0 ? ["", ...notes] : []),
    ...results.flatMap(({ kernel, operations }) =>
      operations === null ? [] : ["", `${kernel}, one run:`, ...draw(OPERATION_COLUMNS, operations)],
    ),
    "",
  ].join("\n");
}

/** What the limit is counted in. */
function rate({ limit, gflops, gbytes_per_second }: BenchResult): string {
  return limit === "memory" && gbytes_per_second !== null
    ? `${gbytes_per_second.toPrecision(3)} GB/s`
    : `${gflops.toPrecision(3)} GFLOP/s`;
}

function duration(seconds: number): string {
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  return seconds >= 1e-3 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${(seconds * 1e6).toPrecision(3)} µs`;
}
