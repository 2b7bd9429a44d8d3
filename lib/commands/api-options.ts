/** Options of every command that can ask a model behind an endpoint, and what is said before it is paid for. */
import { UsageError } from "../errors.js";
import type { EstimateOptions } from "../values/estimate.js";
import type { Extractor } from "../values/extractor.js";
import type { OpenExtractorOptions } from "../values/extractors.js";
import type { CommonValues, OptionTable, OptionValues } from "./command.js";
import type { CommandContext } from "./context.js";

/** Node's fetch gives up by itself after 300 s without a word, whatever its caller would allow. */
const MAX_TIMEOUT_SECONDS = 300;

export const API_OPTIONS = {
  "api-url": { type: "string", placeholder: "U", describe: "https://host/v1; key in VALORA_API_KEY" },
  "api-model": { type: "string", placeholder: "N", describe: "the model's name there" },
  "api-concurrency": {
    type: "integer",
    placeholder: "N",
    default: 4,
    minimum: 1,
    maximum: 256,
    describe: "requests at a time",
  },
  "api-timeout": {
    type: "number",
    placeholder: "S",
    default: 120,
    minimum: 0,
    aboveMinimum: true,
    maximum: MAX_TIMEOUT_SECONDS,
    describe: "seconds for one answer",
  },
  "api-rpm": {
    type: "number",
    placeholder: "N",
    minimum: 0,
    aboveMinimum: true,
    describe: "most requests a minute (any)",
  },
  "api-price-in": { type: "number", placeholder: "P", minimum: 0, describe: "of 1M tokens read, to estimate" },
  "api-price-out": { type: "number", placeholder: "P", minimum: 0, describe: "of 1M tokens written" },
} as const satisfies OptionTable;
type ApiValues = OptionValues<typeof API_OPTIONS>;

/** @throws UsageError where one price comes without the other */
export function apiOptions(options: ApiValues): Partial<OpenExtractorOptions> {
  if ((options["api-price-in"] === undefined) !== (options["api-price-out"] === undefined))
    throw new UsageError("--api-price-in and --api-price-out belong together");
  return {
    apiUrl: options["api-url"],
    apiModel: options["api-model"],
    apiConcurrency: options["api-concurrency"],
    apiTimeoutSeconds: options["api-timeout"],
    apiRequestsPerMinute: options["api-rpm"],
  };
}

/** Null, and no words, where the options give no prices. */
export function describePrice(
  { "api-price-in": priceIn, "api-price-out": priceOut }: ApiValues,
  tokensIn: number,
  tokensOut: number,
): { price: number | null; words: string } {
  if (priceIn === undefined || priceOut === undefined) return { price: null, words: "" };
  const price = (tokensIn * priceIn + tokensOut * priceOut) / 1e6;
  return { price, words: `: a price of about ${price.toFixed(price < 1 ? 4 : 2)}` };
}

interface Asking extends Pick<EstimateOptions, "values" | "cache"> {
  extractor: Extractor;
  /** Reads all input from its start. */
  pairs: () => Parameters<typeof import("../values/estimate.js").estimateAsking>[0];
}

/** Says what an extractor that is paid for will be asked, before it is; nothing for others. */
export async function noteEstimate(
  options: ApiValues & CommonValues & { input: readonly string[] },
  context: CommandContext,
  { extractor, values, cache, pairs }: Asking,
): Promise<void> {
  const { sizeOf } = extractor;
  if (sizeOf === undefined) return;
  if (!(await canReadTwice(options.input))) {
    context.note("no estimate of requests and tokens: this input can be read only once");
    return;
  }
  const { estimateAsking } = await import("../values/estimate.js");
  const onError = options["on-error"];
  const estimate = await estimateAsking(pairs(), sizeOf, { values, cache, onError, signal: context.signal });
  const { requests, known, tokensIn, tokensOut } = estimate;
  const { price, words } = describePrice(options, tokensIn, tokensOut);
  const count = (value: number): string => value.toLocaleString("en-US");
  context.note(
    `to ask: ${count(requests)} requests (${count(known)} responses are answered already), about ` +
      `${count(tokensIn)} tokens in and ${count(tokensOut)} out, at 4 characters a token${words}`,
    { requests, known, tokens_in: tokensIn, tokens_out: tokensOut, price },
  );
}

/** Standard input and pipes are gone once they are read; what is no local path is a data set, which is kept. */
async function canReadTwice(inputs: readonly string[]): Promise<boolean> {
  const { stat } = await import("node:fs/promises");
  for (const input of inputs) {
    if (input === "-") return false;
    const status = await stat(input).catch(() => null);
    if (status !== null && !status.isFile() && !status.isDirectory()) return false;
  }
  return true;
}
