// How much temporary memory an operation gets: one formula an operation, the same for every
// backend, so that the counting backend's answer is the plan of all of them. ops.cc takes it from
// the arena before it dispatches; a backend that needs more enlarges the formula here.
//
// Each formula gives bytes for every worker (Scratch::of) and bytes that all workers share
// (Scratch::shared). P below is the longest path rounded up to whole attention blocks, G = H / K
// the query heads of a key/value head.
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

// Products on the CPU (cpu/gemm.h). A worker expands a tile of the right-hand side, kTileDepth of K by
// kTileCols columns, and sums for kTileRows rows at a time; both take a quarter of a 1 MiB L2. Besides
// it needs a strip of sixteen rows to decode and transpose in. The sizes do not depend on the matrix.
inline constexpr int64_t kTileDepth = 512;
inline constexpr int64_t kTileCols = 128;
inline constexpr int64_t kTileRows = 512;
inline constexpr int64_t kStripFloats = 16 * (kTileDepth + 16) + 512;
inline constexpr int64_t kProductBytes =
    (kTileDepth * kTileCols + kTileRows * kTileCols + kStripFloats) * 4;

// linear_forward, linear_backward: also a block of low-rank terms.
inline constexpr int64_t kLowRows = 48;
inline ScratchSize linear_scratch() { return {kProductBytes + kLowRows * kTileCols * 4, 0}; }

// lora_gradient: a strip of 1024 columns of da (or of db transposed), R rows deep, and 64 KiB to
// gather a block of x or dy in.
inline ScratchSize lora_gradient_scratch(int64_t rank) { return {rank * 1024 * 4 + 64 * 1024, 0}; }

// attention_forward: for one key/value head, K of the path transposed block by block and V, 2 P D;
// for a block of 64 query rows of the G heads that use it: q and the output's accumulators (2 D a
// row), scores and probabilities (2 * 64 a row), maximum, sum and the like (16 a row).
inline ScratchSize attention_forward_scratch(const AttentionShape& shape, int64_t longest) {
  const int64_t path = round_up(longest, kAttentionBlock);
  const int64_t width = round_up(shape.head_dim, kLanes);
  const int64_t block_rows = kAttentionBlock * (shape.heads / shape.kv_heads);
  const int64_t floats = 2 * path * width + block_rows * (2 * width + 2 * kAttentionBlock + 16);
  return {floats * 4, 0};
}

// attention_backward: for one key/value head K, V, their transposes where wanted, dK and dV of the
// path, 6 P D; for a block of 64 query rows of the G heads: q, dO, o, dq (4 D a row), scores,
// probabilities, dP, dS (4 * 64 a row), lse, delta and the like (16 a row).
inline ScratchSize attention_backward_scratch(const AttentionShape& shape, int64_t longest) {
  const int64_t path = round_up(longest, kAttentionBlock);
  const int64_t width = round_up(shape.head_dim, kLanes);
  const int64_t block_rows = kAttentionBlock * (shape.heads / shape.kv_heads);
  const int64_t floats = 6 * path * width + block_rows * (4 * width + 4 * kAttentionBlock + 16);
  return {floats * 4, 0};
}

// head_forward. Per worker: what a product takes. Shared: the logits of one chunk, [rows,
// kHeadChunk], and 64 bytes a row for its running maximum, sum, arg max and rescaling factor.
inline ScratchSize head_forward_scratch(int64_t rows) {
  return {kProductBytes, rows * (kHeadChunk * 4 + 64)};
}

// sample. Per worker: what a product takes, and 16 bytes a vocabulary entry to rank the candidates of
// one row in. Shared: the logits, [rows, V] with rows padded to whole chunks of the head.
inline ScratchSize sample_scratch(int64_t rows, int64_t vocabulary) {
  const int64_t padded = round_up(vocabulary, kHeadChunk);
  return {kProductBytes + padded * 16, rows * padded * 4};
}

}  // namespace valora
