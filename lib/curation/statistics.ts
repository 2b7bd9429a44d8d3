/** What there is to know of the subsets: how they overlap, and whether length tells chosen from rejected. */
import { CHOSEN, isExclusive, REJECTED } from "./labels.js";
import type { PairTable } from "./pair-table.js";
import type { Scan } from "./scan.js";
import { isFlipped, type Member, rowOf, type Subset } from "./select.js";

/** Where `other` is in the pairs of `value`: the four counts add up to the pairs. */
export interface Overlap {
  value: string;
  other: string;
  /** Pairs with `value` on exactly one side. */
  pairs: number;
  /** Of these, with `other` on that side alone: inducing the one induces the other. */
  sameSide: number;
  /** On the other side alone. */
  oppositeSide: number;
  bothSides: number;
  neitherSide: number;
}

/** The label-overlap matrix, row by row, over all kept pairs (both parts, before sampling). */
export function overlapMatrix({ table, kept }: Pick<Scan, "table" | "kept">, subsets: readonly Subset[]): Overlap[] {
  const size = subsets.length;
  const indexOf = new Map(subsets.map(({ number }, index) => [number, index]));
  /** [value][other][sides of other, mirrored where value is on the rejected side] */
  const counts = new Float64Array(size * size * 4);
  for (let row = 0; row < table.length; row++) {
    if (kept[row] === 0) continue;
    const labels = [...table.labelsOf(row)].flatMap(([value, sides]) => {
      const index = indexOf.get(value);
      return index === undefined ? [] : [{ index, sides }];
    });
    for (const value of labels) {
      if (!isExclusive(value.sides)) continue;
      for (const other of labels) {
        const same: boolean = other.sides === value.sides;
        const slot: number = isExclusive(other.sides) ? (same ? CHOSEN : REJECTED) : other.sides;
        const at = (value.index * size + other.index) * 4 + slot;
        counts[at] = counts[at]! + 1;
      }
    }
  }
  return subsets.flatMap((value, row) =>
    subsets.map((other, column): Overlap => {
      const pairs = value.chosen + value.rejected;
      const begin = (row * size + column) * 4;
      const [, sameSide, oppositeSide, bothSides] = counts.subarray(begin, begin + 4) as unknown as number[];
      const neitherSide = pairs - sameSide! - oppositeSide! - bothSides!;
      return {
        value: value.value,
        other: other.value,
        pairs,
        sameSide: sameSide!,
        oppositeSide: oppositeSide!,
        bothSides: bothSides!,
        neitherSide,
      };
    }),
  );
}

/** Words of chosen minus words of rejected, as the pairs are written. */
export interface LengthDifference {
  pairs: number;
  meanChosen: number;
  meanRejected: number;
  mean: number;
  /** Sample standard deviation (n − 1); NaN below two pairs. */
  sd: number;
  /** mean / sd: Cohen's d of paired differences (Cohen, Statistical Power Analysis, 1988, ch. 2.3.5, d_z). */
  standardised: number;
}

export function lengthDifference(table: PairTable, members: readonly Member[]): LengthDifference {
  let [chosen, rejected] = [0, 0];
  for (const member of members) {
    const row = rowOf(member);
    chosen += isFlipped(member) ? table.rejectedWords(row) : table.chosenWords(row);
    rejected += isFlipped(member) ? table.chosenWords(row) : table.rejectedWords(row);
  }
  const pairs = members.length;
  const mean = (chosen - rejected) / pairs;
  let squares = 0;
  for (const member of members) {
    const difference = table.lengthDifference(rowOf(member)) * (isFlipped(member) ? -1 : 1);
    squares += (difference - mean) ** 2;
  }
  const sd = pairs < 2 ? Number.NaN : Math.sqrt(squares / (pairs - 1));
  return { pairs, meanChosen: chosen / pairs, meanRejected: rejected / pairs, mean, sd, standardised: mean / sd };
}
