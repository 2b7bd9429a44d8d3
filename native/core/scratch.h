// How much temporary memory an operation gets: one formula an operation, kHostScratch for every
// backend on the host, another for a device's. ops.cc takes it from the arena before it
// dispatches, in a dry run too: the counting backend, given a backend's formulas, plans for it.
//
// Each formula gives bytes for every worker (Scratch::of) and bytes that all workers share
// (Scratch::shared). G below is H / K, the query heads of a key/value head.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/ops.h"

namespace valora {

struct ScratchSize {
  int64_t per_worker = 0;
  int64_t shared = 0;
};

inline constexpr int64_t kScratchAlignment = 64;

inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Products on the CPU (cpu/gemm.h). A worker expands a tile of the right-hand side, kTileDepth of K
// by kTileCols columns, and sums for kTileRows rows at a time; both take a quarter of a 1 MiB L2.
// Besides it needs a strip of sixteen rows to decode and transpose in. The sizes do not depend on
// the matrix.
inline constexpr int64_t kTileDepth = 512;
inline constexpr int64_t kTileCols = 128;
inline constexpr int64_t kTileRows = 512;
inline constexpr int64_t kStripFloats = 16 * (kTileDepth + 16) + 512;
inline constexpr int64_t kProductBytes =
    (kTileDepth * kTileCols + kTileRows * kTileCols + kStripFloats) * 4;

// `rows` rows of `cols` numbers as pairs of bfloat16, which Compute::kBf16 rounds once for all
// tiles.
inline int64_t pairs_bytes(Compute compute, int64_t rows, int64_t cols) {
  return compute == Compute::kBf16 ? rows * round_up(cols, 2 * kLanes) * 2 : 0;
}

// linear_forward, linear_backward of `rows` rows of `cols` inputs or outputs: also a block of
// low-rank terms.
inline constexpr int64_t kLowRows = 48;
inline ScratchSize linear_scratch(Compute compute, int64_t rows, int64_t cols) {
  return {kProductBytes + kLowRows * kTileCols * 4, pairs_bytes(compute, rows, cols)};
}

// lora_gradient keeps its sums in registers.
inline ScratchSize lora_gradient_scratch() { return {0, 0}; }

// Attention looks at a chunk of T queries - (row, head) pairs of one key/value head,
// kAttentionQueries of them or the G of a single row - and kAttentionBlock keys at a time, whatever
// the length of the path.
inline constexpr int64_t kAttentionQueries = 96;

inline int64_t attention_queries(const AttentionShape& shape) {
  const int64_t share = shape.heads / shape.kv_heads;
  const int64_t rows = kAttentionQueries / share;
  return round_up((rows > 1 ? rows : 1) * share, kLanes);
}

// The widest panel of a packed matrix (cpu/gemm.h).
inline constexpr int64_t kWidestPanel = 64;

// attention_forward: q and o (2 D a query), scores (64), maximum and sum; of the block K or V as
// gathered, K transposed and V in panels (3 D a key).
inline ScratchSize attention_forward_scratch(const AttentionShape& shape) {
  const int64_t width = round_up(shape.head_dim, kWidestPanel);
  const int64_t queries = attention_queries(shape);
  const int64_t floats = queries * (2 * width + kAttentionBlock + 2) + 3 * kAttentionBlock * width;
  return {floats * 4, 0};
}

// attention_backward: q and dO, both as rows and in panels, and dq (5 D a query), p and ds, both
// also transposed (4 * 64), lse and delta; of the block what was gathered, K in panels, K and V
// transposed, dk and dv (6 D a key).
inline ScratchSize attention_backward_scratch(const AttentionShape& shape) {
  const int64_t width = round_up(shape.head_dim, kWidestPanel);
  const int64_t queries = attention_queries(shape);
  const int64_t floats =
      queries * (5 * width + 4 * kAttentionBlock + 2) + 6 * kAttentionBlock * width;
  return {floats * 4, 0};
}

// head_forward. Per worker: what a product takes. Shared: the logits of one chunk, [rows,
// kHeadChunk], 64 bytes a row for its running maximum, sum, arg max and rescaling factor, and the
// pairs of the rows and of a chunk's weights.
inline ScratchSize head_forward_scratch(Compute compute, int64_t rows, int64_t channels) {
  return {kProductBytes, rows * (kHeadChunk * 4 + 64) + pairs_bytes(compute, rows, channels) +
                             pairs_bytes(compute, rows, kHeadChunk)};
}

// sample. Per worker: what a product takes, and 16 bytes a vocabulary entry to rank the candidates
// of one row in. Shared: the logits, [rows, V] with rows padded to whole chunks of the head, and
// the pairs of the rows.
inline ScratchSize sample_scratch(Compute compute, int64_t rows, int64_t vocabulary,
                                  int64_t channels) {
  const int64_t padded = round_up(vocabulary, kHeadChunk);
  return {kProductBytes + padded * 16, rows * padded * 4 + pairs_bytes(compute, rows, channels)};
}

// What ops.cc asks. rows, cols: of the side that is multiplied; queries and keys: rows of q and k.
struct ScratchFormulas {
  ScratchSize (*linear)(Compute, int64_t rows, int64_t cols);
  ScratchSize (*lora_gradient)();
  ScratchSize (*attention_forward)(Compute, int64_t queries, int64_t keys, const AttentionShape&);
  ScratchSize (*attention_backward)(Compute, int64_t queries, int64_t keys, const AttentionShape&);
  ScratchSize (*head_forward)(Compute, int64_t rows, int64_t vocabulary, int64_t channels);
  ScratchSize (*sample)(Compute, int64_t rows, int64_t vocabulary, int64_t channels);
};

}  // namespace valora
