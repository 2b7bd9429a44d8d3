/**
 * The `attributes` extractor: planted attributes, which are counted and not judged. They have no moral content, so a
 * study that "induces" them shows what the instrument makes of nothing.
 */
import { UsageError } from "../errors.js";
import type { Exchange, Extractor } from "./extractor.js";
import type { Value } from "./taxonomy.js";

const BULLET = /^[ \t]*(?:[-*+•–]|\(?\d{1,3}[.)])[ \t]+\S/gm;
const LIST_LINES = 2;
const CODE = /```[\s\S]*?(?:```|$)/g;

const ATTRIBUTES: Record<string, (exchange: Exchange) => boolean> = {
  longer: ({ response, counterpart }) => countWords(response) > countWords(counterpart),
  "list-format": ({ response }) => (withoutCode(response).match(BULLET)?.length ?? 0) >= LIST_LINES,
  exclamation: ({ response }) => /[!！]/.test(withoutCode(response)),
};

/** @throws UsageError for a value that is no attribute */
export function openAttributes(values: readonly Value[]): Extractor {
  for (const { name } of values)
    if (ATTRIBUTES[name] === undefined)
      throw new UsageError(
        `--extractor attributes knows ${Object.keys(ATTRIBUTES).join(", ")}, not "${name}"; choose among them with --value`,
      );
  return {
    name: "attributes@1",
    settings: {},
    values: values.map(({ name }) => name),
    threshold: 1,
    cached: false,
    batchSize: 256,
    concurrency: 1,
    async score(batch, asked) {
      return batch.map((exchange) =>
        Object.fromEntries(asked.filter(({ name }) => ATTRIBUTES[name]?.(exchange)).map(({ name }) => [name, 1])),
      );
    },
    async dispose() {},
  };
}

/** Runs of anything but white space. */
function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

function withoutCode(text: string): string {
  return text.replace(CODE, "");
}
