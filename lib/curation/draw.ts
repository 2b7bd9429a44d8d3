/**
 * Random choices that belong to a thing, not to its place: a number for (seed, purpose, key). What is added to the data
 * leaves the numbers of all else as they were, so that samples and splits change little.
 */
import { keyOf, philox } from "../engine/random.js";
import type { Key } from "./text.js";

/** Independent numbers for different purposes. */
export const PURPOSE = { split: 1, sample: 2, match: 3 } as const;
/** Keeps these numbers apart from what training and the bootstrap draw from the same seed. */
const CURATION_DOMAIN = 0x63757261;

export interface Draw {
  seed: number;
  purpose: number;
  /** Of the value that is drawn for, so that two values' samples do not prefer the same pairs. */
  salt?: number;
}

/** A uniform number in [0, 1), of 53 bits. */
export function drawFor(key: Key, { seed, purpose, salt = 0 }: Draw): number {
  const [low, high] = philox([key[0], key[1], salt, (CURATION_DOMAIN + purpose) >>> 0], keyOf(seed));
  return (low + (high >>> 11) * 2 ** 32) / 2 ** 53;
}
