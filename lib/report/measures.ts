/** What is known of the suites and metrics that items may carry: where the report shows them, under which name and unit. */
import type { Unit } from "./format.js";

export type Place = "matrix" | "safety" | "anthropomorphism" | "sycophancy" | "qa" | "text" | "dose-axis" | "hidden";

/** Suites whose task is the value that is measured: rows and columns of a matrix are values. */
const MATRIX_SUITES = new Set(["crosstalk", "preferences", "persona", "values"]);

const PLACES: Record<string, Place> = {
  safety: "safety",
  anthropomorphism: "anthropomorphism",
  sycophancy: "sycophancy",
  qa: "qa",
  perplexity: "qa",
  degeneracy: "text",
};

interface MetricWords {
  title: string;
  unit: Unit;
}

/** Metrics whose unit their numbers do not show. */
const METRICS: Record<string, MetricWords> = {
  log_margin: { title: "log-margin", unit: "nats" },
  margin: { title: "log-margin", unit: "nats" },
  log_margin_per_token: { title: "log-margin per token", unit: "nats/token" },
  margin_per_token: { title: "log-margin per token", unit: "nats/token" },
  kl: { title: "KL to the untrained model", unit: "nats" },
  nats: { title: "negative log-likelihood", unit: "nats" },
  acc: { title: "accuracy", unit: "share" },
  acc_norm: { title: "accuracy, by length", unit: "share" },
  acc_bytes: { title: "accuracy, by bytes", unit: "share" },
  mc2: { title: "probability of true answers", unit: "share" },
  exact_match: { title: "exact match", unit: "share" },
  accuracy: { title: "accuracy", unit: "share" },
  refusal: { title: "refusals", unit: "share" },
  refusal_log_odds: { title: "log-odds of refusing", unit: "nats" },
  user_margin: { title: "log-margin of the user’s side", unit: "nats" },
  shift: { title: "log-margin, told view minus none", unit: "nats" },
  expressed: { title: "answers that express it", unit: "share" },
};

/** Sums and parts that other metrics are made of. */
const HIDDEN = /^(kl_|logprob$|logprob_)/;
/** What perplexities are made of, beside the nats. */
const SIZES = /^(words|bytes|tokens)$/;

export function placeOf(suite: string, metric: string): Place {
  if (metric === "kl") return "dose-axis";
  if (HIDDEN.test(metric) || (suite === "perplexity" && SIZES.test(metric))) return "hidden";
  if (MATRIX_SUITES.has(suite)) return "matrix";
  return PLACES[suite] ?? "text";
}

/** @param within whether every number seen lies from 0 to 1 */
export function unitOf(metric: string, within: boolean): Unit {
  return METRICS[metric]?.unit ?? (within ? "share" : "");
}

export function titleOf(metric: string): string {
  return METRICS[metric]?.title ?? metric.replaceAll("_", " ");
}

/** "preferences: log-margin", and the grader where there is one. */
export function measureTitle(suite: string, metric: string, grader: string | null): string {
  return `${suite}: ${titleOf(metric)}${grader === null ? "" : ` (${grader})`}`;
}

/** Total log-margins first, then per token, then the rest: the first is what the page opens with. */
export function measureOrder(metric: string): number {
  const known = ["log_margin", "margin", "log_margin_per_token", "margin_per_token"].indexOf(metric);
  return known < 0 ? 4 : known;
}
