/**
 * The only file that loads the native addon, with the types of everything it exports.
 *
 * All work of a model runs on that model's own engine thread, in the order it was asked for; every
 * `Promise` here settles when that work is done. Failures are `Error`s with a `code` such as
 * `ERR_OUT_OF_MEMORY`; lib/errors.ts makes named errors of them.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { UnsupportedError } from "./errors.js";
import type { LinearKind } from "./models/linear-kinds.js";

/** Stored number formats, named as GGUF names them. */
export type Dtype =
  | "F32"
  | "F16"
  | "BF16"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q8_0"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K";

/** The shape of a model, as native/model/config.h has it. */
export interface NativeConfig {
  layers: number;
  channels: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  feedForward: number;
  vocabulary: number;
  maxPositions: number;
  normEpsilon: number;
  normPlacement: "pre" | "post";
  qkNorm: "none" | "whole" | "head";
  /** [headDim / 2], radians a position, rope scaling applied. */
  inverseFrequencies: Float64Array;
}

export { LINEAR_KINDS, type LinearKind } from "./models/linear-kinds.js";

/** What a tensor is for. `layer` is -1 for those outside the layers. */
export type TensorRole =
  | "embedding" // [V, C]
  | "head" // [V, C]; absent where the embedding serves as head
  | "final_norm" // [C]
  | "attention_norm" // [C]  before (or, norm placement "post", after) attention
  | "feed_forward_norm" // [C]
  | "q_norm" // [D] or [H*D]
  | "k_norm" // [D] or [K*D]
  | LinearKind
  | "q_bias"
  | "k_bias"
  | "v_bias"
  | "o_bias";

/** Where a tensor lies in a weight file. The core checks it against the real file before mapping. */
export interface NativeTensor {
  role: TensorRole;
  layer: number;
  file: string;
  offset: number;
  bytes: number;
  dtype: Dtype;
  /** Outputs; 1 for a vector. */
  rows: number;
  /** Inputs; the length of a vector. */
  cols: number;
  /** Heads whose rotary halves are stored interleaved (GGUF `llama` q and k), else 0. */
  interleavedHeads: number;
}

export type Compute = "float32" | "bf16";

/** Instruction sets that the CPU backend is compiled for: x86-64, AArch64, any. */
export type Isa = "avx512" | "avx2" | "neon" | "generic";

export interface NativeOpenOptions {
  backend: "cpu" | "reference" | "cuda";
  /** Instruction set of the CPU backend; the best of this machine when left out. */
  isa?: Isa;
  /** Which CUDA device; the first when left out. */
  cudaDevice?: number;
  threads: number;
  /** No plan of this model may exceed it. Left out only with cuda: four fifths of what is free there, never more. */
  memoryBytes?: number;
  /** Arithmetic of products with frozen matrices. */
  compute: Compute;
}

/** What the CUDA backend finds on this machine. */
export interface NativeCuda {
  devices: { name: string /** Compute capability, "8.0". */; capability: string; totalBytes: number }[];
  /** Why there are none. */
  problem: string;
}

export interface NativeInfo {
  /** Instruction sets that this build and machine have, best first. */
  isas: Isa[];
  /** Whether this machine has instructions for bfloat16 products; without them they have the same bits, slower than float32. */
  bf16: boolean;
  /** Null where the addon was built without the CUDA backend. */
  cuda: NativeCuda | null;
  compiler: string;
  build: "release" | "debug" | "asan" | "tsan";
}

/** The packed forest (native/core/forest.h). Spans and targets are flat arrays. */
export interface NativeForest {
  tokens: Int32Array;
  /** [S * 3] parent, begin, length. */
  spans: Int32Array;
  /** [B] an adapter handle a tree; 0 = base. */
  adapters: Int32Array;
  /** [T * 2] row, token; sorted by row. */
  targets: Int32Array;
}

export interface NativeScores {
  /** [T] natural log-probabilities, in the order of the targets. */
  logprobs: Float64Array;
  /** [T] 1 where the target's token is the arg max. */
  greedy: Uint8Array;
}

/** Rows whose hidden states are averaged, group by group. */
export interface NativeEmbedding {
  /** Its targets say which rows count; their tokens say nothing. */
  forest: NativeForest;
  /** [T] the group of each target, from 0; none is empty. */
  groups: Int32Array;
  /** After how many layers; 0 = the embedding. */
  layer: number;
}

/** The low-rank pair of one matrix: a [R, I], b [O, R], row-major; y += scale * (x aᵀ) bᵀ. */
export interface NativeLoraModule {
  layer: number;
  kind: LinearKind;
  rank: number;
  scale: number;
  a: Float32Array;
  b: Float32Array;
}

export interface NativeLoraSpec {
  kinds: LinearKind[];
  rank: number;
  scale: number;
  /** a ~ U(-1/sqrt(I), 1/sqrt(I)) (PEFT's default), b = 0; a counter-based generator, the same on every machine. */
  seed: number;
}

export type LossKind = "sigmoid" | "ipo" | "hinge" | "robust" | "sft";

export interface NativeLoss {
  kind: LossKind;
  beta: number;
  labelSmoothing: number;
  rpoAlpha: number;
}

/**
 * Preference pairs on a forest. Every target belongs to one response; the pair's log-probabilities are
 * sums over its responses' targets. With a shared prompt a pair is one tree (prompt → two spans),
 * without, two trees. All trees carry the trainer's adapter.
 */
export interface NativePairs {
  forest: NativeForest;
  /** [T] the response each target belongs to: 2 * pair for chosen, 2 * pair + 1 for rejected. */
  responses: Int32Array;
  /** [P * 2] reference log-probabilities, chosen and rejected. */
  reference: Float64Array;
  /** What a pair's loss is multiplied by: 1 / pairs in the optimiser step. */
  pairWeight: number;
}

/** Per pair, in order. */
export interface NativePairResults {
  loss: Float64Array;
  chosen: Float64Array;
  rejected: Float64Array;
}

export interface NativeAdamwOptions {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** Largest gradient norm; 0 = no clipping. */
  clip: number;
}

/** Everything a trainer needs to go on: flat arrays over the adapter's parameters, in export order. */
export interface NativeOptimizerState {
  step: number;
  m: Float32Array;
  v: Float32Array;
}

/** Holds gradients and AdamW state of one adapter. */
export interface NativeTrainer {
  /** Forward, loss and backward; gradients are added to what has gathered since the last step. */
  accumulate(pairs: NativePairs, loss: NativeLoss, cancel?: NativeCancel): Promise<NativePairResults>;
  /** Clips, updates, clears the gradients. Rejects with ERR_NOT_FINITE, changing nothing, where the norm is not finite. */
  step(options: NativeAdamwOptions): Promise<{ gradNorm: number }>;
  /** Forgets gathered gradients. */
  clear(): Promise<void>;
  /** The gathered gradients, as modules whose a and b are gradients. */
  gradients(): Promise<NativeLoraModule[]>;
  state(): Promise<NativeOptimizerState>;
  setState(state: NativeOptimizerState): Promise<void>;
  dispose(): void;
}

export interface NativeGeneration {
  /** One a prompt. */
  prompts: Int32Array[];
  /** [prompts] adapter handle; 0 = base. */
  adapters: Int32Array;
  /** Continuations a prompt. */
  samples: number;
  maxNewTokens: number;
  temperature: number;
  topK: number;
  topP: number;
  seed: number;
  /** [prompts] a number a prompt that its random draws derive from, so that they do not depend on the batch. */
  streams: Int32Array;
  /** Tokens that end a continuation (they are part of it); empty = run to maxNewTokens. */
  stopTokens: Int32Array;
}

/** In order: prompt by prompt, sample by sample. */
export interface NativeGenerated {
  tokens: Int32Array[];
  /** Log-probability of each token (temperature 1, whole vocabulary). */
  logprobs: Float64Array[];
  finish: ("stop" | "length")[];
}

/** Bytes of each part of a planned job (native/model/plan.h). */
export interface NativePlan {
  weights: number;
  adapters: number;
  optimiser: number;
  activations: number;
  cache: number;
  total: number;
}

/** Shape of a batch, to plan memory with. */
export interface NativeJobShape {
  job: "score" | "train" | "generate" | "embed";
  rows: number;
  targetRows: number;
  trees: number;
  longestPath: number;
  /** Train: keep activations, or recompute them layer by layer. */
  recompute: boolean;
  /** Generate: sequences that grow side by side, and rows of key/value cache in all. */
  sequences: number;
  cacheRows: number;
}

export interface NativeModel {
  readonly isa: string;
  /** The limit that its plans are held against. */
  readonly memoryBytes: number;
  score(forest: NativeForest, cancel?: NativeCancel): Promise<NativeScores>;
  /** [groups * C] means of the residual stream, before the final norm, summed in double in row order. */
  embed(request: NativeEmbedding, cancel?: NativeCancel): Promise<Float32Array>;
  generate(
    request: NativeGeneration,
    cancel?: NativeCancel,
    /** Called now and then with the number of tokens made so far. */
    onProgress?: (tokens: number) => void,
  ): Promise<NativeGenerated>;
  createAdapter(spec: NativeLoraSpec): Promise<number>;
  loadAdapter(modules: NativeLoraModule[]): Promise<number>;
  exportAdapter(handle: number): Promise<NativeLoraModule[]>;
  removeAdapter(handle: number): Promise<void>;
  createTrainer(handle: number, options: { recompute: "auto" | "always" | "never" }): Promise<NativeTrainer>;
  /** Logical rows [begin, begin+count) of a matrix or vector, with scale * b a of `adapter` added (0 = none). */
  readTensor(role: TensorRole, layer: number, begin: number, count: number, adapter: number): Promise<Float32Array>;
  /** What operations took since the last call; the first one begins to measure and resolves to nothing. */
  takeOperationTimes(): Promise<NativeOperationTime[]>;
  plan(shape: NativeJobShape): NativePlan;
  /** Ends the work in hand as cancelled, refuses what waits, frees everything. Later calls reject with ERR_DISPOSED. */
  dispose(): Promise<void>;
}

/** One operation of native/core/ops.h over all its calls. */
export interface NativeOperationTime {
  operation: string;
  calls: number;
  seconds: number;
  /** Of all threads together, at work on the operation. */
  busySeconds: number;
}

/** One flag for one call. */
export interface NativeCancel {
  cancel(): void;
}

/** Operations of native/core/ops.h that can be timed alone. */
export type KernelOp =
  | "linear_forward"
  | "linear_backward"
  | "lora_gradient"
  | "head_forward"
  | "sample"
  | "attention_forward"
  | "attention_backward"
  | "rmsnorm_forward"
  | "swiglu_forward"
  | "rope"
  | "adamw";

/** One operation at one shape (native/bench/kernel_bench.h); sizes that it has no use for are left out. */
export interface NativeKernelSpec {
  op: KernelOp;
  backend: Isa | "reference";
  threads: number;
  /** Of the stored matrix; default F32. */
  dtype?: Dtype;
  rows?: number;
  inputs?: number;
  /** The vocabulary, for the head. */
  outputs?: number;
  heads?: number;
  kvHeads?: number;
  headDim?: number;
  /** Of a LoRA term over all rows. */
  rank?: number;
  /** Default float32. */
  compute?: Compute;
  /** Attention: lengths of one tree's spans, the root first, the others hanging from it. */
  spans?: number[];
}

/** An operation with inputs of its own. Its calls run on the calling thread: nothing else happens meanwhile. */
export interface NativeKernelBench {
  /** Floating-point operations of one run. */
  readonly flops: number;
  /** Bytes that one run reads and writes at least. */
  readonly bytes: number;
  /** Compares with the reference backend; throws ERR_INTERNAL where the results disagree. */
  verify(): { error: number; tolerance: number };
  /** Seconds that `times` runs take; verifies first where that has not been done. */
  run(times: number): number;
}

export interface NativeAddon {
  info(): NativeInfo;
  openModel(config: NativeConfig, tensors: NativeTensor[], options: NativeOpenOptions): Promise<NativeModel>;
  createCancel(): NativeCancel;
  /** The plain definition of what stored numbers decode to. */
  dequantize(dtype: Dtype, bytes: Uint8Array, count: number): Float32Array;
  /** Throws ERR_INVALID_ARGUMENT for an operation or sizes that there cannot be. */
  createKernelBench(spec: NativeKernelSpec): NativeKernelBench;
  /** Floating-point operations a second in chains of multiply-adds, on the calling thread and others: 50 ms. */
  measurePeak(isa: Isa, threads: number): number;
  /** Bytes a second read from memory, likewise; takes half a gigabyte meanwhile. */
  measureBandwidth(threads: number): number;
}

/** The addon: build/Release of this package, or a prebuilt binary for this platform. */
export const native: NativeAddon = loadAddon();

function loadAddon(): NativeAddon {
  const require = createRequire(import.meta.url);
  const root = fileURLToPath(new URL("..", import.meta.url));
  try {
    return (require("node-gyp-build") as (root: string) => NativeAddon)(root);
  } catch (error) {
    const reason = (error as Error).message.split("\n")[0];
    throw new UnsupportedError(
      `the native addon does not load (${reason}); build it with: node ${join(root, "scripts/build-native.mjs")} --force`,
      { cause: error },
    );
  }
}
