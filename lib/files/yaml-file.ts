/** YAML of people, checked against a schema; what is wrong is said with file and line. */
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { DataFormatError } from "../errors.js";
import { describeIssue } from "./describe-issue.js";

/**
 * @param path names the file in errors
 * @throws DataFormatError naming file, line, and field where there is one
 */
export function parseYaml<T>(text: string, path: string, schema: z.ZodType<T>): T {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => `${path}, line ${lines.linePos(offset).line}`;
  const broken = document.errors[0];
  if (broken !== undefined)
    throw new DataFormatError(`${at(broken.pos[0])}: this is not valid YAML: ${broken.message}`, { cause: broken });
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // Aliases to nowhere, or so many that they are taken for an attack.
    throw new DataFormatError(`${path}: this is not valid YAML: ${(error as Error).message}`, { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  // A field that is not known is itself what is at fault, not what it stands in.
  const path_ = [...(issue?.path ?? []), ...(issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [])];
  // A field that is missing has no line; what it is missing from has.
  for (let length = path_.length; length > 0; length -= 1) {
    const place = placeOf(document, path_.slice(0, length));
    if (place !== null) throw new DataFormatError(`${at(place)}: ${describeIssue(parsed.error)}`);
  }
  throw new DataFormatError(`${at(document.contents?.range?.[0] ?? 0)}: ${describeIssue(parsed.error)}`);
}

/** Where a field's name, or an item of a list, begins; null where it is not in the text. */
function placeOf(document: Document.Parsed, path: readonly PropertyKey[]): number | null {
  const parent = document.getIn(path.slice(0, -1), true);
  const name = path.at(-1);
  const key = isMap(parent) ? parent.items.find((pair) => isScalar(pair.key) && pair.key.value === name)?.key : null;
  const node = key ?? document.getIn(path, true);
  return isNode(node) && node.range ? node.range[0] : null;
}
