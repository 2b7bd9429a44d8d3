/** The extractors there are, by the name that --extractor gives: where a new one is registered. */
import type { Model } from "../engine/model.js";
import { UsageError } from "../errors.js";
import type { Extractor } from "./extractor.js";
import type { Value } from "./taxonomy.js";

export const EXTRACTOR_NAMES = ["lexicon", "probe", "judge", "api", "file", "attributes"] as const;
/** How the judge is asked: yes or no for each value, or for a list of values in its own words. */
export const JUDGE_MODES = ["yes-no", "list"] as const;
export type JudgeMode = (typeof JUDGE_MODES)[number];
export type ExtractorName = (typeof EXTRACTOR_NAMES)[number];

/** What a factory may make an extractor from. Options that it needs and does not find are a UsageError that names them. */
export interface OpenExtractorOptions {
  /** What it will be asked for. */
  values: readonly Value[];
  /** Opens the model of --model; a UsageError where none is given. The extractor disposes of it. */
  openModel: () => Promise<Model>;
  /** --labels */
  labels?: string | undefined;
  /** --probe */
  probe?: string | undefined;
  /** --judge-mode; default "yes-no". */
  judgeMode?: JudgeMode | undefined;
  /** --api-url and its like; the key is in the environment, and nowhere else. */
  apiUrl?: string | undefined;
  apiModel?: string | undefined;
  /** Variables of the environment that may hold the key; default VALORA_API_KEY, OPENAI_API_KEY. */
  apiKeyNames?: readonly string[] | undefined;
  apiConcurrency?: number | undefined;
  apiTimeoutSeconds?: number | undefined;
  apiRequestsPerMinute?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told what a user should know, such as values that cannot be scored. */
  onNote?: ((message: string) => void) | undefined;
}

type Factory = (options: OpenExtractorOptions) => Promise<Extractor>;

/** Each loads its code when it is asked for. */
const FACTORIES: Record<ExtractorName, Factory> = {
  lexicon: async ({ values }) => (await import("./lexicon/extractor.js")).openLexicon(values),
  probe: async ({ values, probe, openModel, onNote }) => {
    if (probe === undefined)
      throw new UsageError("--extractor probe needs --probe FILE; valora label --train-probe makes one");
    return (await import("./probe/extractor.js")).openProbe(probe, values, openModel, { onNote });
  },
  judge: async ({ values, openModel, judgeMode = "yes-no", onNote }) => {
    if (judgeMode === "list") return (await import("./judge/list.js")).openListJudge(values, openModel, { onNote });
    return (await import("./judge/extractor.js")).openJudge(values, openModel);
  },
  attributes: async ({ values }) => (await import("./attributes.js")).openAttributes(values),
  file: async ({ values, labels, signal, onNote }) => {
    if (labels === undefined) throw new UsageError("--extractor file needs --labels FILE");
    return (await import("./file-labels.js")).openFileLabels(labels, values, { signal, onNote });
  },
  api: async ({ values, apiUrl, apiModel, apiKeyNames, onNote, ...limits }) => {
    if (apiUrl === undefined || apiModel === undefined)
      throw new UsageError("--extractor api needs --api-url U and --api-model N");
    const [{ apiKey }, { openApi }] = await Promise.all([import("./api/key.js"), import("./api/extractor.js")]);
    return openApi(values, {
      url: apiUrl,
      model: apiModel,
      key: apiKey(process.env, apiKeyNames),
      concurrency: limits.apiConcurrency,
      timeoutSeconds: limits.apiTimeoutSeconds,
      requestsPerMinute: limits.apiRequestsPerMinute,
      onNote,
    });
  },
};

/** @throws UsageError for a name that is none or options that are missing, and what the extractor itself throws */
export async function openExtractor(name: ExtractorName, options: OpenExtractorOptions): Promise<Extractor> {
  if (!EXTRACTOR_NAMES.includes(name))
    throw new UsageError(`there is no extractor ${name}; there are ${EXTRACTOR_NAMES.join(", ")}`);
  return FACTORIES[name](options);
}
