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

export interface PageOptions {
  title: string;
  /** CSS of the project's own; no value of the data goes in. */
  style: string;
  body: Html;
}

/** A whole document that loads nothing: its policy refuses scripts and every outside resource. */
export function renderPage({ title, style, body }: PageOptions): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body>
${body}
</body>
</html>
`;
  return page.markup;
}
