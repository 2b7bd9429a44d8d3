/**
 * Endpoints by what is asked of them in `valora eval`: --api-url answers where there is no local model, and is what
 * graders and the simulated user are asked at unless they have endpoints of their own. A key goes to the host that it
 * was given for, and to no other.
 */
import { UsageError } from "../errors.js";
import type { Asking } from "../evaluation/plan.js";
import type { RemoteModel } from "../evaluation/remote.js";
import { apiKey, KEY_NAMES } from "../values/api/key.js";
import { API_OPTIONS, apiOptions, describePrice } from "./api-options.js";
import type { OptionTable, OptionValues } from "./command.js";
import type { CommandContext } from "./context.js";

export const ENDPOINT_OPTIONS = {
  ...API_OPTIONS,
  "grader-api-model": { type: "string", placeholder: "N", describe: "for graders that end in -api (--api-model)" },
  "grader-api-url": { type: "string", placeholder: "U", describe: "key in VALORA_GRADER_API_KEY (--api-url)" },
  "user-api-model": { type: "string", placeholder: "N", describe: "plays the user of multi_turn" },
  "user-api-url": { type: "string", placeholder: "U", describe: "key in VALORA_USER_API_KEY (--api-url)" },
} as const satisfies OptionTable;
type Values = OptionValues<typeof ENDPOINT_OPTIONS>;

export interface NamedEndpoint {
  url: string;
  model: string;
  /** Variables of the environment that may hold its key. */
  keyNames: readonly string[];
}

/** Null where no model is named for it; a grader's is --api-model unless it has its own. */
export function endpointOf(options: Values, role: "grader" | "user"): NamedEndpoint | null {
  const own = options[`${role}-api-url`];
  const url = own ?? options["api-url"];
  const model = options[`${role}-api-model`] ?? (role === "grader" ? options["api-model"] : undefined);
  if (own !== undefined && model === undefined)
    throw new UsageError(`--${role}-api-url ${own} needs --${role}-api-model N, the model's name there`);
  if (model === undefined) return null;
  if (url === undefined) throw new UsageError(`--${role}-api-model ${model} needs --${role}-api-url U or --api-url U`);
  const named = `VALORA_${role.toUpperCase()}_API_KEY`;
  const shared = own === undefined || originOf(own) === originOf(options["api-url"]);
  return { url, model, keyNames: shared ? [named, ...KEY_NAMES] : [named] };
}

function originOf(url: string | undefined): string | null {
  return url !== undefined && URL.canParse(url) ? new URL(url).origin : null;
}

/** The model of --api-url and --api-model. @throws UsageError where one of them is missing */
export function modelEndpoint(options: Values): NamedEndpoint {
  const { "api-url": url, "api-model": model } = options;
  if (url === undefined || model === undefined)
    throw new UsageError("give the model with --model M, or one behind an endpoint with --api-url U and --api-model N");
  return { url, model, keyNames: KEY_NAMES };
}

export async function openEndpoint(
  { url, model, keyNames }: NamedEndpoint,
  options: Values,
  context: CommandContext,
): Promise<RemoteModel> {
  const { RemoteModel } = await import("../evaluation/remote.js");
  const { apiConcurrency, apiTimeoutSeconds, apiRequestsPerMinute } = apiOptions(options);
  return new RemoteModel({
    url,
    model,
    key: apiKey(process.env, keyNames),
    concurrency: apiConcurrency,
    timeoutSeconds: apiTimeoutSeconds,
    requestsPerMinute: apiRequestsPerMinute,
    onNote: (message) => context.note(message),
  });
}

/** Says what an endpoint will be asked at most: replies that are known cost nothing, and are not counted here. */
export function noteAsking(
  asked: readonly Asking[],
  isRemote: boolean,
  options: Values,
  context: CommandContext,
): void {
  const sum = (field: keyof Asking): number => asked.reduce((total, each) => total + each[field], 0);
  const count = (value: number): string => value.toLocaleString("en-US");
  const userTurns = sum("userTurns");
  if (userTurns > 0) context.note(`to ask the simulated user: up to ${count(userTurns)} messages`, { userTurns });
  if (!isRemote || asked.length === 0) return;
  const [requests, tokensOut] = [sum("requests"), sum("newTokens")];
  const tokensIn = Math.ceil(sum("characters") / 4);
  const { price, words } = describePrice(options, tokensIn, tokensOut);
  context.note(
    `to ask: up to ${count(requests)} requests, about ${count(tokensIn)} tokens in and up to ${count(tokensOut)} out, ` +
      `at 4 characters a token${words}`,
    { requests, tokens_in: tokensIn, tokens_out: tokensOut, price },
  );
}
