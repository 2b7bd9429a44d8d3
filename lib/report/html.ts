/**
 * Templates for pages that stand alone: every value put into html`…` is text unless it is itself made by html`…`, so a
 * hostile name or answer stays what it says.
 */

/** Markup that is safe to put into a page as it stands. */
export class Html {
  constructor(readonly markup: string) {}
  toString(): string {
    return this.markup;
  }
}

export type HtmlValue = string | number | Html | null | undefined | readonly HtmlValue[];

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text for an element's content or a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

function toMarkup(value: HtmlValue): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Html) return value.markup;
  if (Array.isArray(value)) return value.map(toMarkup).join("");
  return escapeHtml(String(value));
}

/** html`<p title="${hostile}">${hostile}</p>`; attributes have to be quoted, and script and style hold no values. */
export function html(parts: TemplateStringsArray, ...values: HtmlValue[]): Html {
  return new Html(
    parts.reduce((markup, part, index) => markup + part + (index < values.length ? toMarkup(values[index]) : ""), ""),
  );
}
