/** The sample of persona statements that comes with valora (data/persona), as preference pairs. */
import { fileURLToPath } from "node:url";
import { type PreferencePair, readPairs } from "../data/pairs.js";

/** Traits that get an adapter, in the order of the report. */
export const INDUCED_TRAITS = ["agreeableness", "narcissism", "neuroticism"] as const;
/** Traits with held-out pairs; the induced ones first. */
export const MEASURED_TRAITS = [...INDUCED_TRAITS, "conscientiousness", "politically-conservative"] as const;

export type InducedTrait = (typeof INDUCED_TRAITS)[number];
export type MeasuredTrait = (typeof MEASURED_TRAITS)[number];

/** A file of the sample: `<trait>.train.jsonl` or `<trait>.held-out.jsonl`. */
export function sampleFile(trait: string, part: "train" | "held-out"): string {
  return fileURLToPath(new URL(`../../data/persona/${trait}.${part}.jsonl`, import.meta.url));
}

/** The first `count` pairs of a file of the sample. */
export async function readSample(trait: string, part: "train" | "held-out", count: number): Promise<PreferencePair[]> {
  const pairs: PreferencePair[] = [];
  for await (const pair of readPairs(sampleFile(trait, part))) {
    if (pairs.length === count) break;
    pairs.push(pair);
  }
  return pairs;
}
