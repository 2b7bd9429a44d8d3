/** Names of a curated folder's files: a value may be called anything, a file may not. */
import { UsageError } from "../errors.js";
import type { Part } from "./select.js";

/** Bytes that file systems take for a name, less what stands behind it. */
const MAX_NAME_BYTES = 200;

/** `<value>.jsonl`, what trains, and `<value>.held-out.jsonl`, what measures. */
export function fileOf(value: string, part: Part): string {
  return `${encodeName(value)}${part === "train" ? "" : `.${part}`}.jsonl`;
}

/** Letters, digits, spaces within, "_", "-" and "'" stay; all else is percent-encoded UTF-8, the dot included. */
function encodeName(value: string): string {
  const encode = (text: string): string =>
    [...Buffer.from(text)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
  return value.replace(/^\s+|\s+$|[^\p{L}\p{M}\p{N} _'-]/gu, encode);
}

/**
 * @throws UsageError for a value without a name or with one that is too long, and for two whose files some systems
 *   take for one
 */
export function checkFileNames(values: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const value of values) {
    const length = Buffer.byteLength(encodeName(value));
    if (length === 0 || length > MAX_NAME_BYTES)
      throw new UsageError(
        `the value "${value}" cannot name a file: it ${length === 0 ? "is empty" : `is longer than ${MAX_NAME_BYTES} bytes`}; choose values with --value`,
      );
    const folded = encodeName(value).normalize("NFC").toLowerCase();
    const other = seen.get(folded);
    if (other !== undefined)
      throw new UsageError(
        `the values "${other}" and "${value}" differ in case alone, and so would their files; give one of them with --value, or rename it in the labels`,
      );
    seen.set(folded, value);
  }
}
