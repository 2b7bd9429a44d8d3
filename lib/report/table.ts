/** Tables of a report: one definition gives the CSV file, the JSON file and the table in the page. */
import { stringify } from "csv-stringify/sync";
import { type Html, html } from "./html.js";

export type Entry = string | number | null;

export interface Table {
  /** Of its files, without extension. */
  name: string;
  /** What it holds, one sentence. */
  about: string;
  columns: readonly string[];
  rows: readonly (readonly Entry[])[];
}

/** Numbers to six significant digits; nothing where there is none. */
export function tableCsv({ columns, rows }: Table): string {
  return stringify([columns as string[], ...rows.map((row) => row.map((entry) => plain(entry) ?? ""))]);
}

/** An array of objects, under the sentence that says what they are. */
export function tableJson({ about, columns, rows }: Table): string {
  const records = rows.map((row) => Object.fromEntries(columns.map((column, at) => [column, plain(row[at] ?? null)])));
  return `${JSON.stringify({ about, rows: records }, null, 1)}\n`;
}

function plain(entry: Entry): Entry {
  if (typeof entry !== "number") return entry;
  if (!Number.isFinite(entry)) return null;
  return Number.isInteger(entry) ? entry : Number(entry.toPrecision(6));
}

/** A table of texts as they are to be read; the first `heads` entries of a row are its headings. */
export function htmlTable(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly (string | Html)[])[],
  heads = 1,
): Html {
  const numeric = columns.map(
    (_, at) => at >= heads && rows.some((row) => typeof row[at] === "string" && /^[+−\d<]/.test(row[at] as string)),
  );
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${caption}"><table class="plain">
<caption><span>${caption}</span></caption>
<thead><tr>${columns.map((column, at) => html`<th scope="col"${numeric[at] === true ? html` class="n"` : null}>${column}</th>`)}</tr></thead>
<tbody>
${rows.map(
  (row) => html`<tr>${row.map((entry, at) =>
    at < heads
      ? html`<th scope="row">${entry}</th>`
      : html`<td${numeric[at] === true ? html` class="n"` : null}>${entry}</td>`,
  )}</tr>
`,
)}</tbody>
</table></div>`;
}

/** The same behind a line that opens it: what a chart shows, in numbers. */
export function foldedTable(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  heads = 1,
): Html {
  return html`<details class="numbers"><summary>The numbers as a table</summary>${htmlTable(caption, columns, rows, heads)}</details>`;
}
