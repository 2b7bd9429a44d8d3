/** The extractors there are, by the name that --extractor gives: where a new one is registered. */
import type { Model } from "../engine/model.js";
import { UnsupportedError, UsageError } from "../errors.js";
import type { Extractor } from "./extractor.js";
import type { Value } from "./taxonomy.js";

export const EXTRACTOR_NAMES = ["lexicon", "probe", "judge", "api", "file", "attributes"] as const;
export type ExtractorName = (typeof EXTRACTOR_NAMES)[number];

/** What a factory may make an extractor from. Options that it needs and does not find are a UsageError that names them. */
export interface OpenExtractorOptions {
  /** What it will be asked for. */
  values: readonly Value[];
  /** Opens the model of --model; a UsageError where none is given. The extractor disposes of it. */
  openModel: () => Promise<Model>;
  /** --labels */
  labels?: string | undefined;
  /** --api-url and its like; the key is in the environment, and nowhere else. */
  apiUrl?: string | undefined;
  apiModel?: string | undefined;
  apiConcurrency?: number | undefined;
  apiTimeoutSeconds?: number | undefined;
  apiRequestsPerMinute?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told what a user should know, such as values that cannot be scored. */
  onNote?: ((message: string) => void) | undefined;
}

type Factory = (options: OpenExtractorOptions) => Promise<Extractor>;

/** Each loads its code when it is asked for. */
const FACTORIES: Partial<Record<ExtractorName, Factory>> = {
  lexicon: async ({ values }) => (await import("./lexicon/extractor.js")).openLexicon(values),
  judge: async ({ values, openModel }) => (await import("./judge/extractor.js")).openJudge(values, openModel),
  attributes: async ({ values }) => (await import("./attributes.js")).openAttributes(values),
  file: async ({ values, labels, signal, onNote }) => {
    if (labels === undefined) throw new UsageError("--extractor file needs --labels FILE");
    return (await import("./file-labels.js")).openFileLabels(labels, values, { signal, onNote });
  },
  api: async ({ values, apiUrl, apiModel, apiConcurrency, apiTimeoutSeconds, apiRequestsPerMinute, onNote }) => {
    if (apiUrl === undefined || apiModel === undefined)
      throw new UsageError("--extractor api needs --api-url U and --api-model N");
    const { apiKey, openApi } = await import("./api/extractor.js");
    return openApi(values, {
      url: apiUrl,
      model: apiModel,
      key: apiKey(),
      concurrency: apiConcurrency,
      timeoutSeconds: apiTimeoutSeconds,
      requestsPerMinute: apiRequestsPerMinute,
      onNote,
    });
  },
};

/**
 * @throws UsageError for options that are missing, UnsupportedError for an extractor that is not there
 */
export async function openExtractor(name: ExtractorName, options: OpenExtractorOptions): Promise<Extractor> {
  const factory = FACTORIES[name];
  if (factory === undefined) {
    const there = EXTRACTOR_NAMES.filter((known) => FACTORIES[known] !== undefined).join(", ");
    throw new UnsupportedError(`--extractor ${name} is not part of this version of valora; there are ${there}`);
  }
  return factory(options);
}
