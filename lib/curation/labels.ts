/** On which sides of a pair each value is, and with that whether it tells chosen from rejected. */
import type { PreferencePair } from "../data/pairs.js";

export const CHOSEN = 1;
export const REJECTED = 2;
/** Bits: `CHOSEN`, `REJECTED`, or both. */
export type Sides = 1 | 2 | 3;

/** Whether a value is on exactly one side (XOR): then it is what tells chosen from rejected. */
export function isExclusive(sides: Sides | 0): sides is 1 | 2 {
  return sides === CHOSEN || sides === REJECTED;
}

/**
 * The values of a labelled pair with their sides. With a `threshold` a side's values are those whose score reaches it,
 * and those that its list names without a score; without one, or where a pair has no scores, its lists.
 */
export function sidesOf(pair: PreferencePair, threshold: number | null): Map<string, Sides> {
  const sides = new Map<string, Sides>();
  for (const [side, bit] of [
    ["chosen", CHOSEN],
    ["rejected", REJECTED],
  ] as const) {
    const listed = pair.values?.[side] ?? [];
    for (const value of threshold === null ? listed : reaching(threshold, listed, pair.scores?.[side]))
      sides.set(value, ((sides.get(value) ?? 0) | bit) as Sides);
  }
  return sides;
}

function reaching(
  threshold: number,
  listed: readonly string[],
  scores: Readonly<Record<string, number>> | undefined,
): string[] {
  if (scores === undefined) return [...listed];
  const scored = new Map(Object.entries(scores));
  return [
    ...listed.filter((value) => !scored.has(value)),
    ...[...scored].filter(([, score]) => score >= threshold).map(([value]) => value),
  ];
}
