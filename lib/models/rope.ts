/**
 * Rotary position embedding: from what configs say to the angle a position of every pair of coordinates, with the
 * scalings that are a fixed factor per frequency. Others (YaRN, dynamic NTK, longrope) change with the length of the
 * text or scale attention, and are refused.
 */
import { ModelFormatError, UnsupportedError } from "../errors.js";

export type RopeScaling =
  /** Every frequency divided by `factor` (kaiokendev's position interpolation). */
  | { type: "linear"; factor: number }
  /** Llama 3.1: long waves divided by `factor`, short ones kept, between them a blend. */
  | {
      type: "llama3";
      factor: number;
      lowFrequencyFactor: number;
      highFrequencyFactor: number;
      originalMaxPositions: number;
    }
  /** One divisor a frequency, as GGUF's rope_freqs.weight has them: [headDim / 2]. */
  | { type: "divisors"; divisors: number[] };

export interface Rope {
  theta: number;
  scaling: RopeScaling | null;
}

/**
 * Radians a position, [headDim / 2], in double: theta^(-2i / headDim), then the scaling.
 * The blend of "llama3" follows `_compute_llama3_parameters` of transformers.
 */
export function inverseFrequencies(headDim: number, { theta, scaling }: Rope): Float64Array {
  const plain = Float64Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  switch (scaling?.type) {
    case undefined:
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
    case "divisors":
      return plain.map((frequency, i) => frequency / (scaling.divisors[i] as number));
    case "llama3": {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions } = scaling;
      return plain.map((frequency) => {
        const waves = (originalMaxPositions * frequency) / (2 * Math.PI);
        if (waves > high) return frequency;
        if (waves < low) return frequency / factor;
        const kept = (waves - low) / (high - low);
        return (1 - kept) * (frequency / factor) + kept * frequency;
      });
    }
  }
}

/**
 * The rope of a config.json: `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling`.
 *
 * @throws ModelFormatError, UnsupportedError, with `where` (the file) in front
 */
export function parseRope(config: Record<string, unknown>, maxPositions: number, where: string): Rope {
  const settings = (config.rope_parameters ?? config.rope_scaling ?? {}) as Record<string, unknown>;
  if (typeof settings !== "object" || Array.isArray(settings)) {
    throw new ModelFormatError(`${where}: the rope settings are not an object`);
  }
  const number = (name: string, fallback?: unknown): number => {
    const value = settings[name] ?? fallback;
    if (value === undefined) throw new ModelFormatError(`${where}: the rope setting ${name} is missing`);
    if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value)) {
      throw new ModelFormatError(
        `${where}: the rope setting ${name} is ${JSON.stringify(value)}, not a number above 0`,
      );
    }
    return value;
  };
  const partial = settings.partial_rotary_factor ?? config.partial_rotary_factor ?? 1;
  if (partial !== 1) throw new UnsupportedError(`${where}: a rotary embedding of a part of the head is not supported`);
  const theta = number("rope_theta", config.rope_theta ?? 10000);
  const type = settings.rope_type ?? settings.type ?? "default";
  switch (type) {
    case "default":
      return { theta, scaling: null };
    case "linear":
      return { theta, scaling: { type: "linear", factor: number("factor") } };
    case "llama3": {
      const scaling = {
        type: "llama3",
        factor: number("factor"),
        lowFrequencyFactor: number("low_freq_factor"),
        highFrequencyFactor: number("high_freq_factor"),
        originalMaxPositions: number(
          "original_max_position_embeddings",
          config.original_max_position_embeddings ?? maxPositions,
        ),
      } as const;
      if (!(scaling.highFrequencyFactor > scaling.lowFrequencyFactor)) {
        throw new ModelFormatError(`${where}: the rope's high_freq_factor is not above its low_freq_factor`);
      }
      return { theta, scaling };
    }
    default:
      throw new UnsupportedError(
        `${where}: rope scaling ${JSON.stringify(type)} is not supported; valora knows default, linear and llama3`,
      );
  }
}
