/**
 * adapter_config.json of PEFT (github.com/huggingface/peft, LoraConfig): read, with everything that would change what the
 * adapter computes and is not supported refused by name, and written.
 */
import { AdapterFormatError } from "../errors.js";
import { showValue } from "./library-error.js";
import { isLinearKind, type LinearKind } from "./linear-kinds.js";
import { TimeLimitError, withTimeLimit } from "./time-limit.js";

export interface PeftConfig {
  /** Rank and alpha of modules that no pattern names. */
  rank: number;
  alpha: number;
  /** Scale alpha / √rank instead of alpha / rank (rank-stabilised LoRA). */
  rslora: boolean;
  /** Names of modules as the file lists them, or one text: "all-linear" or a regular expression. */
  targets: string[] | string;
  /** Rank and alpha by pattern: a regular expression for the end of a module's name. */
  rankPattern: Record<string, number>;
  alphaPattern: Record<string, number>;
  baseModel: string | null;
}

type Fields = Record<string, unknown>;

/** Features that change what an adapter computes; each is off where its value is null, false or empty. */
const UNSUPPORTED: Record<string, string> = {
  use_dora: "DoRA",
  modules_to_save: "whole modules saved beside the low-rank pairs",
  fan_in_fan_out: "transposed weights",
  layer_replication: "replicated layers",
  lora_bias: "biases on the low-rank pairs",
  target_parameters: "low-rank pairs on single parameters",
  trainable_token_indices: "trained token embeddings",
  alora_invocation_tokens: "activated LoRA",
  use_qalora: "QALoRA",
  use_bdlora: "block-diagonal LoRA",
  megatron_config: "Megatron layers",
  arrow_config: "Arrow routing",
  kasa_config: "KaSA",
  monteclora_config: "MonteCLoRA",
};

/** Starts that leave the model's own weights alone; others (PiSSA, OLoRA, CorDA, LoftQ …) change them when loading. */
const PLAIN_STARTS: readonly unknown[] = [undefined, null, true, false, "gaussian", "orthogonal", "eva"];

/** Protects time: patterns are regular expressions that are tried on every module. */
const MAX_PATTERNS = 4096;
const MAX_PATTERN_CHARACTERS = 256;

function isOff(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return (
    value === undefined ||
    value === null ||
    value === false ||
    (typeof value === "object" && Object.keys(value).length === 0)
  );
}

/**
 * @param ignored what is passed over without harm is added, a sentence each
 * @throws AdapterFormatError naming the field
 */
export function parsePeftConfig(value: unknown, path: string, ignored: string[]): PeftConfig {
  const fail = (problem: string): never => {
    throw new AdapterFormatError(`${path}: ${problem}`);
  };
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail("it does not hold a JSON object");
  const fields = value as Fields;
  if (fields.peft_type !== "LORA") {
    return fail(`peft_type is ${showValue(fields.peft_type)}; valora applies LORA adapters only`);
  }
  for (const [name, what] of Object.entries(UNSUPPORTED)) {
    if (!isOff(fields[name])) return fail(`${name} is ${showValue(fields[name])}; valora does not apply ${what}`);
  }
  if ((fields.bias ?? "none") !== "none")
    return fail(`bias is ${showValue(fields.bias)}; valora applies adapters without trained biases`);
  if (!PLAIN_STARTS.includes(fields.init_lora_weights)) {
    return fail(
      `init_lora_weights is ${showValue(fields.init_lora_weights)}, which changes the model's own weights; convert it to a plain LoRA adapter with PEFT`,
    );
  }
  const dropout = fields.lora_dropout ?? 0;
  if (typeof dropout !== "number") return fail(`lora_dropout is ${showValue(dropout)}, not a number`);
  if (dropout > 0)
    ignored.push(`lora_dropout ${dropout} is ignored: nothing is dropped when an adapter is applied or trained on`);
  const rank = fields.r;
  const alpha = fields.lora_alpha;
  if (!isRank(rank)) return fail(`r is ${showValue(rank)}, not a whole number above 0`);
  if (!isAlpha(alpha)) return fail(`lora_alpha is ${showValue(alpha)}, not a number`);
  const targets = fields.target_modules ?? [];
  const listed = Array.isArray(targets) && targets.every((target) => typeof target === "string");
  if (!listed && typeof targets !== "string") return fail("target_modules is neither a list of names nor one text");
  const base = fields.base_model_name_or_path;
  return {
    rank,
    alpha,
    rslora: fields.use_rslora === true,
    targets: targets as string[] | string,
    rankPattern: parsePattern(fields.rank_pattern, isRank, (problem) => fail(`rank_pattern ${problem}`)),
    alphaPattern: parsePattern(fields.alpha_pattern, isAlpha, (problem) => fail(`alpha_pattern ${problem}`)),
    baseModel: typeof base === "string" && base !== "" ? base : null,
  };
}

function isRank(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isAlpha(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function parsePattern(
  value: unknown,
  isRight: (value: unknown) => value is number,
  fail: (problem: string) => never,
): Record<string, number> {
  if (isOff(value)) return {};
  if (typeof value !== "object" || Array.isArray(value)) return fail(`is ${showValue(value)}, not an object`);
  const entries = Object.entries(value as Fields);
  if (entries.length > MAX_PATTERNS) return fail(`has ${entries.length} entries, more than ${MAX_PATTERNS}`);
  for (const [pattern, number] of entries) {
    if (pattern.length > MAX_PATTERN_CHARACTERS) return fail(`has a pattern of ${pattern.length} characters`);
    if (!isRight(number)) return fail(`has ${showValue(number)} for ${showValue(pattern)}`);
    try {
      compilePattern(pattern);
    } catch {
      return fail(`has ${showValue(pattern)}, which is no regular expression`);
    }
  }
  return value as Record<string, number>;
}

/** As in PEFT (`get_pattern_key`): the pattern stands for the end of the name, from a dot on. */
function compilePattern(pattern: string): RegExp {
  return new RegExp(`^(.*\\.)?(${pattern})$`);
}

/**
 * What a pattern says about modules; the first that fits counts. The result throws AdapterFormatError where a pattern
 * backtracks without end.
 */
export function patternLookup(patterns: Record<string, number>, otherwise: number): (module: string) => number {
  const compiled = Object.entries(patterns).map(([pattern, value]) => ({ regex: compilePattern(pattern), value }));
  if (compiled.length === 0) return () => otherwise;
  return (module) => {
    try {
      return withTimeLimit(() => compiled.find(({ regex }) => regex.test(module)))?.value ?? otherwise;
    } catch (error) {
      if (!(error instanceof TimeLimitError)) throw error;
      throw new AdapterFormatError(`a pattern for ${module} in adapter_config.json ${error.message}; simplify it`, {
        cause: error,
      });
    }
  };
}

/** Whether PEFT would put a pair on `module`; a regular expression is taken to fit what it was saved with. */
export function isTargeted(targets: string[] | string, module: string): boolean {
  return typeof targets === "string" || targets.some((target) => module === target || module.endsWith(`.${target}`));
}

/** The low-rank scale: alpha / rank, or alpha / √rank. */
export function scaleOf(rank: number, alpha: number, rslora: boolean): number {
  return alpha / (rslora ? Math.sqrt(rank) : rank);
}

/** adapter_config.json with the fields that PEFT needs to load the adapter; it fills in the rest. */
export function makePeftConfig(config: PeftConfig): Fields {
  return {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: config.baseModel,
    inference_mode: true,
    r: config.rank,
    lora_alpha: config.alpha,
    lora_dropout: 0,
    use_rslora: config.rslora,
    use_dora: false,
    bias: "none",
    fan_in_fan_out: false,
    init_lora_weights: true,
    modules_to_save: null,
    target_modules: config.targets,
    rank_pattern: config.rankPattern,
    alpha_pattern: config.alphaPattern,
  };
}

/** The name of a matrix in transformers' models of all families here. */
export function moduleName(layer: number, kind: LinearKind): string {
  return `model.layers.${layer}.${ATTENTION.has(kind) ? "self_attn" : "mlp"}.${kind}`;
}

const ATTENTION: ReadonlySet<LinearKind> = new Set(["q_proj", "k_proj", "v_proj", "o_proj"]);

/** Layer and kind of a module's name; null for any other module. */
export function parseModuleName(module: string): { layer: number; kind: LinearKind } | null {
  const match = /^model\.layers\.(0|[1-9]\d{0,5})\.(?:self_attn|mlp)\.([a-z_]+)$/.exec(module);
  if (match === null) return null;
  const layer = Number(match[1]);
  const kind = match[2] as string;
  return isLinearKind(kind) && moduleName(layer, kind) === module ? { layer, kind } : null;
}
