/** What zod found wrong with outside data, as the end of one sentence. */
import type { z } from "zod";

/** Protects the one line of a message against names that are none. */
const MAX_PATH = 100;

/** "messages.0.role: it is missing": the field at fault and what is wrong with it; the first of several. */
export function describeIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "it is not understood";
  const path = oneLine(issue.path.map(String).join("."));
  const problem = issue.message.endsWith("received undefined") ? "it is missing" : oneLine(issue.message);
  return path === "" ? problem : `${path.length > MAX_PATH ? `${path.slice(0, MAX_PATH)}…` : path}: ${problem}`;
}

/** Control characters and the other line ends of Unicode as their escapes. */
export function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
