/** Preference pairs from files of valora's own form. */
import { throwIfAborted } from "../engine/cancel.js";
import type { ItemErrorOptions } from "../engine/requests.js";
import { UnsupportedError } from "../errors.js";
import type { FormatName } from "./formats/options.js";
import { type PreferencePair, readPairs } from "./pairs.js";

export interface PreferenceDataOptions extends ItemErrorOptions {
  /** Default "auto". */
  format?: "auto" | FormatName | undefined;
  /** Told of every file what it was read as. */
  onFormat?: (path: string, format: FormatName) => void;
  signal?: AbortSignal | undefined;
}

/**
 * The pairs of all inputs, in order.
 *
 * @throws FileError, DataFormatError, CancelledError
 * @throws UnsupportedError for a layout that is not read
 */
export async function* readPreferenceData(
  inputs: readonly string[],
  options: PreferenceDataOptions = {},
): AsyncGenerator<PreferencePair> {
  const { format = "auto", onFormat, signal } = options;
  if (format !== "auto" && format !== "pairs")
    throw new UnsupportedError(`--format ${format} is not part of this version of valora; convert the data to pairs`);
  for (const path of inputs) {
    onFormat?.(path, "pairs");
    for await (const pair of readPairs(path, options)) {
      throwIfAborted(signal);
      yield pair;
    }
  }
}
