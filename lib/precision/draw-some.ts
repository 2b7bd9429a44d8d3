/** A random sample, in its old order. */
import { drawBelow } from "../engine/random.js";

/** Keeps these draws apart from others under the same seed. */
const STREAM = 0x736f6d65;

/** `count` of the items without replacement, each set of them as likely as any other; all where there are no more. */
export function drawSome<T>(items: readonly T[], count: number, seed: number): T[] {
  const order = items.map((_, index) => index);
  const taken = Math.min(count, items.length);
  for (let place = 0; place < taken; place++) {
    const other = place + drawBelow(items.length - place, seed, STREAM, place);
    [order[place], order[other]] = [order[other]!, order[place]!];
  }
  return order
    .slice(0, taken)
    .sort((a, b) => a - b)
    .map((index) => items[index]!);
}
