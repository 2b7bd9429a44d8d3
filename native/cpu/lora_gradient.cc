// lora_gradient: da += dt^T x and db += scale dy^T t, tree by tree. Both are sums over a tree's
// rows of an outer product of R numbers with a long row, so both take a strip of columns at a time
// and keep the strip's sums for a few of the R in registers while the tree's rows pass.
#include "cpu/cpu.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

namespace {

constexpr int kRankRows = 4;  // ranks side by side
#if VALORA_NEON
constexpr int kStripVectors = 1;  // by 16 columns: half of the registers
#else
constexpr int kStripVectors = 4;  // by 64 columns
#endif
constexpr int64_t kStrip = kStripVectors * kVector;

// sums[r * kStrip + j] = sum over n < rows of low[n, r] * wide[n, j], r < R, j < cols: chains in
// row order.
template <int R>
void outer_products(const float* low, int64_t low_stride, const float* wide, int64_t wide_stride,
                    int64_t rows, int64_t cols, float* sums) {
  F16 acc[R][kStripVectors];
  int64_t lanes[kStripVectors];
  for (int v = 0; v < kStripVectors; ++v) {
    lanes[v] = max_of(0, lanes_left(v * kVector, cols));
    for (int r = 0; r < R; ++r) acc[r][v] = zero();
  }
  const bool whole = cols == kStrip;
  for (int64_t n = 0; n < rows; ++n) {
    F16 x[kStripVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kStripVectors; ++v) {
      const float* from = wide + n * wide_stride + v * kVector;
      x[v] = whole ? load(from) : load_partial(from, lanes[v]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const F16 factor = broadcast(low[n * low_stride + r]);
#pragma GCC unroll 4
      for (int v = 0; v < kStripVectors; ++v) acc[r][v] = fma(factor, x[v], acc[r][v]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kStripVectors; ++v) store(sums + r * kStrip + v * kVector, acc[r][v]);
  }
}

// finish(r, count, strip's first column, columns, sums) for every block of a tree's sums of low^T
// wide.
template <typename Finish>
void reduce_trees(View low, int64_t rank, View wide, const RowRange* trees, int64_t tree_count,
                  const Context& context, const Finish& finish) {
  parallel_for(context, (wide.cols + kStrip - 1) / kStrip, [&](int64_t strip, int) {
    const int64_t col = strip * kStrip;
    const int64_t cols = min_of(kStrip, wide.cols - col);
    float sums[kRankRows * kStrip];
    for (int64_t b = 0; b < tree_count; ++b) {
      const RowRange& tree = trees[b];
      if (tree.count == 0) continue;
      for (int64_t r = 0; r < rank; r += kRankRows) {
        const int64_t count = min_of(kRankRows, rank - r);
        const auto run = count == 4   ? outer_products<4>
                         : count == 3 ? outer_products<3>
                         : count == 2 ? outer_products<2>
                                      : outer_products<1>;
        run(low.row(tree.begin) + r, low.stride, wide.row(tree.begin) + col, wide.stride,
            tree.count, cols, sums);
        finish(r, count, col, cols, sums);
      }
    }
  });
}

}  // namespace

void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, const Scratch&,
                   const Context& context) {
  if (!da.empty()) {
    reduce_trees(dt, da.rows, x, trees, tree_count, context,
                 [&](int64_t first, int64_t count, int64_t col, int64_t cols, const float* sums) {
                   for (int64_t r = 0; r < count; ++r) {
                     float* out = da.row(first + r) + col;
                     for (int64_t j = 0; j < cols; ++j) out[j] += sums[r * kStrip + j];
                   }
                 });
  }
  if (!db.empty()) {
    reduce_trees(t, db.cols, dy, trees, tree_count, context,
                 [&](int64_t first, int64_t count, int64_t col, int64_t cols, const float* sums) {
                   for (int64_t j = 0; j < cols; ++j) {
                     float* out = db.row(col + j) + first;
                     for (int64_t r = 0; r < count; ++r) out[r] += scale * sums[r * kStrip + j];
                   }
                 });
  }
}

}  // namespace valora::VALORA_ISA
