/** Files of pairs in the study's own folder: what jobs train on and measure with, each known by its hash. */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { drawFor, PURPOSE } from "../../curation/draw.js";
import { fileOf } from "../../curation/file-names.js";
import { textKey } from "../../curation/text.js";
import { type PreferencePair, readPairs } from "../../data/pairs.js";
import { throwIfAborted } from "../../errors.js";
import { createAtomicWriter } from "../../files/atomic.js";

export const pairFileSchema = z.object({
  /** Relative to the study's folder. */
  path: z.string(),
  /** Of its bytes. */
  sha256: z.string(),
  pairs: z.int(),
});
export type PairFile = z.infer<typeof pairFileSchema>;

/** What preparing data needs to know of the study. */
export interface PrepareContext {
  /** The study's folder. */
  folder: string;
  /** Pairs of a value at most; undefined is all. */
  trainPairs: number | undefined;
  heldOutPairs: number;
  /** Of splits and samples. */
  seed: number;
  signal?: AbortSignal | undefined;
}

/** Writes `data/<part>/<value>.jsonl`. */
export async function writePairFile(
  context: PrepareContext,
  part: string,
  value: string,
  pairs: Iterable<PreferencePair> | AsyncIterable<PreferencePair>,
): Promise<PairFile> {
  const path = join("data", part, fileOf(value, "train"));
  const target = join(context.folder, path);
  await mkdir(dirname(target), { recursive: true });
  const hash = createHash("sha256");
  const writer = await createAtomicWriter(target);
  let count = 0;
  try {
    for await (const pair of pairs) {
      throwIfAborted(context.signal);
      const line = `${JSON.stringify(pair)}\n`;
      hash.update(line);
      await writer.write(line);
      count++;
    }
    await writer.commit();
  } finally {
    await writer.abort();
  }
  return { path, sha256: hash.digest("hex"), pairs: count };
}

/** A uniform number that belongs to a pair and a purpose, not to the pair's place. */
export function drawOfPair(pair: PreferencePair, seed: number, value: string, purpose = "sample"): number {
  const salt = textKey(`${purpose}\n${value}`)[0];
  return drawFor(textKey(pair.id), { seed, purpose: PURPOSE.sample, salt });
}

/**
 * The `count` pairs of the smallest draws, in the order of the files, which are read twice: a larger sample holds the
 * smaller one. All pairs where there are no more, or `count` is undefined.
 */
export async function* sampleFiles(
  paths: readonly string[],
  count: number | undefined,
  drawOf: (pair: PreferencePair) => number,
): AsyncGenerator<PreferencePair> {
  const draws: number[] = [];
  if (count !== undefined) for (const path of paths) for await (const pair of readPairs(path)) draws.push(drawOf(pair));
  const limit =
    count === undefined || draws.length <= count
      ? Number.POSITIVE_INFINITY
      : [...draws].sort((left, right) => left - right)[count - 1]!;
  let left = count ?? Number.POSITIVE_INFINITY;
  for (const path of paths) {
    for await (const pair of readPairs(path)) {
      if (left === 0) return;
      if (limit !== Number.POSITIVE_INFINITY && drawOf(pair) > limit) continue;
      left--;
      yield pair;
    }
  }
}
