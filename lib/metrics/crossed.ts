/**
 * Means over runs crossed with prompts: every run (a training seed) answers every item, items lie in clusters (prompts).
 *
 * Both are samples: another seed would give another adapter, another prompt another margin. With y_sk = μ + a_s + b_k +
 * e_sk the variance of the mean over S runs and K prompts is σ_a²/S + σ_b²/K + σ_e²/(S K), and an interval over prompts
 * alone knows nothing of the first term. A pigeonhole bootstrap (runs and clusters drawn independently of each other;
 * Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007; Owen and Eckles, "Bootstrapping data arrays of
 * arbitrary order", ibid. 6, 2012) estimates that sum with two known errors: it counts σ_e² three times, and takes S − 1
 * of S parts of σ_a², a third too little with 3 runs. Its percentiles under-cover for a third reason: 3 runs say little
 * about their own variance. So its variance is taken apart, each part corrected,
 *
 *     V = V_runs + V_clusters − V_interaction
 *
 * and a t interval is put on √V. For a mean all three parts have a closed form, which is the limit of endless resampling,
 * so nothing is drawn here (crossed-bootstrap.ts draws, for what is not a mean). On balanced data V is the analysis of
 * variance's (MS_runs + MS_prompts − MS_rest) / (S K), as in the quasi-F of Clark ("The language-as-fixed-effect fallacy",
 * Journal of Verbal Learning and Verbal Behavior 12, 1973); with clusters it is the two-way robust variance of Cameron,
 * Gelbach and Miller (Journal of Business and Economic Statistics 29, 2011).
 */
import { studentQuantile, studentTwoSided } from "./distributions.js";

/** Items of several runs, summed by cluster. Every run has the same items. */
export interface CrossedArray {
  /** Names the set of runs: estimates with the same name here share their runs, in the same order. */
  group: string;
  runs: number;
  /** Cluster ids, each once. Estimates that share an id share that prompt. */
  clusters: readonly string[];
  /** Items in each cluster. */
  counts: ArrayLike<number>;
  /** Sum of y over the items of a cluster: [runs, clusters], a run's clusters together. */
  sums: ArrayLike<number>;
}

/** What the runs of one group add to an estimate: deviations from it, [runs] and [runs, clusters]. */
interface GroupInfluence {
  id: string;
  runs: number;
  /** Of each run: its own mean minus the mean over runs. */
  byRun: Float64Array;
  /** What is left of each run and cluster once run and cluster are taken out. */
  rest: Float64Array;
}

/** A mean, or a weighted sum of means, with what each run and each cluster adds to it. */
export interface CrossedEstimate {
  estimate: number;
  items: number;
  clusters: readonly string[];
  /** Of each cluster: what it adds to the deviation, times √(C/(C − 1)). So is `rest` of the groups. */
  byCluster: Float64Array;
  groups: GroupInfluence[];
}

/**
 * The mean over runs and items: Σ_s Σ_c sum_sc / (S Σ_c count_c). Clusters of unequal size make it a ratio, whose parts
 * are taken to first order.
 *
 * @throws RangeError without runs or items, or for a sum that is not finite
 */
export function crossedMean({ group, runs, clusters, counts, sums }: CrossedArray): CrossedEstimate {
  const C = clusters.length;
  let items = 0;
  for (let c = 0; c < C; c++) items += counts[c]!;
  if (!(runs >= 1 && items >= 1)) throw new RangeError(`${group}: ${runs} runs of ${items} items have no mean`);
  if (sums.length !== runs * C || counts.length !== C)
    throw new RangeError(`${group}: ${sums.length} sums are not ${runs} runs of ${C} clusters`);
  const means = new Float64Array(runs);
  for (let s = 0; s < runs; s++) {
    for (let c = 0; c < C; c++) means[s]! += sums[s * C + c]!;
    means[s]! /= items;
  }
  const estimate = average(means);
  if (!Number.isFinite(estimate)) throw new RangeError(`${group}: a mean needs finite values`);

  const byRun = means.map((mean) => mean - estimate);
  const byCluster = new Float64Array(C);
  const rest = new Float64Array(runs * C);
  // Deviations from a mean of C clusters are too small by this; kept with them, variances of sums need no factor.
  const inflation = C > 1 ? Math.sqrt(C / (C - 1)) : 1;
  for (let s = 0; s < runs; s++)
    for (let c = 0; c < C; c++) {
      const influence = (inflation * (sums[s * C + c]! - counts[c]! * estimate)) / items;
      byCluster[c]! += influence / runs;
      rest[s * C + c] = influence - inflation * byRun[s]! * (counts[c]! / items);
    }
  for (let s = 0; s < runs; s++) for (let c = 0; c < C; c++) rest[s * C + c]! -= byCluster[c]!;
  return { estimate, items, clusters, byCluster, groups: [{ id: group, runs, byRun, rest }] };
}

/**
 * Σ weight · estimate, for example a difference of arms or a slope over doses. Clusters with the same id and groups with
 * the same name are the same prompts and runs, so what they share cancels or adds up as it must.
 *
 * @throws RangeError where groups of one name have different numbers of runs
 */
export function combine(terms: readonly { weight: number; of: CrossedEstimate }[]): CrossedEstimate {
  const index = new Map<string, number>();
  for (const { of } of terms) for (const id of of.clusters) if (!index.has(id)) index.set(id, index.size);
  const C = index.size;
  const byCluster = new Float64Array(C);
  const groups = new Map<string, GroupInfluence>();
  let estimate = 0;
  let items = 0;
  for (const { weight, of } of terms) {
    estimate += weight * of.estimate;
    items = Math.max(items, of.items);
    const at = of.clusters.map((id) => index.get(id)!);
    for (const [c, target] of at.entries()) byCluster[target]! += weight * of.byCluster[c]!;
    for (const { id, runs, byRun, rest } of of.groups) {
      let group = groups.get(id);
      if (group === undefined) {
        group = { id, runs, byRun: new Float64Array(runs), rest: new Float64Array(runs * C) };
        groups.set(id, group);
      }
      if (group.runs !== runs) throw new RangeError(`${id}: ${runs} runs in one mean, ${group.runs} in another`);
      for (let s = 0; s < runs; s++) {
        group.byRun[s]! += weight * byRun[s]!;
        for (const [c, target] of at.entries()) group.rest[s * C + target]! += weight * rest[s * at.length + c]!;
      }
    }
  }
  return { estimate, items, clusters: [...index.keys()], byCluster, groups: [...groups.values()] };
}

/** `a` − `b`. */
export function crossedDifference(a: CrossedEstimate, b: CrossedEstimate): CrossedEstimate {
  return combine([
    { weight: 1, of: a },
    { weight: -1, of: b },
  ]);
}

/** One estimated variance and the degrees of freedom behind it. */
export interface VariancePart {
  variance: number;
  df: number;
}

/** The parts of an estimate's variance. `runs` and `interactions` have one part for each group of two runs or more. */
export interface CrossedVariance {
  /** V_runs, by group; holds σ_a²/S + σ_e²/(S K). */
  runs: (VariancePart & { group: string; size: number })[];
  /** V_clusters; holds σ_b²/K + σ_e²/(S K). Absent with a single cluster. */
  clusters?: VariancePart;
  /** σ_e²/(S K), which both of the others hold. */
  interactions: VariancePart[];
  /** A group has one run only: nothing is known of how runs differ, and the estimate speaks of that run. */
  singleRun: boolean;
}

/**
 * Unbiased on balanced data:
 *
 *     V_runs        = Σ_s r_s² / (S (S − 1))                        r_s = mean of run s − mean
 *     V_clusters    = C/(C − 1) Σ_c q_c²                            q_c = what cluster c adds to the mean
 *     V_interaction = C/(C − 1) Σ_sc e_sc² / (S (S − 1))            e_sc = what is left
 */
export function crossedVariance({ clusters, byCluster, groups }: CrossedEstimate): CrossedVariance {
  const C = clusters.length;
  const result: CrossedVariance = { runs: [], interactions: [], singleRun: groups.some(({ runs }) => runs < 2) };
  if (C > 1) result.clusters = { variance: squares(byCluster), df: C - 1 };
  for (const { id, runs: S, byRun, rest } of groups) {
    if (S < 2) continue;
    result.runs.push({ group: id, size: S, variance: squares(byRun) / (S * (S - 1)), df: S - 1 });
    if (C > 1) result.interactions.push({ variance: squares(rest) / (S * (S - 1)), df: (S - 1) * (C - 1) });
  }
  return result;
}

/** An estimate with its interval. Where nothing varies that could be drawn again, there is none: the fields are null. */
export interface Inference {
  estimate: number;
  standardError: number | null;
  df: number | null;
  low: number | null;
  high: number | null;
  /** Two-sided, of the estimate being 0; below 1 − confidence exactly where the interval leaves 0 out. */
  p: number | null;
  /** What the interval speaks of: "prompts" means these very runs on other prompts. */
  over: "runs and prompts" | "prompts" | "runs" | "nothing";
  /** Runs of the smallest group. */
  runs: number;
  clusters: number;
  items: number;
}

export interface InferOptions {
  /** Default 0.95. */
  confidence?: number;
  /** The variance of each group's mean over its runs, where a better one is at hand (moderated.ts). */
  runVariance?: (part: VariancePart & { group: string; size: number }) => VariancePart;
}

/** Interval and p-value of an estimate by the t distribution. */
export function infer(estimate: CrossedEstimate, options: InferOptions = {}): Inference {
  const parts = crossedVariance(estimate);
  const better = options.runVariance;
  const runs = better === undefined ? parts.runs : parts.runs.map((part) => ({ ...part, ...better(part) }));
  return inferFrom(
    estimate.estimate,
    { ...parts, runs },
    {
      confidence: options.confidence,
      runs: Math.min(...estimate.groups.map((group) => group.runs)),
      clusters: estimate.clusters.length,
      items: estimate.items,
    },
  );
}

/** The same from parts that were found in another way. */
export function inferFrom(
  estimate: number,
  parts: CrossedVariance,
  { confidence = 0.95, ...sizes }: { confidence?: number; runs: number; clusters: number; items: number },
): Inference {
  const over = scope(parts);
  const total = over === "nothing" ? null : totalVariance(parts);
  if (total === null)
    return { estimate, standardError: null, df: null, low: null, high: null, p: null, over, ...sizes };
  const standardError = Math.sqrt(total.variance);
  const half = standardError === 0 ? 0 : studentQuantile((1 + confidence) / 2, total.df) * standardError;
  const p = standardError === 0 ? (estimate === 0 ? 1 : 0) : studentTwoSided(estimate / standardError, total.df);
  return { estimate, standardError, df: total.df, low: estimate - half, high: estimate + half, p, over, ...sizes };
}

function scope({ runs, clusters, singleRun }: CrossedVariance): Inference["over"] {
  const overRuns = runs.length > 0 && !singleRun;
  if (clusters === undefined) return overRuns ? "runs" : "nothing";
  return overRuns ? "runs and prompts" : "prompts";
}

/**
 * V and its degrees of freedom. Subtracting may leave less than what runs or clusters show by themselves, even less than
 * 0; V is then the larger of these two, which errs towards a wider interval.
 *
 * With w_g = V_g / V the share of a group's runs and the rest the clusters', 1/df = Σ_g w_g / df_g + (1 − Σ w_g) / df_c.
 * That is, to first order in 1/df, the rule of Cochran and Cox (Experimental Designs, 2nd edition, 1957, section 4.14)
 * to weigh the parts' t quantiles by their variances. Satterthwaite's approximation (Biometrics Bulletin 2, 1946) has w²
 * in the place of w: where 2 degrees of freedom make the runs' variance come out small by chance it takes the sum for
 * well known, and holds the truth in 92 % instead of 95 % with 3 runs (docs/statistics.md).
 */
function totalVariance({ runs, clusters, interactions }: CrossedVariance): VariancePart {
  const ofRuns = total(runs);
  const ofClusters = clusters?.variance ?? 0;
  const variance = Math.max(ofRuns + ofClusters - total(interactions), ofRuns, ofClusters);
  if (variance === 0)
    return { variance, df: Math.min(...[...runs, ...(clusters ? [clusters] : [])].map(({ df }) => df)) };
  let inverse = clusters === undefined ? 0 : (1 - ofRuns / variance) / clusters.df;
  for (const part of runs) inverse += part.variance / variance / part.df;
  return { variance, df: 1 / inverse };
}

function total(parts: readonly VariancePart[]): number {
  return parts.reduce((sum, { variance }) => sum + variance, 0);
}

function squares(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

function average(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
