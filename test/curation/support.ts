/** Labelled pairs at random, and the curated folder they give, read back. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { PreferencePair } from "#lib/data/pairs.js";
import { philox } from "#lib/engine/random.js";

export interface LabelledPair extends PreferencePair {
  id: string;
  source: string;
  prompt: string;
  chosen: string;
  rejected: string;
  values: { chosen: string[]; rejected: string[] };
}

/** Uniform in [0, 1), from a seed. */
export function generator(seed: number): () => number {
  let index = 0;
  return () => philox([index++, 0, 0, 7], [seed, 0])[0] / 2 ** 32;
}

const WORDS = Array.from({ length: 400 }, (_, index) => `w${index.toString(36)}x`);

export function sentence(random: () => number, words: number): string {
  return Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ");
}

export interface RandomPairsOptions {
  count: number;
  seed: number;
  values: readonly string[];
  sources?: readonly string[];
  /** Distinct prompts; fewer than pairs make some prompts come back. */
  prompts?: number;
}

/** Pairs whose values are on either side with a probability of 0.3, and whose lengths vary. */
export function randomPairs({
  count,
  seed,
  values,
  sources = ["a"],
  prompts = count,
}: RandomPairsOptions): LabelledPair[] {
  const random = generator(seed);
  const prompt = Array.from({ length: prompts }, () => sentence(random, 12));
  const some = (): string[] => values.filter(() => random() < 0.3);
  return Array.from({ length: count }, (_, index) => ({
    id: `p${index}`,
    source: sources[Math.floor(random() * sources.length)]!,
    prompt: prompt[Math.floor(random() * prompts)]!,
    chosen: sentence(random, 5 + Math.floor(random() * 40)),
    rejected: sentence(random, 5 + Math.floor(random() * 25)),
    values: { chosen: some(), rejected: some() },
  }));
}

export function writePairs(path: string, pairs: readonly object[]): string {
  writeFileSync(path, pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
  return path;
}

export interface CuratedPair extends LabelledPair {
  value: string;
  flipped: boolean;
}

/** File name → its pairs. */
export function readCurated(folder: string): Map<string, CuratedPair[]> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  return new Map(
    names.map((name) => [
      name,
      readFileSync(join(folder, name), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as CuratedPair),
    ]),
  );
}

/** Rows of a CSV file without quoted cells, by its header. */
export function readCsv(path: string): Record<string, string>[] {
  const [header, ...rows] = readFileSync(path, "utf8").trimEnd().split("\n");
  const columns = header!.split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((cell, index) => [columns[index]!, cell])));
}

export const ids = (pairs: readonly { id: string }[] | undefined): string[] => (pairs ?? []).map(({ id }) => id);
