/**
 * Reference log-probabilities of preference pairs: computed once, in batches, and kept on disk under the
 * hash of everything they depend on - model, adapter, tokens, backend - so that a second run, or another
 * loss on the same pairs, starts at once.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../files/atomic.js";
import { sha256Json } from "../files/hash.js";
import { cacheFolder } from "../models/registry.js";
import { AIMED_ROWS, rowBudget } from "./forest.js";
import type { Model } from "./model.js";
import { pairTrees } from "./pair-batch.js";
import { scoreTrees } from "./score-trees.js";
import { hashPairs, type TokenizedPair } from "./tokenize-pairs.js";

/** Log-probabilities of chosen and rejected, pair by pair: [P * 2]. */
export interface ReferenceLogprobs {
  values: Float64Array;
  source: "computed" | "cached";
}

export interface ReferenceOptions {
  /** Handle of the reference adapter; 0 = base. */
  adapter: number;
  /** Its hash, or "base". */
  adapterHash: string;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

/** Changes where the same inputs would give other numbers: a change of the summation rule, say. */
const NUMERICS = 1;

interface CacheFile {
  key: string;
  pairs: number;
  logprobs: number[];
}

/** Where reference log-probabilities are kept: `references` in the cache folder. */
export function referenceCachePath(key: string): string {
  return join(cacheFolder(), "references", `${key}.json`);
}

export async function referenceLogprobs(
  model: Model,
  pairs: readonly TokenizedPair[],
  options: ReferenceOptions,
): Promise<ReferenceLogprobs> {
  const parts = [
    NUMERICS,
    model.device.kind,
    model.device.compute,
    await model.hash(),
    options.adapterHash,
    hashPairs(pairs),
  ];
  const key = sha256Json(parts);
  const cached = await readCached(referenceCachePath(key), key, pairs.length);
  if (cached !== null) return { values: cached, source: "cached" };
  const values = await pairLogprobs(model, pairs, options.adapter, options);
  // A reference that is not finite is found out by the first loss; it is not worth keeping.
  if (values.every(Number.isFinite)) {
    const file: CacheFile = { key, pairs: pairs.length, logprobs: Array.from(values) };
    await mkdir(join(cacheFolder(), "references"), { recursive: true });
    await writeFileAtomic(referenceCachePath(key), JSON.stringify(file));
  }
  return { values, source: "computed" };
}

/** The cached values; null where there are none, or the file is not what its name says. */
async function readCached(path: string, key: string, pairs: number): Promise<Float64Array | null> {
  try {
    const file = JSON.parse(await readFile(path, "utf8")) as Partial<CacheFile>;
    const { logprobs } = file;
    if (file.key !== key || file.pairs !== pairs || !Array.isArray(logprobs) || logprobs.length !== 2 * pairs)
      return null;
    return logprobs.every(Number.isFinite) ? Float64Array.from(logprobs) : null;
  } catch {
    return null; // missing or damaged: computed again and replaced
  }
}

/** Sums of the tokens' log-probabilities, in token order as the trainer sums them: [P * 2]. */
export async function pairLogprobs(
  model: Model,
  pairs: readonly TokenizedPair[],
  adapter: number,
  options: Pick<ReferenceOptions, "signal" | "onProgress">,
): Promise<Float64Array> {
  const scores = await scoreTrees(
    model,
    pairs.flatMap((pair) => pairTrees(pair, adapter, true)),
    {
      budget: rowBudget(model.planner, "score", AIMED_ROWS),
      signal: options.signal,
      nameOf: (index) => `pair "${pairs[index]!.id}"`,
      remedy: "raise --memory, or lower --max-length",
      onBatch: (done) => options.onProgress?.({ done, total: pairs.length }),
    },
  );
  const sums = new Float64Array(2 * pairs.length);
  let target = 0;
  pairs.forEach(({ chosen, rejected }, index) => {
    for (const end = target + chosen.length; target < end; target++) sums[2 * index]! += scores.logprobs[target]!;
    for (const end = target + rejected.length; target < end; target++) sums[2 * index + 1]! += scores.logprobs[target]!;
  });
  return sums;
}
