/** What a library says of a damaged file, fit for a one-line message. */

/**
 * @param otherwise what is said where the library stumbled ("Cannot read properties of undefined") instead of complaining
 */
export function describeLibraryError(error: unknown, otherwise: string): string {
  const text = error instanceof Error ? error.message : String(error);
  const stumbled = error instanceof TypeError || error instanceof RangeError || /undefined|\[object/.test(text);
  return stumbled ? otherwise : (text.split("\n")[0] as string).slice(0, 200).replace(/[.!]+$/, "");
}

/** A value from a file as JSON, shortened. */
export function showValue(value: unknown): string {
  if (value === undefined) return "missing";
  const text =
    typeof value === "object" && value !== null
      ? Array.isArray(value)
        ? "a list"
        : "an object"
      : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
