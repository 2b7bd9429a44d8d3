/** Names of the layouts, and the options that change what they mean; apart from them, so that a help screen loads no schema. */

/** Names of layouts as `--format` takes them, in the order in which they are tried: TRL's is the widest, so it is last. */
export const FORMAT_NAMES = [
  "pairs",
  "hh-rlhf",
  "pku-saferlhf",
  "ultrafeedback",
  "helpsteer2",
  "shp",
  "stack-exchange-paired",
  "qa-feedback",
  "llama-factory",
  "trl",
] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];

/** Options that change what a layout's records mean. */
export interface FormatOptions {
  /**
   * PKU-SafeRLHF judges twice: "better" (default) takes the more helpful response as chosen, "safer" the less harmful
   * one.
   */
  pkuChosen?: PkuChosen | undefined;
  /**
   * UltraFeedback in its original layout: what ranks the four completions. "mean" (default) is the mean of the rated
   * ones of the four aspects; else one aspect, or the critique's `overall_score` or `fine-grained_score`.
   */
  ultrafeedbackRating?: UltrafeedbackRating | undefined;
  /** HelpSteer2: which of its five ratings, from 0 to 4, tells chosen from rejected; default "helpfulness". */
  helpsteerRating?: HelpsteerRating | undefined;
}

export const PKU_CHOSEN = ["better", "safer"] as const;
export type PkuChosen = (typeof PKU_CHOSEN)[number];

export const ULTRAFEEDBACK_ASPECTS = ["instruction_following", "honesty", "truthfulness", "helpfulness"] as const;
export const ULTRAFEEDBACK_RATINGS = ["mean", ...ULTRAFEEDBACK_ASPECTS, "overall_score", "fine-grained_score"] as const;
export type UltrafeedbackRating = (typeof ULTRAFEEDBACK_RATINGS)[number];

export const HELPSTEER_RATINGS = ["helpfulness", "correctness", "coherence", "complexity", "verbosity"] as const;
export type HelpsteerRating = (typeof HELPSTEER_RATINGS)[number];
