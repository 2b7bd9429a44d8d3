/**
 * The study's test of an extractor (arXiv 2605.07925): a response in which it found a value is shown with that value
 * among distractors, and an annotator, who does not know which is which, picks. Precision is the share of picks that
 * are the extractor's value.
 */
import { drawBelow } from "../engine/random.js";
import { type Estimate, wilson } from "./classification.js";

export interface PickItem {
  id: string;
  /** The extractor's value. */
  target: string;
  /** Target and distractors, in random order: what the annotator sees. */
  labels: string[];
}

export interface MakePickItemOptions {
  /** Default 3: the study shows four labels. */
  distractors?: number;
  seed: number;
  /** Number of the item: items of one seed draw independently. */
  index: number;
}

/** Keeps these draws apart from the sampler's epochs under the same seed. */
const STREAM = 0x7069636b;

/**
 * @param candidates values to draw distractors from; those in `exclude` (the target, others that the response has) are not
 * @throws RangeError where there are too few candidates
 */
export function makePickItem(
  { id, target, exclude = [] }: { id: string; target: string; exclude?: readonly string[] },
  candidates: readonly string[],
  { distractors = 3, seed, index }: MakePickItemOptions,
): PickItem {
  const free = [...new Set(candidates)].filter((value) => value !== target && !exclude.includes(value));
  if (free.length < distractors)
    throw new RangeError(`item ${id}: ${distractors} distractors are wanted, and there are ${free.length}`);
  let step = 0;
  const below = (bound: number): number => drawBelow(bound, seed, (STREAM ^ index) >>> 0, step++);
  const labels = [target];
  while (labels.length <= distractors) labels.push(...free.splice(below(free.length), 1));
  for (let last = labels.length - 1; last > 0; last--) {
    const other = below(last + 1);
    [labels[last], labels[other]] = [labels[other]!, labels[last]!];
  }
  return { id, target, labels };
}

/** Share of items whose target is among what was picked, with Wilson's interval. */
export function pickPrecision(items: readonly { target: string; picked: readonly string[] }[]): Estimate {
  return wilson(items.filter(({ target, picked }) => picked.includes(target)).length, items.length);
}

/**
 * The precision of picking k of `labels` labels at random: k / labels, the chance that the target is among them. (The
 * study reports 5.89 % for k = 1 and 29.30 % for k = 5, which is what 17 labels give: 5.88 % and 29.41 %; how many it
 * drew from it does not say.)
 *
 * @throws RangeError unless 0 ≤ k ≤ labels
 */
export function randomPickPrecision(k: number, labels: number): number {
  if (!(k >= 0 && k <= labels && labels > 0)) throw new RangeError(`${k} of ${labels} labels cannot be picked`);
  return k / labels;
}
