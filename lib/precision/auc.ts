/** How well scores rank: the area under the ROC curve, with intervals over clusters. */
import { philox } from "../engine/random.js";
import { sortedQuantile } from "../metrics/bootstrap.js";
import type { BootstrapScoresOptions, Estimate } from "../metrics/classification.js";

export interface Ranked {
  truth: boolean;
  score: number;
  /** Items of one cluster are drawn together; each item its own where it is left out. */
  cluster?: string | undefined;
}

/** Keeps these draws apart from others under the same seed. */
const DOMAIN = 0x61756331;

/**
 * The chance that a true item has a higher score than a false one, ties counted half: Mann and Whitney's U over the
 * number of such couples (Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic
 * (ROC) curve", Radiology 143, 1982). The interval is a percentile bootstrap over clusters, unknown (NaN) where the area
 * is 0 or 1, as every resample repeats that. NaN where all items are true, or none is.
 */
export function bootstrapAuc(items: readonly Ranked[], options: BootstrapScoresOptions = {}): Estimate {
  const { resamples = 2000, confidence = 0.95, seed = 0 } = options;
  const numbers = new Map<string | number, number>();
  const ranked = items
    .map(({ truth, score, cluster }, index) => {
      const name = cluster ?? index;
      if (!numbers.has(name)) numbers.set(name, numbers.size);
      return { truth, score, cluster: numbers.get(name)! };
    })
    .sort((a, b) => a.score - b.score);
  const clusters = numbers.size;
  const value = areaOf(ranked, new Uint32Array(clusters).fill(1));
  const drawn: number[] = [];
  const known = value > 0 && value < 1;
  for (let resample = 0; known && resample < resamples; resample++) {
    const area = areaOf(ranked, drawClusters(clusters, resample, seed));
    if (Number.isFinite(area)) drawn.push(area);
  }
  drawn.sort((a, b) => a - b);
  const end = (q: number): number => (drawn.length === 0 ? Number.NaN : sortedQuantile(drawn, q));
  return { value, low: end((1 - confidence) / 2), high: end((1 + confidence) / 2), n: items.length };
}

interface Item {
  truth: boolean;
  score: number;
  cluster: number;
}

/** @param ranked by ascending score */
function areaOf(ranked: readonly Item[], weights: Uint32Array): number {
  let [below, wins, positives] = [0, 0, 0];
  for (let first = 0; first < ranked.length; ) {
    let [yes, no] = [0, 0];
    let next = first;
    for (; next < ranked.length && ranked[next]!.score === ranked[first]!.score; next++) {
      const { truth, cluster } = ranked[next]!;
      if (truth) yes += weights[cluster]!;
      else no += weights[cluster]!;
    }
    wins += yes * (below + no / 2);
    below += no;
    positives += yes;
    first = next;
  }
  return wins / (positives * below);
}

/** How often each cluster is in a resample of as many. */
function drawClusters(clusters: number, resample: number, seed: number): Uint32Array {
  const weights = new Uint32Array(clusters);
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0] as const;
  for (let done = 0; done < clusters; done += 4) {
    const block = philox([done, resample, 0, DOMAIN], key);
    for (let lane = 0; lane < 4 && done + lane < clusters; lane++)
      weights[Math.floor((block[lane]! / 2 ** 32) * clusters)]!++;
  }
  return weights;
}
