/**
 * What each launch of the CUDA backend asks for, by formula: bytes that have to cross the device's memory once,
 * multiply-adds of the tensor cores and of float32, and ldmatrix.x4. scripts/roofline.mjs holds the formulas against
 * what the emulation counts. Axes as in core/ops.h; products are of bfloat16, everything else is float32.
 *
 * @typedef {{ kernel: string, bytes: number, tensor: number, float32: number, ldmatrix: number }} Launch
 */

const MMA = 16 * 8 * 16; // multiply-adds of one instruction

const launch = (kernel, bytes, { tensor = 0, float32 = 0, ldmatrix = 0 } = {}) => ({
  kernel,
  bytes,
  tensor,
  float32,
  ldmatrix,
});

/** A product in tiles of 128 rows: a warp's 64 x 64 takes eight ldmatrix.x4 for 32 mma (product.cu). */
const products = (tensor, float32 = 0) => ({ tensor, float32, ldmatrix: tensor / MMA / 4 });

/** x rounded into a copy, and its low-rank product. */
const prepare = (rows, cols, rank) =>
  launch("prepare_rows", rows * cols * 6 + rank * (cols + rows) * 4, { float32: rows * cols * rank });

export function linearForward({ rows, outputs, inputs, rank }) {
  const bytes = (rows + outputs) * inputs * 2 + (rows + outputs) * rank * 4 + rows * outputs * 4;
  const product = products(rows * outputs * inputs, rows * outputs * rank);
  return [prepare(rows, inputs, rank), launch("linear_forward", bytes, product)];
}

/** dx is added to: it is read and written. */
export function linearBackward({ rows, outputs, inputs, rank }) {
  const bytes = (rows + inputs) * outputs * 2 + (rows + inputs) * rank * 4 + rows * inputs * 8;
  const product = products(rows * outputs * inputs, rows * inputs * rank);
  return [prepare(rows, outputs, rank), launch("linear_backward", bytes, product)];
}

export function loraGradient({ rows, outputs, inputs, rank }) {
  return [inputs, outputs].map((cols) =>
    launch("lora_gradient", (rows * (cols + rank) + 2 * cols * rank) * 4, { float32: rows * cols * rank }),
  );
}

/** Without targets. */
export function headForward({ rows, inputs, vocabulary, headStep }) {
  const launches = [prepare(rows, inputs, 0)];
  for (let begin = 0; begin < vocabulary; begin += headStep) {
    const count = Math.min(headStep, vocabulary - begin);
    const product = products(rows * count * inputs);
    const before = begin === 0 ? 0 : 1;
    launches.push(
      launch("head_logits", (rows + count) * inputs * 2 + rows * count * 4, product),
      launch("head_take_in", rows * (count * 6 + 24 + 16 * before)),
      launch("head_expected", (rows + inputs) * count * 2 + rows * (inputs * 4 * (1 + before) + 8), product),
    );
  }
  launches.push(launch("head_finish", rows * 28));
  return launches;
}

const rowwise = (kernel, matrices, more) => (shape) => [
  launch(kernel, matrices * shape.rows * shape.cols * 4 + (more?.(shape) ?? 0)),
];
export const rmsnormForward = rowwise("rmsnorm_forward", 2, ({ cols }) => cols * 4);
/** Overwriting dx. */
export const rmsnormBackward = rowwise("rmsnorm_backward", 3, ({ cols }) => cols * 4);
/** Both directions. */
export const rope = rowwise("rope", 2, ({ rows, positions, width }) => positions * width * 4 + rows * 4);
export const swigluForward = rowwise("swiglu_forward", 3);
export const swigluBackward = rowwise("swiglu_backward", 5);
export const add = rowwise("add", 3);
/** Parameters, moments, gradient. */
export const adamw = rowwise("adamw", 7);

const ceil = (a, b) => Math.ceil(a / b);
const TILE = 64; // (row, head) pairs, or keys, of a block
const WARPS = 4;

/** A tree of a prompt and the responses that hang from it, as query groups and ranges of keys that one group adds. */
function groupsOf({ prompt, responses }) {
  return [{ first: 0, queries: prompt }, ...responses.map((queries) => ({ first: prompt, queries }))];
}

/** Blocks of `cols` keys that the tiles of 64 pairs of a tree go through, for one key/value head. */
function keyBlocks(tree, share, cols) {
  let blocks = 0;
  for (const { first, queries } of groupsOf(tree)) {
    for (let pair = 0; pair < queries * share; pair += TILE) {
      const last = Math.min(pair + TILE, queries * share) - 1;
      blocks += ceil(first + Math.floor(last / share) + 1, cols);
    }
  }
  return blocks;
}

/** Blocks of `cols` pairs that the tiles of 64 keys of a tree go through. */
function pairBlocks(tree, share, cols) {
  let blocks = 0;
  const [prompt, ...responses] = groupsOf(tree);
  for (let key = 0; key < prompt.queries; key += TILE) {
    blocks += ceil((prompt.queries - key) * share, cols);
    for (const { queries } of responses) blocks += ceil(queries * share, cols);
  }
  for (const { queries } of responses) {
    for (let key = 0; key < queries; key += TILE) blocks += ceil((queries - key) * share, cols);
  }
  return blocks;
}

/** A block of `cols` lines for four warps of 16: `left` products with a left side in shared memory, `right` without. */
function attentionBlock(width, cols, left, right) {
  const steps = width / 16;
  return {
    tensor: WARPS * (left + right) * 16 * cols * width,
    ldmatrix: WARPS * steps * (left * (1 + cols / 16) + (right * cols) / 16),
  };
}

const times = ({ tensor, ldmatrix }, count) => ({ tensor: tensor * count, ldmatrix: ldmatrix * count });

const rowsOf = (trees) =>
  trees.reduce((sum, { prompt, responses }) => sum + prompt + responses.reduce((all, one) => all + one, 0), 0);

function attentionSizes({ trees, heads, kvHeads, width }) {
  const rows = rowsOf(trees);
  const [q, kv] = [rows * heads * width, rows * kvHeads * width];
  return { rows, q, kv, share: heads / kvHeads, statistics: rows * heads * 4, packed: 2 * (q + 2 * kv) };
}
const pack = (numbers) => launch("attention_pack", numbers * 6);

export function attentionForward(shape) {
  const { q, kv, share, statistics, packed } = attentionSizes(shape);
  const blocks = shape.trees.reduce((sum, tree) => sum + keyBlocks(tree, share, 64), 0) * shape.kvHeads;
  const work = times(attentionBlock(shape.width, 64, 1, 1), blocks);
  return [pack(q), pack(kv), pack(kv), launch("attention_forward", packed + q * 4 + statistics, work)];
}

export function attentionBackward(shape) {
  const { q, kv, share, statistics, packed } = attentionSizes(shape);
  const cols = shape.width > 64 ? 16 : 32; // of pairs (attention_backward.cu)
  const { trees, kvHeads, width } = shape;
  const blocks = trees.reduce((sum, tree) => sum + keyBlocks(tree, share, 32), 0) * kvHeads;
  const visits = trees.reduce((sum, tree) => sum + pairBlocks(tree, share, cols), 0) * kvHeads;
  const inputs = packed + 2 * q + 2 * statistics; // d_o besides
  return [
    pack(q),
    pack(q),
    pack(kv),
    pack(kv),
    launch("attention_delta", 8 * q + statistics),
    launch("attention_dq", inputs + 4 * q, times(attentionBlock(width, 32, 2, 1), blocks)),
    launch("attention_dkv", inputs + 8 * kv, times(attentionBlock(width, cols, 2, 2), visits)),
  ];
}

export { rowsOf };

/** By the names that cuda_counts prints. */
export const OPERATIONS = {
  linearForward,
  linearBackward,
  loraGradient,
  headForward,
  attentionForward,
  attentionBackward,
  rmsnormForward,
  rmsnormBackward,
  rope,
  swigluForward,
  swigluBackward,
  add,
  adamw,
};
