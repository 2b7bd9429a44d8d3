/** What the tests of the readers share. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DroppedComparison } from "#lib/data/formats/format.js";
import type { PreferencePair } from "#lib/data/pairs.js";
import { type PreferenceDataOptions, readPreferenceData } from "#lib/data/preference-data.js";
import type { ReadReport } from "#lib/data/read-report.js";
import { ROOT } from "../golden.js";

export const FIXTURES = join(ROOT, "test/data/fixtures");

/** The folder of real data sets; null where there is none. */
export const SHARED_DATA = (() => {
  const found = [process.env.VALORA_SHARED, join(dirname(ROOT), "shared")]
    .filter((folder) => folder !== undefined)
    .map((folder) => join(folder, "data"))
    .find((folder) => existsSync(folder));
  return found ?? null;
})();

export interface Reading {
  pairs: PreferencePair[];
  reports: ReadReport[];
  formats: string[];
  odd: DroppedComparison[];
  skipped: string[];
}

/** Reads everything. */
export async function readAll(inputs: string | string[], options: PreferenceDataOptions = {}): Promise<Reading> {
  const reading: Reading = { pairs: [], reports: [], formats: [], odd: [], skipped: [] };
  const pairs = readPreferenceData([inputs].flat(), {
    ...options,
    onFormat: (_, format) => reading.formats.push(format),
    onOdd: (dropped) => reading.odd.push(dropped),
    onReport: (report) => reading.reports.push(report),
    onSkip: (message) => reading.skipped.push(message),
  });
  for await (const pair of pairs) reading.pairs.push(pair);
  return reading;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
