/** The tables of a curated folder, as CSV. */
import { stringify } from "csv-stringify/sync";
import type { ArmSubset } from "./arms.js";
import type { Scan } from "./scan.js";
import { isFlipped, type Part, rowOf, type Selection, totalOf } from "./select.js";
import { lengthDifference, overlapMatrix } from "./statistics.js";

const csv = (columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  stringify([columns as string[], ...rows.map((row) => row.map(cell))]);

/** Six significant digits; nothing where there is no number. */
function cell(content: string | number): string {
  if (typeof content === "string") return content;
  if (!Number.isFinite(content)) return "";
  return Number.isInteger(content) ? String(content) : String(Number(content.toPrecision(6)));
}

export function shareOf(members: readonly number[]): number {
  return members.filter(isFlipped).length / members.length;
}

export interface CurationTables {
  scan: Scan;
  selection: Selection;
  subsets: readonly ArmSubset[];
  parts: readonly Part[];
}

/** File name → content. */
export function renderTables({ scan, selection, subsets, parts }: CurationTables): Map<string, string> {
  const perPart = subsets.flatMap((subset) =>
    parts.map((part) => ({ value: subset.value, part, members: subset.members[part], subset })),
  );
  const tables = new Map<string, string>();
  tables.set(
    "counts.csv",
    csv(
      ["value", "chosen", "rejected", "total", "pairs", "flipped_share"],
      subsets.map((subset) => [
        subset.value,
        subset.chosen,
        subset.rejected,
        totalOf(subset),
        subset.members.train.length,
        subset.rejected / totalOf(subset),
      ]),
    ),
  );
  tables.set(
    "parts.csv",
    csv(
      ["value", "part", "pairs", "prompts", "flipped", "flipped_share"],
      perPart.map(({ value, part, members }) => [
        value,
        part,
        members.length,
        new Set(members.map((member) => scan.promptGroups[scan.table.promptOf(rowOf(member))]!)).size,
        members.filter(isFlipped).length,
        shareOf(members),
      ]),
    ),
  );
  tables.set(
    "lengths.csv",
    csv(
      [
        "value",
        "part",
        "pairs",
        "mean_chosen_words",
        "mean_rejected_words",
        "mean_difference",
        "sd_difference",
        "standardised",
      ],
      perPart.map(({ value, part, members }) => {
        const { pairs, meanChosen, meanRejected, mean, sd, standardised } = lengthDifference(scan.table, members);
        return [value, part, pairs, meanChosen, meanRejected, mean, sd, standardised];
      }),
    ),
  );
  tables.set(
    "overlap.csv",
    csv(
      ["value", "other", "pairs", "same_side", "opposite_side", "both_sides", "neither_side"],
      overlapMatrix(scan, subsets).map((cell) => [
        cell.value,
        cell.other,
        cell.pairs,
        cell.sameSide,
        cell.oppositeSide,
        cell.bothSides,
        cell.neitherSide,
      ]),
    ),
  );
  tables.set(
    "left-out.csv",
    csv(
      ["reason", "source", "pairs"],
      [...scan.leftOut].flatMap(([reason, sources]) =>
        [...sources].map(([source, pairs]): [string, string, number] => [reason, source, pairs]),
      ),
    ),
  );
  tables.set(
    "values-left-out.csv",
    csv(
      ["value", "chosen", "rejected", "total"],
      selection.tooFew.map((count) => [count.value, count.chosen, count.rejected, totalOf(count)]),
    ),
  );
  if (subsets.some(({ matching }) => matching !== null)) {
    tables.set(
      "matching.csv",
      csv(
        ["value", "part", "pairs", "same_stratum", "same_source", "other_source", "missing"],
        perPart.map(({ value, part, subset }) => {
          const { members, sameStratum, sameSource, otherSource, missing } = subset.matching![part];
          return [value, part, members.length, sameStratum, sameSource, otherSource, missing];
        }),
      ),
    );
  }
  return tables;
}
