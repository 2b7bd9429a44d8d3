/**
 * A DPO step of OLMo-2 13B in launches (native/model/transformer.cc, transformer_backward.cc: norms follow their
 * branches, q and k are normed whole), what GPUs' data sheets make of them at best, and from that the planned time of
 * the paper's study. Nothing here was timed.
 */
import * as ops from "./launches.mjs";

/**
 * Dense, in units a second, from NVIDIA's data sheets and white papers (A100 and H100: SXM, 80 GB; RTX 4090: bfloat16
 * with float32 sums): bytes of memory, operations of the tensor cores and of float32; and bytes of shared memory, 128 a
 * cycle and multiprocessor at the boost clock. H100's tensor peak is wgmma's, which these kernels do not use.
 * `share`: how much of the floor's speed is planned with, an assumption.
 */
export const GPUS = {
  A100: { memory: 2039e9, tensor: 312e12, float32: 19.5e12, shared: 108 * 128 * 1.41e9, share: 0.5 },
  H100: { memory: 3350e9, tensor: 989.4e12, float32: 66.9e12, shared: 132 * 128 * 1.83e9, share: 0.35 },
  "RTX 4090": { memory: 1008e9, tensor: 165.2e12, float32: 82.6e12, shared: 128 * 128 * 2.52e9, share: 0.5 },
};

const LDMATRIX_BYTES = 512;

/** Seconds of a launch at best, and what it waits for: its arithmetic one after the other, beside its traffic. */
export function atBest({ bytes, tensor, float32, ldmatrix }, gpu) {
  const [products, scalars] = [(2 * tensor) / gpu.tensor, (2 * float32) / gpu.float32];
  const candidates = [
    ["memory", bytes / gpu.memory],
    [products >= scalars ? "tensor cores" : "float32", products + scalars],
    ["shared memory", (ldmatrix * LDMATRIX_BYTES) / gpu.shared],
  ];
  const [limiter, seconds] = candidates.reduce((most, one) => (one[1] > most[1] ? one : most));
  return { seconds, limiter };
}

const seconds = (launches, gpu) => launches.reduce((sum, one) => sum + atBest(one, gpu).seconds, 0);

export const OLMO = {
  layers: 40,
  channels: 5120,
  heads: 40,
  width: 128,
  wide: 13824,
  vocabulary: 100352,
  rank: 4,
  headStep: 4096,
};
const MATRICES = [
  ...Array.from({ length: 4 }, () => ({ outputs: OLMO.channels, inputs: OLMO.channels })),
  ...Array.from({ length: 2 }, () => ({ outputs: OLMO.wide, inputs: OLMO.channels })),
  { outputs: OLMO.channels, inputs: OLMO.wide },
];
/** Numbers of a layer's matrices, and of an adapter of all of them. */
const LAYER_NUMBERS = MATRICES.reduce((sum, { outputs, inputs }) => sum + outputs * inputs, 0);
const ADAPTER_NUMBERS =
  OLMO.layers * MATRICES.reduce((sum, { outputs, inputs }) => sum + OLMO.rank * (outputs + inputs), 0);

/**
 * A pair: mean tokens of a prompt and its two responses over the first 1,000 pairs of HH-RLHF harmless-base (147, 41,
 * 52), and 300 each of PKU-SafeRLHF (48, 60, 67) and UltraFeedback (200, 259, 233), by SmolLM2's tokenizer, at most
 * 1,024 tokens long.
 */
export const PAIR = { prompt: 132, responses: [120, 117] };
export const STEP_PAIRS = 16;

const shapes = (trees) => {
  const rows = ops.rowsOf(trees);
  const { channels, wide, heads, width, rank } = OLMO;
  const positions = Math.max(...trees.map(({ prompt, responses }) => prompt + Math.max(...responses)));
  const matrix = { rows, cols: channels };
  return {
    linear: MATRICES.map((shape) => ({ ...shape, rows, rank })),
    matrix,
    wide: { rows, cols: wide },
    rope: { ...matrix, positions, width },
    attention: { trees, heads, kvHeads: heads, width },
  };
};

export function layerForward(trees) {
  const { linear, matrix, wide, rope, attention } = shapes(trees);
  return [
    ...linear.flatMap(ops.linearForward),
    ...[matrix, matrix, matrix, matrix].flatMap(ops.rmsnormForward),
    ...[rope, rope].flatMap(ops.rope),
    ...ops.attentionForward(attention),
    ...ops.swigluForward(wide),
    ...[matrix, matrix].flatMap(ops.add),
  ];
}

export function layerBackward(trees) {
  const { linear, matrix, wide, rope, attention } = shapes(trees);
  return [
    ...linear.flatMap(ops.linearBackward),
    ...linear.flatMap(ops.loraGradient),
    ...[matrix, matrix, matrix, matrix].flatMap(ops.rmsnormBackward),
    ...[rope, rope].flatMap(ops.rope),
    ...ops.attentionBackward(attention),
    ...ops.swigluForward(wide),
    ...ops.swigluBackward(wide),
  ];
}

/** The head looks at the responses' rows alone, and expects only where gradients are wanted; here always. */
export function headForward(trees) {
  const rows = trees.reduce((sum, { responses }) => sum + responses.reduce((all, one) => all + one, 0), 0);
  const { channels: inputs, vocabulary, headStep } = OLMO;
  return ops.headForward({ rows, inputs, vocabulary, headStep });
}

const repeat = (launches, count) => Array.from({ length: count }, () => launches).flat();

/** Of Q4_K a layer is expanded to bfloat16 before it is used: 144 bytes of 256 numbers read, 2 bytes each written. */
const expansion = { kernel: "expand", bytes: LAYER_NUMBERS * (144 / 256 + 2), tensor: 0, float32: 0, ldmatrix: 0 };

/** Launches of a pass that gives reference log-probabilities, and of a step that trains. */
export function passes({ recomputes, expands }) {
  const trees = Array.from({ length: STEP_PAIRS }, () => PAIR);
  const expand = expands ? repeat([expansion], OLMO.layers) : [];
  const forward = [...repeat(layerForward(trees), OLMO.layers), ...headForward(trees), ...expand];
  const again = recomputes ? repeat(layerForward(trees), OLMO.layers) : [];
  const backward = [...again, ...repeat(layerBackward(trees), OLMO.layers), ...expand];
  const update = ops.adamw({ rows: 1, cols: ADAPTER_NUMBERS });
  return { reference: forward, step: [...forward, ...backward, ...update] };
}

/**
 * The paper's study on one GPU: 15 adapters of one 13B model, 5 epochs. Pairs are published for nine of the values
 * (171,000 in all); the other six are planned with these nine's median, 12,418.
 */
export const STUDY = { pairs: 171_000 + 6 * 12_418, epochs: 5 };

export const PLANS = [
  { gpu: "H100", base: "BF16, 27 GB", recomputes: false, expands: false },
  { gpu: "RTX 4090", base: "Q4_K, 8 GB", recomputes: true, expands: true },
];

/** Hours of the study: reference log-probabilities once, then the epochs. */
export function planStudy(plan) {
  const gpu = GPUS[plan.gpu];
  const { reference, step } = passes(plan);
  const stepSeconds = seconds(step, gpu);
  const perPair = (seconds(reference, gpu) + STUDY.epochs * stepSeconds) / STEP_PAIRS;
  const hours = (STUDY.pairs * perPair) / 3600;
  return { stepSeconds, hours, plannedHours: hours / gpu.share };
}
