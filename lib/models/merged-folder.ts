/**
 * What stands beside the weights of a merged model so that transformers, and valora, load the folder: config, tokenizer and
 * generation settings. Copied from a model folder; made from the metadata of a GGUF file.
 */
import { copyFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { UnsupportedError } from "../errors.js";
import { writeFileAtomic } from "../files/atomic.js";
import type { ModelFamily } from "./config.js";
import type { ModelFiles } from "./model-files.js";
import { inverseFrequencies, type Rope, type RopeScaling } from "./rope.js";
import { readGgufTokenizer } from "./tokenizer-gguf.js";

export type MergedDtype = "BF16" | "F32";

type Fields = Record<string, unknown>;

const ARCHITECTURES: Record<ModelFamily, string> = {
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  olmo2: "Olmo2ForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
};

const TORCH_DTYPES: Record<MergedDtype, string> = { BF16: "bfloat16", F32: "float32" };

/** The text side of a model folder, as far as it is there. */
const TEXT_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "generation_config.json",
];

/**
 * Writes the files into `dir`, which exists.
 *
 * @throws FileError, or the system's error where a file cannot be copied
 * @throws UnsupportedError where config.json has no words for what the GGUF file holds
 */
export async function writeMergedFolder(files: ModelFiles, dir: string, dtype: MergedDtype): Promise<void> {
  const write = (name: string, value: unknown) =>
    writeFileAtomic(join(dir, name), `${JSON.stringify(value, null, 2)}\n`);
  if (files.format === "gguf") {
    await write("config.json", makeConfig(files, dtype));
    await write("generation_config.json", makeGenerationConfig(files));
    if (files.tokenizer?.kind === "gguf") {
      const { json, unknownId, paddingId } = readGgufTokenizer(files.tokenizer.metadata, files.path);
      const textOf = tokenTexts(files);
      await write("tokenizer.json", json);
      await write("tokenizer_config.json", {
        tokenizer_class: "PreTrainedTokenizerFast",
        add_bos_token: files.addBos,
        clean_up_tokenization_spaces: false,
        model_max_length: files.config.maxPositions,
        ...given({
          bos_token: files.bosToken,
          eos_token: files.eosToken,
          unk_token: textOf(unknownId),
          pad_token: textOf(paddingId),
          chat_template: files.chatTemplate,
        }),
      });
    }
    return;
  }
  const config = JSON.parse(await readFile(join(files.path, "config.json"), "utf8")) as Fields;
  // The older of the two names, which every version of transformers reads.
  delete config.dtype;
  await write("config.json", { ...config, torch_dtype: TORCH_DTYPES[dtype] });
  for (const name of TEXT_FILES) {
    await copyFile(join(files.path, name), join(dir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  }
}

/** The fields that have a value. */
function given(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function tokenTexts({ tokenizer }: ModelFiles): (id: number | null) => string | null {
  const tokens = tokenizer?.kind === "gguf" ? tokenizer.metadata.get("tokenizer.ggml.tokens") : undefined;
  return (id) => (id === null || !Array.isArray(tokens) ? null : (tokens[id] ?? null));
}

function makeGenerationConfig({ bosId, eosIds }: ModelFiles): Fields {
  return given({ bos_token_id: bosId, eos_token_id: oneOrMore(eosIds) });
}

function oneOrMore(ids: readonly number[]): number | number[] | null {
  return ids.length > 1 ? [...ids] : (ids[0] ?? null);
}

/**
 * config.json of the model in a GGUF file.
 *
 * @throws UnsupportedError where transformers' classes cannot express it
 */
export function makeConfig(files: ModelFiles, dtype: MergedDtype): Fields {
  const { config, family, rope, tensors } = files;
  const roles = new Set(tensors.map(({ role }) => role));
  const biases = (["q_bias", "k_bias", "v_bias", "o_bias"] as const).filter((role) => roles.has(role));
  const wanted = family === "qwen2" ? 3 : family === "mistral" ? 0 : biases.length === 0 ? 0 : 4;
  if (biases.length !== wanted) {
    throw new UnsupportedError(
      `${files.path}: transformers has no ${family} model with only ${biases.join(", ")}, so it cannot be merged`,
    );
  }
  return {
    architectures: [ARCHITECTURES[family]],
    model_type: family,
    hidden_act: "silu",
    hidden_size: config.channels,
    intermediate_size: config.feedForward,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    max_position_embeddings: config.maxPositions,
    // GGUF keeps float32: seven digits are what was meant.
    rms_norm_eps: Number(config.normEpsilon.toPrecision(7)),
    rope_theta: rope.theta,
    ...(rope.scaling === null ? {} : { rope_scaling: makeRopeScaling(rope, config.headDim, files.path) }),
    attention_bias: biases.length === 4,
    mlp_bias: false,
    // Where the window mattered, the positions above end with it.
    ...(family === "mistral" ? { sliding_window: null } : {}),
    tie_word_embeddings: !roles.has("head"),
    torch_dtype: TORCH_DTYPES[dtype],
    vocab_size: config.vocabulary,
    ...makeGenerationConfig(files),
  };
}

function makeRopeScaling(rope: Rope, headDim: number, path: string): Fields {
  const scaling =
    rope.scaling?.type === "divisors" ? nameDivisors(rope.theta, rope.scaling.divisors, headDim) : rope.scaling;
  switch (scaling?.type) {
    case "linear":
      return { rope_type: "linear", factor: scaling.factor };
    case "llama3":
      return {
        rope_type: "llama3",
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalMaxPositions,
      };
    default:
      throw new UnsupportedError(
        `${path}: its rope_freqs.weight is no scaling that config.json has a name for, so it cannot be merged; merge the safetensors model it was made from`,
      );
  }
}

/**
 * The scaling that GGUF's rope_freqs.weight was computed from. Of Llama 3's four settings the factor is the largest
 * divisor; the share k of the plain frequency in the blend, (1/divisor − 1/factor) / (1 − 1/factor), is linear in the
 * frequency f: k = (P·f/2π − low) / (high − low). With low = 1, as in every published model, two blended frequencies
 * give high and P; with one, high is taken to be 4. Null where the frequencies do not come out again.
 *
 * @param divisors [headDim / 2]
 */
export function nameDivisors(theta: number, divisors: number[], headDim: number): RopeScaling | null {
  const factor = Number(Math.max(...divisors).toPrecision(6));
  if (factor <= 1) return null;
  const plain = inverseFrequencies(headDim, { theta, scaling: null });
  if (divisors.every((divisor) => Math.abs(divisor / factor - 1) < 1e-6)) return { type: "linear", factor };
  const blended = divisors.flatMap((divisor, i) => {
    const share = (1 / divisor - 1 / factor) / (1 - 1 / factor);
    return share > 1e-4 && share < 1 - 1e-4 ? [{ share, frequency: plain[i] as number }] : [];
  });
  const [first, last] = [blended[0], blended.at(-1)];
  if (first === undefined || last === undefined) return null;
  const low = 1;
  let high = 4;
  if (first !== last) {
    const slope = (first.share - last.share) / (first.frequency - last.frequency);
    const offset = first.share - slope * first.frequency;
    high = low - low / offset;
    high = Math.abs(high - Math.round(high)) < 1e-2 ? Math.round(high) : high;
  }
  const positions = ((first.share * (high - low) + low) * 2 * Math.PI) / first.frequency;
  const scaling = {
    type: "llama3",
    factor,
    lowFrequencyFactor: low,
    highFrequencyFactor: high,
    originalMaxPositions: Math.round(positions),
  } as const;
  const again = inverseFrequencies(headDim, { theta, scaling });
  // Float32 in the file, and shares that were divided by small differences of it.
  const same = again.every(
    (frequency, i) => Math.abs((frequency * (divisors[i] as number)) / (plain[i] as number) - 1) < 1e-5,
  );
  return same ? scaling : null;
}
