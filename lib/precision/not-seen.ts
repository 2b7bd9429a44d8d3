/** Leaves out of labelled texts what a probe was trained on. */
import { readProbe } from "../values/probe/file.js";
import { keysOf } from "../values/probe/folds.js";
import type { LabelledText } from "./labelled.js";

/**
 * The texts that share neither cluster nor prompt nor response with those that the probe was trained on.
 *
 * @param path the probe's file
 * @throws FileError, DataFormatError for a file that is no probe
 */
export async function textsNotSeen(path: string, texts: readonly LabelledText[]): Promise<LabelledText[]> {
  const { training } = await readProbe(path);
  const seen = new Set(training.seen.split(" "));
  // A prompt that most training texts answered is not among what was seen.
  return texts.filter((text) => keysOf(text, () => false).every((key) => !seen.has(key)));
}
