/** Options of every command that reads preference data, and what the reader takes for them. */
import {
  FORMAT_NAMES,
  type FormatName,
  type FormatOptions,
  HELPSTEER_RATINGS,
  PKU_CHOSEN,
  ULTRAFEEDBACK_RATINGS,
} from "../data/formats/options.js";
import { UsageError } from "../errors.js";
import type { OptionTable, OptionValues } from "./command.js";

/** The choices are too many for a line of the help screen; `preferenceOptions` checks them. */
export const PREFERENCE_OPTIONS = {
  format: {
    type: "string",
    placeholder: "NAME",
    default: "auto",
    describe: "layout; docs/data.md has the names",
  },
  "pku-chosen": {
    type: "string",
    placeholder: "WHICH",
    default: "better",
    describe: "PKU-SafeRLHF: better|safer as chosen",
  },
  "ultrafeedback-rating": {
    type: "string",
    placeholder: "NAME",
    default: "mean",
    describe: "mean, an aspect, or overall_score",
  },
  "helpsteer-rating": {
    type: "string",
    placeholder: "NAME",
    default: "helpfulness",
    describe: "which of the five",
  },
  source: {
    type: "string",
    placeholder: "NAME",
    describe: "the pairs' source (the layout's name)",
  },
} as const satisfies OptionTable;

/**
 * As `readPreferenceData` takes them.
 *
 * @throws UsageError naming an option and what it can be
 */
export function preferenceOptions(
  options: OptionValues<typeof PREFERENCE_OPTIONS>,
): FormatOptions & { format: "auto" | FormatName; source: string | undefined } {
  return {
    format: choose("format", options.format, ["auto", ...FORMAT_NAMES]),
    source: options.source,
    pkuChosen: choose("pku-chosen", options["pku-chosen"], PKU_CHOSEN),
    ultrafeedbackRating: choose("ultrafeedback-rating", options["ultrafeedback-rating"], ULTRAFEEDBACK_RATINGS),
    helpsteerRating: choose("helpsteer-rating", options["helpsteer-rating"], HELPSTEER_RATINGS),
  };
}

function choose<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw new UsageError(`--${name} has to be one of ${choices.join(", ")}, not "${value}"`);
  return found;
}
