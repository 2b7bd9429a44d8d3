/** Which labels the training pairs of a value carry besides: what no measure of crosstalk can tell from crosstalk. */
import { type GridCell, renderGrid } from "../grid.js";
import { unique } from "../group.js";
import { html } from "../html.js";
import { htmlTable, type Table } from "../table.js";
import { conclude, type Section, type SectionContext } from "./section.js";

export function overlapSection({ inputs: { overlap, counts } }: SectionContext): Section | null {
  if (overlap.length === 0) return null;
  const values = unique(overlap.map(({ value }) => value));
  const others = unique([...values, ...overlap.map(({ other }) => other)]);
  const byPlace = new Map(overlap.map((cell) => [JSON.stringify([cell.value, cell.other]), cell]));
  const cells = values.map((value) =>
    others.map((other): GridCell | string => {
      const cell = byPlace.get(JSON.stringify([value, other]));
      if (value === other) return "the value itself";
      if (cell === undefined || cell.pairs === 0) return "no pairs";
      // Same side pulls along, opposite side pushes away.
      const net = (cell.sameSide - cell.oppositeSide) / cell.pairs;
      return { value: net, low: null, high: null, verdict: "different", unit: "share", own: false, detail: null };
    }),
  );
  return {
    id: "overlap",
    title: "Label overlap",
    body: html`<p>Share of a value’s training pairs in which another value is on the same side alone, less the share in which it is
on the other side alone: what training on those pairs teaches besides.</p>
${renderGrid({ caption: "Label overlap of the training pairs, in points", corner: "trained on ↓  other value →", rows: values, columns: others, cells, marks: false })}
${
  counts.length === 0
    ? null
    : htmlTable(
        "Pairs of each value",
        ["value", "in the chosen response", "in the rejected (flipped)", "total", "flipped", "trained on"],
        counts.map(({ value, chosen, rejected, total, pairs }) => [
          value,
          String(chosen),
          String(rejected),
          String(total),
          total === 0 ? "–" : `${((100 * rejected) / total).toFixed(1)} %`,
          String(pairs),
        ]),
      )
}
${conclude(
  "A cell of the crosstalk matrix whose labels overlap little moved through the model, not through shared labels.",
  "Where labels overlap much, crosstalk may be nothing but training on both. Labels that the extractor missed are missing here too.",
)}`,
    tables: [
      {
        name: "label-overlap",
        about:
          "How often another value is on the same side alone, or on the other side alone, in the pairs of a value.",
        columns: ["value", "other", "pairs", "same_side", "opposite_side"],
        rows: overlap.map((cell) => [cell.value, cell.other, cell.pairs, cell.sameSide, cell.oppositeSide]),
      } satisfies Table,
    ],
    charts: {},
  };
}
