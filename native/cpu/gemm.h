// Products of float32 rows with a stored or float32 matrix: c[n, j] = sum over k of a[n, k] b[k,
// j], one fma chain per element in ascending k (ops.h). Goto & van de Geijn 2008 in outline: a tile
// of b is expanded and packed into panels that fit the registers' width, and a micro-kernel keeps a
// few rows by one panel of sums in registers over the tile's depth. Sums that need several tiles
// are kept, as float32, between them, which leaves the chain what it is; so tile sizes, threads and
// neighbours can't change a bit.
#pragma once

#include "core/context.h"
#include "core/ops.h"
#include "core/scratch.h"
#include "cpu/blocks.h"
#include "cpu/expand.h"
#include "cpu/gemm_bf16.h"
#include "cpu/panels.h"
#include "cpu/rows.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

// The micro-kernel's rows of sums, kPanel (panels.h) numbers each. 6 x 64 leaves 8 of AVX-512's 32
// registers for b and a, and takes 10 loads for 24 multiply-adds: 93 % of the peak on a Sapphire
// Rapids core, where 12 x 32, with 14 loads, reached 83 %. 6 x 16 leaves 4 of AVX2's 16, and 8 of
// NEON's 32, of which b takes 4: 24 chains keep four units of four cycles' latency busy.
#if defined(__AVX2__) || VALORA_NEON
inline constexpr int kRows = 6;
#else
inline constexpr int kRows = 4;
#endif
// As many rows as a stored panel is multiplied with while it is expanded, without a tile.
inline constexpr int64_t kFewRows = 4;
static_assert(kTileDepth % kGranule == 0 && kTileDepth % kPanel == 0);
static_assert(kTileDepth % kLargestBlock == 0);
static_assert(kPanel <= kWidestPanel && kTileCols % kPanel == 0);

VALORA_INLINE int64_t padded(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// The right-hand side: matrix[rows, cols], stored or float32. Transposed (the forward's W, [O, I])
// b[k, j] is its [j, k], else (the backward's) its [k, j]; `begin` is the row that counts as the
// first.
struct RightSide {
  const PanelWeight* weight = nullptr;
  View view;
  bool transposed = false;
  int64_t begin = 0;
};

// The left-hand side: rows of float32, and for Compute::kBf16 the same rounded.
struct LeftSide {
  View rows;
  const uint32_t* pairs = nullptr;  // rows of pairs_of(rows.cols), or null
};

// The left-hand side of a product with a frozen matrix; `memory` has room for pairs_bytes().
static inline LeftSide left_side(View rows, uint8_t* memory, const Context& context) {
  if (context.compute != Compute::kBf16) return {rows};
  uint32_t* pairs = reinterpret_cast<uint32_t*>(memory);
  const int64_t stride = pairs_of(rows.cols);
  for_rows(context, rows.rows, rows.cols,
           [&](int64_t n) { round_row(rows.row(n), rows.cols, pairs + n * stride); });
  return {rows, pairs};
}

VALORA_INLINE RightSide transposed_weight(const Weight& w, int64_t begin = 0) {
  return {static_cast<const PanelWeight*>(&w), View{}, true, begin};
}
VALORA_INLINE RightSide direct_weight(const Weight& w, int64_t begin = 0) {
  return {static_cast<const PanelWeight*>(&w), View{}, false, begin};
}
VALORA_INLINE RightSide transposed_view(View v) { return {nullptr, v, true, 0}; }
VALORA_INLINE RightSide direct_view(View v) { return {nullptr, v, false, 0}; }

// The parts of a worker's scratch (core/scratch.h).
struct Workspace {
  float* tile;   // [panels, depth, kPanel]
  float* sums;   // [kTileRows, kTileCols]
  float* strip;  // [16, depth + 16] and a spare
  float* rest;   // what the operation asked for beyond a product's
};

VALORA_INLINE Workspace workspace(const Scratch& scratch, int worker) {
  float* tile = static_cast<float*>(scratch.of(worker));
  float* sums = tile + kTileDepth * kTileCols;
  float* strip = sums + kTileRows * kTileCols;
  return {tile, sums, strip, strip + kStripFloats};
}

// What pack_tile() does where the matrix has panels; every extent is a multiple of the granule or
// ends the matrix.
template <Dtype D>
static void pack_panels(const RightSide& b, int64_t k_begin, int64_t depth, int64_t j_begin,
                        int64_t cols, float* tile, float* strip) {
  const int64_t panel_floats = padded(depth, kVector) * kPanel;
  if (b.transposed) {
    for (int64_t j = 0; j < cols; j += kPanel, tile += panel_floats) {
      const uint8_t* panel = b.weight->panel(b.begin + j_begin + j);
      for (int64_t k = 0; k < depth; k += kGranule) {
        float* out = tile + k * kPanel;
        visit_granule<D>(
            panel, (k_begin + k) / kGranule, min_of(kGranule, depth - k),
            [&](int64_t i, int v, F16 x) { store(out + i * kPanel + v * kVector, x); });
      }
    }
    return;
  }
  // The panels' rows are b's: a granule of a panel turns round into kPanel by kGranule.
  for (int64_t k = 0; k < depth; k += kPanel) {
    const uint8_t* panel = b.weight->panel(b.begin + k_begin + k);
    const int64_t rows = min_of(kPanel, depth - k);
    for (int64_t j = 0; j < cols; j += kGranule) {
      const int64_t count = min_of(kGranule, cols - j);
      for (int64_t i = count; i % kVector != 0; ++i) std::memset(strip + i * kPanel, 0, kPanel * 4);
      visit_granule<D>(panel, (j_begin + j) / kGranule, count, [&](int64_t i, int v, F16 x) {
        store(strip + i * kPanel + v * kVector, x);
      });
      for (int64_t i = 0; i < count; i += kVector) {
        float* out = tile + (j + i) / kPanel * panel_floats + (j + i) % kPanel;
        for (int64_t r = 0; r < rows; r += kVector) {
          transpose(strip + i * kPanel + r, kPanel, out + (k + r) * kPanel, kPanel);
        }
      }
    }
  }
}

// tile[panel, k, 0..kPanel) = b[k_begin + k, j_begin + panel * kPanel + ..] for k < depth, 0 past
// `cols` columns (as far as the micro-kernel looks). The tile has room for depth rounded up to 16.
static inline void pack_tile(const RightSide& b, int64_t k_begin, int64_t depth, int64_t j_begin,
                             int64_t cols, float* tile, float* strip) {
  if (b.weight != nullptr && b.weight->has_panels()) {
    with_panel_format(b.weight->source.dtype, [&]<Dtype D>() {
      pack_panels<D>(b, k_begin, depth, j_begin, cols, tile, strip);
    });
    return;
  }
  // Of the matrix: `count` numbers from `first` on, of one row after the other.
  const int64_t first = b.transposed ? k_begin : j_begin;
  const int64_t count = b.transposed ? depth : cols;
  BlockRange range{};
  if (b.weight != nullptr) range = block_range(*b.weight, first, count);
  const auto read = [&](int64_t row, float* out, float* spare) {
    if (b.weight != nullptr) {
      expand_range(*b.weight, range, b.weight->row(b.begin + row), out, spare);
    } else {
      std::memcpy(out, b.view.row(row) + first, count * 4);
    }
  };
  const int64_t panel_floats = padded(depth, kVector) * kPanel;
  if (b.transposed) {
    const int64_t stride = padded(depth, kVector) + kVector;  // not a power of two: fewer conflicts
    for (int64_t j = 0; j < cols; j += kVector) {
      const int64_t rows = lanes_left(j, cols);
      float* out = tile + j / kPanel * panel_floats + j % kPanel;
      for (int64_t i = 0; i < rows; ++i) {
        read(j_begin + j + i, strip + i * stride, strip + kVector * stride);
      }
      for (int64_t i = rows; i < kVector; ++i) std::memset(strip + i * stride, 0, depth * 4);
      for (int64_t k = 0; k < depth; k += kVector) {
        transpose(strip + k, stride, out + k * kPanel, kPanel);
      }
    }
    return;
  }
  const int64_t width = padded(cols, kVector);
  std::memset(strip, 0, width * 4);
  for (int64_t k = 0; k < depth; ++k) {
    read(k_begin + k, strip, strip + kTileCols);
    for (int64_t j = 0; j < width; j += kVector) {
      store(tile + j / kPanel * panel_floats + k * kPanel + j % kPanel, load(strip + j));
    }
  }
}

// c[R, Vectors * 16] = (first ? 0 : c) + a b over one panel, a with rows `a_stride` apart.
template <int R, int Vectors>
static void multiply_panel(const float* a, int64_t a_stride, const float* panel, int64_t depth,
                           float* c, int64_t c_stride, bool first) {
  F16 sums[R][Vectors];
  load_sums(sums, c, c_stride, first);
  for (int64_t k = 0; k < depth; ++k) {
    F16 b[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) b[v] = load(panel + k * kPanel + v * kVector);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const F16 x = broadcast(a[r * a_stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sums[r][v] = fma(x, b[v], sums[r][v]);
    }
  }
  store_sums(sums, c, c_stride);
}

struct FloatKernels {
  static constexpr int kRows = ::valora::VALORA_ISA::kRows;
  template <int R, int Vectors>
  static constexpr BlockKernel<float> of() {
    return multiply_panel<R, Vectors>;
  }
};

// c[rows, cols] = (first ? 0 : c) + a[rows, depth] tile; c's rows are c_stride apart, with room for
// cols rounded up to 16.
static inline void multiply_tile(const float* a, int64_t a_stride, int64_t rows, const float* tile,
                                 int64_t depth, int64_t cols, float* c, int64_t c_stride,
                                 bool first) {
  multiply_blocks<FloatKernels>(a, a_stride, rows, tile, padded(depth, kVector) * kPanel, depth,
                                cols, c, c_stride, first);
}

// c[R, cols] = a[R, depth] b over one stored panel, expanded in registers on the way.
template <Dtype D, int R>
static void multiply_stored(const float* a, int64_t a_stride, const uint8_t* panel, int64_t depth,
                            int64_t cols, float* c, int64_t c_stride) {
  F16 sums[R][kPanelVectors];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = zero();
  }
  for (int64_t k = 0; k < depth; k += kGranule) {
    const float* row = a + k;
    visit_granule<D>(panel, k / kGranule, min_of(kGranule, depth - k),
                     [&](int64_t i, int v, F16 x) {
#pragma GCC unroll 4
                       for (int r = 0; r < R; ++r) {
                         sums[r][v] = fma(broadcast(row[r * a_stride + i]), x, sums[r][v]);
                       }
                     });
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kPanelVectors; ++v) {
      if (v * kVector < cols) store(c + r * c_stride + v * kVector, sums[r][v]);
    }
  }
}

// c[rows, cols] = a[rows, depth] b for rows <= kFewRows of a stored matrix, columns [col, col +
// cols).
static inline void multiply_few(const float* a, int64_t a_stride, int64_t rows, const RightSide& b,
                                int64_t depth, int64_t col, int64_t cols, float* c,
                                int64_t c_stride) {
  with_panel_format(b.weight->source.dtype, [&]<Dtype D>() {
    const auto run = rows == 1   ? multiply_stored<D, 1>
                     : rows == 2 ? multiply_stored<D, 2>
                     : rows == 3 ? multiply_stored<D, 3>
                                 : multiply_stored<D, 4>;
    for (int64_t j = 0; j < cols; j += kPanel) {
      run(a, a_stride, b.weight->panel(b.begin + col + j), depth, min_of(kPanel, cols - j), c + j,
          c_stride);
    }
  });
}

// The columns a task takes: of the widths that panels allow, the one whose slowest thread has the
// least to do, a narrow tile paying for reading all of a once more.
VALORA_INLINE int64_t tile_cols(int64_t cols, int64_t row_blocks, int threads) {
  constexpr int64_t kOverhead = 8;  // columns' worth of time a tile costs besides its columns
  int64_t best = kTileCols;
  int64_t best_cost = INT64_MAX;
  constexpr int64_t kStep = kPanel > kGranule ? kPanel : kGranule;
  for (int64_t width = kTileCols; width >= kStep; width -= kStep) {
    const int64_t tasks = (cols + width - 1) / width * row_blocks;
    const int64_t cost = (tasks + threads - 1) / threads * (min_of(width, cols) + kOverhead);
    if (cost < best_cost) {
      best = width;
      best_cost = cost;
    }
  }
  return best;
}

// Part of a finished product: rows [row, row + rows) by columns [col, col + cols).
struct Finished {
  int64_t row;
  int64_t rows;
  int64_t col;
  int64_t cols;
  float* sums;
  int64_t stride;  // from row to row of the sums
  bool in_place;   // the sums lie in the output itself
  Workspace work;  // tile and strip are free again

  float* at(int64_t n) const { return sums + n * stride; }

  // Puts the sums where they belong, unless they were made there.
  void place(View out) const {
    if (in_place) return;
    for (int64_t n = 0; n < rows; ++n) std::memcpy(out.row(row + n) + col, at(n), cols * 4);
  }
};

// The depth of a product's tiles: all equal, since a shallow last one would move as many sums for
// few products; whole panels and granules of a matrix that has them, whole blocks of another, since
// a part costs what the whole does. A tile that few rows use stays in the first-level cache where
// its format allows.
VALORA_INLINE int64_t depth_of_tiles(const RightSide& b, int64_t depth, int64_t rows) {
  constexpr int64_t kFewForTile = 16;
  int64_t step = kGranule;
  if (b.weight != nullptr && b.weight->has_panels()) {
    if (!b.transposed) step = max_of(step, kPanel);
  } else if (b.weight != nullptr && b.transposed) {
    step = max_of(step, dtype_info(b.weight->source.dtype).block_size);
  }
  const int64_t deepest = rows <= kFewForTile ? kTileDepth / 8 : kTileDepth;
  const int64_t tiles = max_of(1, (depth + deepest - 1) / deepest);
  return padded((depth + tiles - 1) / tiles, step);
}

// Computes a[N, depth] b[depth, cols] block by block, and calls finish(Finished) on each, in any
// order, on any worker. Where `out`, [N, cols] or empty, has whole vectors of columns, the sums are
// made there: what it held is lost before finish() is called.
template <typename Finish>
static void product(View out, const LeftSide& left, const RightSide& b, int64_t cols,
                    const Scratch& scratch, const Context& context, const Finish& finish) {
  const View a = left.rows;
  if (a.rows == 0) return;
  const int64_t depth = a.cols;
  const bool few = left.pairs == nullptr && a.rows <= kFewRows && b.transposed &&
                   b.weight != nullptr && b.weight->has_panels();
  const int64_t tile_depth = depth_of_tiles(b, depth, a.rows);
  int64_t row_blocks = (a.rows + kTileRows - 1) / kTileRows;
  const int64_t width = tile_cols(cols, row_blocks, context.threads());
  const int64_t tiles = (cols + width - 1) / width;
  if (tiles * row_blocks < context.threads()) {
    row_blocks =
        min_of((context.threads() + tiles - 1) / tiles, (a.rows + 2 * kRows - 1) / (2 * kRows));
  }
  const int64_t block_rows =
      min_of(kTileRows, padded((a.rows + row_blocks - 1) / row_blocks, kRows));
  parallel_for(context, tiles * row_blocks, [&](int64_t index, int worker) {
    const Workspace work = workspace(scratch, worker);
    const int64_t row = index / tiles * block_rows;
    const int64_t rows = min_of(block_rows, a.rows - row);
    const int64_t col = index % tiles * width;
    const int64_t count = min_of(width, cols - col);
    if (rows <= 0) return;
    const bool in_place = !out.empty() && count % kVector == 0;
    float* sums = in_place ? out.row(row) + col : work.sums;
    const int64_t stride = in_place ? out.stride : kTileCols;
    if (few) {
      multiply_few(a.row(row), a.stride, rows, b, depth, col, count, sums, stride);
      return finish(Finished{row, rows, col, count, sums, stride, in_place, work});
    }
    for (int64_t k = 0; k < depth; k += tile_depth) {
      const int64_t part = min_of(tile_depth, depth - k);
      pack_tile(b, k, part, col, count, work.tile, work.strip);
      if (left.pairs == nullptr) {
        multiply_tile(a.row(row) + k, a.stride, rows, work.tile, part, count, sums, stride, k == 0);
        continue;
      }
      const int64_t panel = padded(part, kVector) * kPanel;
      const int64_t pair_stride = pairs_of(depth);
      const uint32_t* tile = round_tile(work.tile, (count + kPanel - 1) / kPanel, panel, part);
      multiply_pairs_tile(left.pairs + row * pair_stride + k / 2, pair_stride, rows, tile, panel,
                          (part + 1) / 2, count, sums, stride, k == 0);
    }
    finish(Finished{row, rows, col, count, sums, stride, in_place, work});
  });
}

}  // namespace valora::VALORA_ISA
