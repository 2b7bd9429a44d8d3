/** YAML of people, checked against a schema; what is wrong is said with file and line. */
import { isNode, LineCounter, parseDocument } from "yaml";
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
  const path_ = parsed.error.issues[0]?.path ?? [];
  // A field that is missing has no line; what it is missing from has.
  for (let length = path_.length; length > 0; length -= 1) {
    const node = document.getIn(path_.slice(0, length), true);
    if (isNode(node) && node.range) throw new DataFormatError(`${at(node.range[0])}: ${describeIssue(parsed.error)}`);
  }
  throw new DataFormatError(`${at(document.contents?.range?.[0] ?? 0)}: ${describeIssue(parsed.error)}`);
}
