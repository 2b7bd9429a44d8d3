// lora_gradient: da[R, I] += dt^T x and db[O, R] += scale dy^T t, tree by tree.
//
//   x [N, I], dy [N, O]          float32, the wide ones; t, dt [N, >= R] float32, the thin ones
//   da [R, I], db [O, R]         added to; rows of all may lie apart
//   trees [B]                    rows [begin, begin + count) of each
//
// A block owns kCols columns of the wide matrix and kLoraRanks ranks of the thin one for all trees;
// so nothing is added to by two blocks, and there are no atomics. Within a tree its warps take rows
// kWarpRows at a time in turn, each a float32 chain in row order; at the tree's end the warps' sums
// are added, warps ascending, and the tree's sum is added to what was there. So a tree's
// contribution depends on its own rows alone, and trees are added in order.
//
// The wide matrix is read once, straight into registers; the thin one by slices of kSliceRows rows
// through two buffers of shared memory.
#include "cuda/lora.h"

namespace valora::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;
constexpr int kLaneCols = 2;
constexpr int kCols = kLaneCols * kWarp;
constexpr int kWarpRows = 8;
constexpr int kSliceRows = kWarps * kWarpRows;
constexpr int kOwned = kCols * kLoraRanks / kBlock;  // results a thread finishes
constexpr int kSliceNumbers = kSliceRows * kLoraRanks;

// Result (c, r) of a block is at out[r, c], kByRank, or at out[c, r].
template <bool kByRank>
__global__ void __launch_bounds__(kBlock)
    lora_gradient_kernel(Rows<float> out, int64_t cols, int64_t ranks, Rows<const float> wide,
                         Rows<const float> thin, float scale, Global<const int64_t> trees,
                         int64_t tree_count) {
  const Shared<float> slices = static_shared<struct Slices, float, 2 * kSliceNumbers>();
  const Shared<float> partial =
      static_shared<struct Partial, float, kWarps * kThinNumbers<kCols>>();
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kWarp, lane = thread % kWarp;
  const int64_t first_col = int64_t{blockIdx.x} * kCols;
  const int64_t first_rank = int64_t{blockIdx.y} * kLoraRanks;

  // The results that this thread owns, side by side in the output for neighbouring threads.
  const auto owned = [&](int k, auto use) {
    const int i = k * kBlock + thread;
    const int c = kByRank ? i % kCols : i / kLoraRanks;
    const int r = kByRank ? i / kCols : i % kLoraRanks;
    const int64_t col = first_col + c, rank = first_rank + r;
    if (col < cols && rank < ranks) {
      use(kByRank ? out.row(rank) + col : out.row(col) + rank, r * kThinStride<kCols> + c);
    }
  };
  float totals[kOwned] = {};
#pragma unroll
  for (int k = 0; k < kOwned; ++k) {
    owned(k, [&](Global<float> place, int) { totals[k] = load(place); });
  }

  for (int64_t tree = 0; tree < tree_count; ++tree) {
    const int64_t begin = load(trees + 2 * tree), end = begin + load(trees + (2 * tree + 1));
    if (begin == end) continue;
    // Rows [row, row + kSliceRows) of the thin matrix into a buffer; zeros past the tree's end.
    const auto stage = [&](int64_t row, Shared<float> slice) {
#pragma unroll
      for (int k = 0; k < kSliceNumbers / kBlock; ++k) {
        const int i = k * kBlock + thread;
        const int64_t n = row + i / kLoraRanks, rank = first_rank + i % kLoraRanks;
        store(slice + i, n < end && rank < ranks ? load(thin.row(n) + rank) : 0.0f);
      }
    };
    float sums[kLaneCols][kLoraRanks] = {};
    stage(begin, slices);
    int buffer = 0;
    for (int64_t row = begin; row < end; row += kSliceRows, buffer ^= 1) {
      float v[kWarpRows][kLaneCols];
#pragma unroll
      for (int i = 0; i < kWarpRows; ++i) {
#pragma unroll
        for (int j = 0; j < kLaneCols; ++j) {
          const int64_t n = row + warp * kWarpRows + i, c = first_col + j * kWarp + lane;
          v[i][j] = n < end && c < cols ? load(wide.row(n) + c) : 0.0f;
        }
      }
      // The slice is there for all, and all are done with the other buffer.
      __syncthreads();
      if (row + kSliceRows < end) {
        stage(row + kSliceRows, slices + (buffer ^ 1) * kSliceNumbers);
      }
      const Shared<float> slice = slices + (buffer * kSliceNumbers + warp * kWarpRows * kLoraRanks);
#pragma unroll
      for (int i = 0; i < kWarpRows; ++i) {
#pragma unroll
        for (int r = 0; r < kLoraRanks; r += 4) {
          const auto low = load_as<float4>(slice + (i * kLoraRanks + r));
#pragma unroll
          for (int j = 0; j < kLaneCols; ++j) {
            sums[j][r] = fmaf(v[i][j], low.x, sums[j][r]);
            sums[j][r + 1] = fmaf(v[i][j], low.y, sums[j][r + 1]);
            sums[j][r + 2] = fmaf(v[i][j], low.z, sums[j][r + 2]);
            sums[j][r + 3] = fmaf(v[i][j], low.w, sums[j][r + 3]);
          }
        }
      }
    }
    const Shared<float> mine = partial + warp * kThinNumbers<kCols>;
#pragma unroll
    for (int j = 0; j < kLaneCols; ++j) {
#pragma unroll
      for (int r = 0; r < kLoraRanks; ++r) {
        store(mine + (r * kThinStride<kCols> + j * kWarp + lane), sums[j][r]);
      }
    }
    // All sums are there; they are written again after the next tree's first barrier.
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kOwned; ++k) {
      owned(k, [&](Global<float>, int place) {
        float sum = 0;
        for (int w = 0; w < kWarps; ++w) sum += load(partial + (w * kThinNumbers<kCols> + place));
        totals[k] += scale * sum;
      });
    }
  }
#pragma unroll
  for (int k = 0; k < kOwned; ++k) {
    owned(k, [&](Global<float> place, int) { store(place, totals[k]); });
  }
}

template <bool kByRank>
void start(View out, View wide, View thin, float scale, const RowRange* trees, int64_t tree_count,
           Stream stream) {
  static_assert(sizeof(RowRange) == 2 * sizeof(int64_t));
  const int64_t cols = kByRank ? out.cols : out.rows;
  const int64_t ranks = kByRank ? out.rows : out.cols;
  const dim3 grid(static_cast<unsigned>((cols + kCols - 1) / kCols),
                  static_cast<unsigned>((ranks + kLoraRanks - 1) / kLoraRanks));
  launch(lora_gradient_kernel<kByRank>, {"lora_gradient", grid, kBlock, 0, stream},
         Rows<float>{out.data, out.stride}, cols, ranks, Rows<const float>{wide.data, wide.stride},
         Rows<const float>{thin.data, thin.stride}, scale, reinterpret_cast<const int64_t*>(trees),
         tree_count);
}

}  // namespace

void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, Stream stream) {
  if (!da.empty()) start<true>(da, x, dt, 1, trees, tree_count, stream);
  if (!db.empty()) start<false>(db, dy, t, scale, trees, tree_count, stream);
}

}  // namespace valora::cuda
