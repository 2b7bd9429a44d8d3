/** Names of the layouts of preference data, apart from their readers, so that a help screen loads none. */

export const FORMAT_NAMES = ["pairs", "hh-rlhf", "pku-saferlhf", "ultrafeedback", "helpsteer2"] as const;
export type FormatName = (typeof FORMAT_NAMES)[number];
