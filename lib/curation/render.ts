/** What `valora curate` prints: counts beside those of the study, what was written, overlaps, and what was left out. */
import { textTable } from "../report/text-table.js";
import type { Curation } from "./curate.js";
import { PAPER_COUNTS } from "./paper-counts.js";
import type { LeftOutReason } from "./scan.js";
import { type Part, totalOf, type ValueCount } from "./select.js";
import { lengthDifference, overlapMatrix } from "./statistics.js";
import { shareOf } from "./tables.js";

/** Values named in a note; the rest are counted. */
const MAX_NAMED = 12;
/** A wider matrix does not fit a terminal; overlap.csv has all of it. */
const MAX_MATRIX = 15;

const REASONS: Record<LeftOutReason, string> = {
  unusable: "without labels, or with an id that another pair has",
  "same-responses": "chosen and rejected are the same text",
  "exact-duplicate": "same prompt and responses as an earlier pair",
  "near-duplicate": "nearly the same prompt and responses as an earlier pair",
};

export function renderCuration(curation: Curation): string {
  return [
    ...renderInput(curation),
    "",
    ...renderCounts(curation),
    "",
    ...renderWritten(curation),
    ...renderOverlaps(curation),
    ...renderTooFew(curation),
    "",
  ].join("\n");
}

const whole = (count: number): string => count.toLocaleString("en-US");
const percent = (share: number): string => (Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–");

function renderInput({ scan }: Curation): string[] {
  const lines = [`${whole(scan.read)} pairs read, ${whole(scan.kept.reduce((sum, kept) => sum + kept, 0))} kept`];
  for (const [reason, sources] of scan.leftOut) {
    const names = [...sources].map(([source, pairs]) => `${source === "" ? "no source" : source} ${whole(pairs)}`);
    const total = [...sources.values()].reduce((sum, pairs) => sum + pairs, 0);
    lines.push(`  left out: ${whole(total)} ${REASONS[reason]} (${names.join(", ")})`);
  }
  if (scan.exchanged > 0)
    lines.push(`  of the duplicates, ${whole(scan.exchanged)} have chosen and rejected the other way round`);
  return lines;
}

/** V+ + V− = total, as the study writes it. */
function sumOf(count: ValueCount): string {
  return `${whole(count.chosen)} + ${whole(count.rejected)} = ${whole(totalOf(count))}`;
}

function renderCounts({ subsets }: Curation): string[] {
  const paper = new Map(PAPER_COUNTS.map((count) => [count.value, count]));
  // Sizes of different data compare as shares of the values that both have figures for.
  const shared = subsets.filter(({ value }) => paper.has(value));
  const ours = shared.reduce((sum, count) => sum + totalOf(count), 0);
  const theirs = shared.reduce((sum, { value }) => sum + totalOf(paper.get(value)!), 0);
  const rows = subsets.map((count) => {
    const known = paper.get(count.value);
    const own = [count.value, sumOf(count), percent(count.rejected / totalOf(count))];
    if (known === undefined) return [...own, "", "", "", ""];
    return [
      ...own,
      percent(totalOf(count) / ours),
      sumOf(known),
      percent(known.rejected / totalOf(known)),
      percent(totalOf(known) / theirs),
    ];
  });
  const titles = ["value", "chosen + rejected = total", "flipped", "share*"];
  // Traits, planted attributes, values of one's own: the study has nothing to say of them.
  if (shared.length === 0)
    return textTable(
      titles.slice(0, 3),
      rows.map((row) => row.slice(0, 3)),
    );
  return [
    ...textTable([...titles, "in the study", "flipped", "share*"], rows),
    `* of the pairs of these ${shared.length} values, which the study (arXiv 2605.07925) gives figures for`,
  ];
}

function renderWritten({ scan, subsets, parts, arm }: Curation): string[] {
  const count = (part: Part, members: readonly number[]): string =>
    parts.includes(part) ? whole(members.length) : "–";
  const rows = subsets.map(({ value, members, matching }) => {
    const { mean, sd, standardised } = lengthDifference(scan.table, members.train);
    const matched = matching?.train;
    return [
      value,
      count("train", members.train),
      count("held-out", members["held-out"]),
      percent(shareOf(members.train)),
      `${mean.toFixed(1)} (${sd.toFixed(1)})`,
      standardised.toFixed(2),
      ...(matched === undefined
        ? []
        : [percent(matched.sameStratum / (members.train.length + matched.missing)), whole(matched.missing)]),
    ];
  });
  const titles = [`arm ${arm}`, "train", "held out", "flipped", "longer by, words (sd)", "d"];
  const matchTitles = arm === "random" || arm === "flipped-random" ? ["same stratum", "missing"] : [];
  return [
    ...textTable([...titles, ...matchTitles], rows),
    "longer by: chosen − rejected as written, training part; d = mean / sd",
  ];
}

function renderOverlaps({ scan, subsets }: Curation): string[] {
  if (subsets.length < 2) return [];
  if (subsets.length > MAX_MATRIX) return ["", "overlap of the values: overlap.csv"];
  const cells = overlapMatrix(scan, subsets);
  const short = (value: string): string => ([...value].length > 5 ? [...value].slice(0, 5).join("") : value);
  const rows = subsets.map(({ value }) => [
    value,
    ...cells
      .filter((cell) => cell.value === value)
      .map((cell) =>
        cell.other === value
          ? "·"
          : `${Math.round((100 * cell.sameSide) / cell.pairs)}/${Math.round((100 * cell.oppositeSide) / cell.pairs)}`,
      ),
  ]);
  return [
    "",
    ...textTable(["overlap, %", ...subsets.map(({ value }) => short(value))], rows),
    "of the row's pairs, those with the column's value on the same side alone / on the other side alone",
  ];
}

function renderTooFew({ selection }: Curation): string[] {
  const { tooFew } = selection;
  if (tooFew.length === 0) return [];
  const named = tooFew.slice(0, MAX_NAMED).map((count) => `${count.value} ${whole(totalOf(count))}`);
  const more = tooFew.length > named.length ? `, and ${tooFew.length - named.length} more in values-left-out.csv` : "";
  return ["", `left out, with fewer pairs than --min-pairs: ${named.join(", ")}${more}`];
}
