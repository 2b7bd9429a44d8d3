/** Values of other implementations: test/golden/metrics/expected.json, which make_metrics_golden.py makes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export interface GoldenMetrics {
  t: { upper: [number, number, number][]; quantile: [number, number, number][] };
  special: Record<"digamma" | "trigamma" | "logGamma", [number, number][]>;
  /** t, df, ncp, P(T > t). */
  noncentralT: [number, number, number, number][];
  adjusted: { p: number[]; holm: number[]; by: number[] };
  /** Parts of the mean's variance by a two-way analysis of variance; y is [runs][prompts]. */
  anova: { y: number[][]; mean: number; run: number; prompt: number; rest: number }[];
  /** Items by run, then cluster; variances of the mean by one-way cluster-robust regression. */
  clusters: { counts: number[]; y: number[]; mean: number; run: number; cluster: number };
  equivalence: { y: number[]; margins: [number, number][] };
  /** a, b, V_aa, V_bb, V_ab, t, low, high. */
  fieller: [number, number, number, number, number, number, number, number][];
  isotonic: { y: number[]; fit: number[] };
  squeezeVar: { df: number; priorDf: number | null; priorVariance: number; variances: number[]; posterior: number[] }[];
  maxT: { cells: number[][]; induced: number; adjusted: number[] };
}

export const GOLDEN: GoldenMetrics = JSON.parse(readFileSync("test/golden/metrics/expected.json", "utf8"));

/** Within `tolerance` of `expected`, relative to it where it is larger than 1e-300, or exactly equal. */
export function assertClose(actual: number, expected: number, tolerance: number, what: string): void {
  const difference = Math.abs(actual - expected);
  assert.ok(
    actual === expected || difference <= tolerance * Math.max(Math.abs(expected), 1e-300),
    `${what}: ${actual}, expected ${expected} within ${tolerance} of it`,
  );
}
