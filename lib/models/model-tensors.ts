/** Matches the tensors of a weight file with those a model of its config has: each there once, in the right shape. */
import { ModelFormatError } from "../errors.js";
import type { Dtype, NativeTensor, TensorRole } from "../native.js";
import type { ModelConfig } from "./config.js";
import { LINEAR_KINDS } from "./linear-kinds.js";
import { expectedShape, isVector, tensorName, tensorPlaces, type WeightFormat } from "./tensor-names.js";

/** A tensor as its file has it. */
export interface StoredTensor {
  name: string;
  file: string;
  dtype: Dtype;
  /** Slowest axis first. */
  shape: number[];
  offset: number;
  bytes: number;
}

/** Rotary tables that older files carry: derived from the config, so of no use here. */
const DERIVED = /(^rope_freqs\.weight|\.rotary_emb\.inv_freq)$/;

/**
 * @param where the path of the model, for messages
 * @param interleaved whether q and k have the rotary halves of their heads interleaved
 * @throws ModelFormatError naming a tensor that is missing, unknown or of another shape
 */
export function matchTensors(
  stored: readonly StoredTensor[],
  model: ModelConfig,
  format: WeightFormat,
  interleaved: boolean,
  where: string,
): NativeTensor[] {
  const { family, config, tiedEmbeddings } = model;
  const head = tensorName(format, family, { role: "head", layer: -1 });
  const missing = tensorPlaces(format, family, config.layers, rolesOf(model));
  const unknown: string[] = [];
  const tensors: NativeTensor[] = [];
  for (const tensor of stored) {
    const place = missing.get(tensor.name);
    if (place === undefined) {
      // A tied model's head is a copy of its embedding; transformers passes over it too.
      if (!DERIVED.test(tensor.name) && tensor.name !== head) unknown.push(tensor.name);
      continue;
    }
    missing.delete(tensor.name);
    const { name, shape, ...stay } = tensor;
    const { rows, cols } = expectedShape(config, place.role);
    const wanted = isVector(place.role) ? [cols] : [rows, cols];
    if (shape.length !== wanted.length || shape.some((axis, i) => axis !== wanted[i])) {
      throw new ModelFormatError(
        `${where}: tensor ${quote(name)} has the shape [${shape.join(", ")}], its config asks for [${wanted.join(", ")}]`,
      );
    }
    tensors.push({ ...place, ...stay, rows, cols, interleavedHeads: interleaved ? rotaryHeads(place.role, model) : 0 });
  }
  if (tiedEmbeddings === null) missing.delete(head);
  if (missing.size > 0) {
    throw new ModelFormatError(
      `${where}: ${list([...missing.keys()])} missing for a ${family} model of ${config.layers} layers; fetch it again`,
    );
  }
  if (unknown.length > 0) {
    throw new ModelFormatError(`${where}: ${list(unknown)} not part of the ${family} model that its config describes`);
  }
  return tensors;
}

function rolesOf({ config, biases, tiedEmbeddings }: ModelConfig): TensorRole[] {
  return [
    "embedding",
    ...(tiedEmbeddings === true ? [] : (["head"] as const)),
    "final_norm",
    "attention_norm",
    "feed_forward_norm",
    ...(config.qkNorm === "none" ? [] : (["q_norm", "k_norm"] as const)),
    ...LINEAR_KINDS,
    ...biases,
  ];
}

function rotaryHeads(role: TensorRole, { config }: ModelConfig): number {
  if (role === "q_proj" || role === "q_bias") return config.heads;
  return role === "k_proj" || role === "k_bias" ? config.kvHeads : 0;
}

function list(names: string[]): string {
  const first = `tensor ${quote(names[0] as string)}`;
  return names.length === 1 ? `${first} is` : `${first} and ${names.length - 1} more are`;
}

function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
