// The work of attention's blocks, listed on the host from the paths of a batch: which queries, and
// which keys, a block of threads has. Made once a batch and uploaded with its paths.
//
// The queries of a group are its (row, head) pairs for one key/value head: pair p is row p / G and
// head p % G of the G query heads that share the key/value head. So a key is read once for all G.
#pragma once

#include <cstdint>
#include <vector>

#include "core/ops.h"

namespace valora::cuda {

// Some pairs of a group: [first, first + the tile's height), as far as the group's `pairs` go.
struct alignas(16) QueryTile {
  int32_t query_begin;  // the group's first row
  int32_t first;
  int32_t pairs;
  int32_t segment_begin;
};

// Neighbouring key rows that the same groups see, and those groups.
struct alignas(16) KeyTile {
  int32_t begin;
  int32_t count;
  int32_t visit_begin;
  int32_t visit_count;
};

// One group's look at a key tile: its pairs from `first` on; none before sees any of the keys.
struct alignas(16) KeyVisit {
  int32_t query_begin;
  int32_t first;
  int32_t pairs;
  int32_t position;  // of the tile's first key on the group's path
};

// Heights of tiles. In float32 a block has one warp, so that its tiles fit into shared memory.
inline constexpr int kAttentionRows = 16;  // of a warp: mma's m16
inline int attention_tile(Compute compute) {
  return compute == Compute::kBf16 ? 4 * kAttentionRows : kAttentionRows;
}

struct AttentionPlan {
  // Whether every group fits one warp's rows, as in generation: tiles are then that high.
  bool few = false;
  std::vector<QueryTile> query_tiles;
  std::vector<int32_t> query_longest;  // [query tiles] the largest position of its rows, plus 1
  // Every key row is in one tile, whether a query sees it or not; only for the backward.
  std::vector<KeyTile> key_tiles;
  std::vector<KeyVisit> visits;  // in the order of groups
};

AttentionPlan plan_forward(const PathsView& paths, const AttentionShape& shape, Compute compute);
AttentionPlan plan_backward(const PathsView& paths, int64_t key_rows, const AttentionShape& shape,
                            Compute compute);

}  // namespace valora::cuda
