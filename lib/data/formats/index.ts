/** The layouts of preference data that are read, in the order in which they are tried. A layout is added here. */
import type { PairFormat } from "./format.js";
import { helpsteer2 } from "./helpsteer2.js";
import { hhRlhf } from "./hh-rlhf.js";
import { llamaFactory } from "./llama-factory.js";
import { pairs } from "./pairs.js";
import { pkuSaferlhf } from "./pku-saferlhf.js";
import { qaFeedback } from "./qa-feedback.js";
import { shp } from "./shp.js";
import { stackExchangePaired } from "./stack-exchange-paired.js";
import { trl } from "./trl.js";
import { ultrafeedback } from "./ultrafeedback.js";

/** Names as `--format` takes them. */
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

/** TRL's is the widest, so it comes last. */
export const FORMATS: readonly PairFormat[] = [
  pairs,
  hhRlhf,
  pkuSaferlhf,
  ultrafeedback,
  helpsteer2,
  shp,
  stackExchangePaired,
  qaFeedback,
  llamaFactory,
  trl,
];
