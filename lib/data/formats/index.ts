/** The layouts of preference data that are read, in the order in which they are tried. A new one is added here. */
import type { PairFormat } from "./format.js";
import { helpsteer2 } from "./helpsteer2.js";
import { hhRlhf } from "./hh-rlhf.js";
import { llamaFactory } from "./llama-factory.js";
import { FORMAT_NAMES, type FormatName } from "./options.js";
import { pairs } from "./pairs.js";
import { pkuSaferlhf } from "./pku-saferlhf.js";
import { qaFeedback } from "./qa-feedback.js";
import { shp } from "./shp.js";
import { stackExchangePaired } from "./stack-exchange-paired.js";
import { trl } from "./trl.js";
import { ultrafeedback } from "./ultrafeedback.js";

const BY_NAME: Record<FormatName, PairFormat> = {
  pairs,
  "hh-rlhf": hhRlhf,
  "pku-saferlhf": pkuSaferlhf,
  ultrafeedback,
  helpsteer2,
  shp,
  "stack-exchange-paired": stackExchangePaired,
  "qa-feedback": qaFeedback,
  "llama-factory": llamaFactory,
  trl,
};

export const FORMATS: readonly PairFormat[] = FORMAT_NAMES.map((name) => BY_NAME[name]);
