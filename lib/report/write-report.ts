/** From a folder of items to report.html and its tables. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { throwIfAborted } from "../errors.js";
import { readItems } from "../evaluation/item.js";
import { writeFileAtomic } from "../files/atomic.js";
import { collectResults, type Effect, isArm, type Results } from "./collect.js";
import { loadExamples } from "./examples.js";
import { count } from "./format.js";
import { findInputs, type Inputs, isExtracted } from "./inputs.js";
import { renderReport } from "./page.js";
import { type CellDetail, toColumns } from "./page-data.js";
import { type Answers, answersSection } from "./sections/answers.js";
import { behaviourSections } from "./sections/behaviour.js";
import { controlsSection } from "./sections/controls.js";
import { doseSection } from "./sections/dose.js";
import { extractorSection } from "./sections/extractor.js";
import { matrixSection, summarise } from "./sections/matrix.js";
import { methodSection } from "./sections/method.js";
import { overlapSection } from "./sections/overlap.js";
import type { Section, SectionContext } from "./sections/section.js";
import { seedsSection } from "./sections/seeds.js";
import { SeriesTable } from "./series.js";
import { type Table, tableCsv, tableJson } from "./table.js";

/** What the maker of the items knows and the items do not say. */
export interface About {
  title?: string;
  description?: string;
  /** One sentence each, above the findings. */
  warnings?: readonly string[];
  /** Name and value, for the section on how it was made. */
  facts?: readonly (readonly [string, string])[];
  answers?: Answers;
}

export interface WriteReportOptions {
  about?: About;
  /** Folder of the report; default the folder of the items. */
  output?: string;
  signal?: AbortSignal;
  /** Items read so far. */
  onProgress?: (items: number) => void;
}

export interface WrittenReport {
  page: string;
  bytes: number;
  tables: string[];
  items: number;
  /** One sentence a value. */
  findings: string[];
  effects: Effect[];
}

const SCRIPT = new URL("./browser/main.js", import.meta.url);

/**
 * Writes OUTPUT/report.html and OUTPUT/tables/NAME.csv and .json.
 *
 * @throws FileError, and DataFormatError naming file and line
 */
export async function writeReport(folder: string, options: WriteReportOptions = {}): Promise<WrittenReport> {
  const { output = folder, signal, about = {} } = options;
  const inputs = await findInputs(folder);
  const table = new SeriesTable();
  for await (const item of readItems(inputs.items)) {
    table.add(item);
    if (table.items % 10_000 === 0) {
      throwIfAborted(signal);
      options.onProgress?.(table.items);
    }
  }
  const results = collectResults(table);
  throwIfAborted(signal);
  const cells = results.effects.filter(({ final, onTarget }) => final || onTarget);
  const places = new Map(cells.map((effect, index) => [effect, index]));
  const context: SectionContext = { results, inputs, detailOf: (effect) => places.get(effect) ?? null };
  const sections = sectionsOf(context, about);
  const examples = await loadExamples(inputs.examples, cells);
  throwIfAborted(signal);
  const tables = sections.flatMap((section) => section.tables);
  const findings = summarise(results);
  const page = renderReport({
    title: about.title ?? inputs.study?.name ?? titleOf(results),
    description: about.description ?? inputs.study?.description ?? null,
    findings,
    warnings: [...(about.warnings ?? []), ...warningsOf(results, inputs)],
    tiles: tilesOf(results, inputs),
    sections,
    data: {
      cells: toColumns(cells.map(detailOf)),
      ...examples,
      charts: Object.assign({}, ...sections.map(({ charts }) => charts)),
    },
    script: await readFile(SCRIPT, "utf8"),
  });
  for (const each of tables) {
    await writeFileAtomic(join(output, "tables", `${each.name}.csv`), tableCsv(each));
    await writeFileAtomic(join(output, "tables", `${each.name}.json`), tableJson(each));
  }
  const path = join(output, "report.html");
  await writeFileAtomic(path, page);
  return {
    page: path,
    bytes: Buffer.byteLength(page),
    tables: tables.map(({ name }) => name),
    items: results.items,
    findings,
    effects: results.effects,
  };
}

function sectionsOf(context: SectionContext, { answers, facts = [] }: About): Section[] {
  const sections = [
    matrixSection(context),
    answers === undefined ? null : answersSection(answers),
    doseSection(context),
    ...behaviourSections(context),
    controlsSection(context),
    seedsSection(context),
    extractorSection(context),
    overlapSection(context),
  ].filter((section) => section !== null);
  return [
    ...sections,
    methodSection(
      context,
      facts,
      sections.flatMap(({ tables }): readonly Table[] => tables),
    ),
  ];
}

function detailOf(effect: Effect): CellDetail {
  const {
    place: _,
    final: _final,
    onTarget: _target,
    perRun: _runs,
    series: _series,
    base: _base,
    crossed: _crossed,
    ...detail
  } = effect;
  return detail;
}

function titleOf({ values, models }: Results): string {
  return `What moved when ${count(values.length, "value was", "values were")} induced into ${models.length === 1 ? models[0] : count(models.length, "model")}`;
}

function tilesOf(results: Results, { counts }: Inputs): [string, string][] {
  const tiles: [string, string][] = [
    [results.models.length === 1 ? "model" : "models", String(results.models.length)],
    [results.values.length === 1 ? "value induced" : "values induced", String(results.values.length)],
    [results.arms.length === 1 ? "arm" : "arms", String(results.arms.length)],
    [results.seeds < 2 ? "training run a value" : "training runs a value", String(Math.max(1, results.seeds))],
    ["measurements", results.items.toLocaleString("en-GB")],
  ];
  const pairs = counts.reduce((sum, each) => sum + each.pairs, 0);
  if (pairs > 0) tiles.push(["training pairs", pairs.toLocaleString("en-GB")]);
  return tiles;
}

function warningsOf(results: Results, inputs: Inputs): string[] {
  const warnings: string[] = [];
  if (results.seeds < 2)
    warnings.push(
      "One training run a value: intervals are over prompts, and another run may differ by more than they say.",
    );
  if (!results.arms.some((arm) => isArm(arm, "random") || isArm(arm, "flipped-random")))
    warnings.push("No random control arm: what any training on pairs moves is part of every number.");
  const areRead = results.effects.some(
    ({ suite }) => suite === "values" || (suite === "preferences" && isExtracted(inputs)),
  );
  if (inputs.precision.length === 0 && areRead)
    warnings.push("No measure of the extractor against human labels: the values are unvalidated.");
  return warnings;
}
