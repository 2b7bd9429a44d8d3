// linear: y = x w^T + bias in bfloat16, products summed in float32 by the tensor cores.
//
//   x [N, I] float32       rounded once into x16 [N, P] of bfloat16, P = w.cols, zeros from I on
//   w [O, P] bfloat16      P = I rounded up to kLinearPad, zeros from I on
//   bias [1, O] or empty   y [N, O] float32, rows may lie apart; overwritten
//
// A block computes kTileRows x kTileCols of y with eight warps, two by four, each 64 x 32 of it.
// Slices of kTileDepth of both inputs come by cp.async through kStages buffers: while one is
// multiplied, the next two are on their way. For each 16 of depth a warp takes four ldmatrix.x4 for
// its rows and two for its columns and issues 16 mma: 2.7 mma an ldmatrix.
//
// A slice's row is 64 bytes, four chunks of 16. Chunk c of row r is kept at place c ^ (r / 2 % 4),
// so that the eight rows of an ldmatrix, and the eight chunks a quarter warp stores, meet all 32
// banks.
//
// One tile for every shape and no split of the depth: y[n, o] depends on row n and column o alone.
#include "cuda/cuda.h"
#include "cuda/ptx.h"
#include "cuda/rowwise.h"

namespace valora::cuda {

namespace {

constexpr int kTileRows = 128;
constexpr int kTileCols = 128;
constexpr int kTileDepth = 32;
constexpr int kStages = 3;
constexpr int kBlock = 256;
constexpr int kChunk = 8;  // numbers in 16 bytes
constexpr int kChunksARow = kTileDepth / kChunk;
constexpr int kStageNumbers = (kTileRows + kTileCols) * kTileDepth;

constexpr int kWarpRows = 64;
constexpr int kWarpCols = 32;
constexpr int kRowFragments = kWarpRows / 16;
constexpr int kColFragments = kWarpCols / 8;

// x16 = x rounded to nearest, zeros past x's columns. Columns count x16's.
template <bool kAligned>
__global__ void __launch_bounds__(kRowwiseBlock)
    round_kernel(Global<__nv_bfloat16> x16, int64_t padded, Rows<const float> x, int64_t cols,
                 int64_t blocks_a_row) {
  const Place at = rowwise_place(blocks_a_row);
  if (at.column >= padded) return;
  float4 v = make_float4(0, 0, 0, 0);
  if (at.column < cols) {
    v = load_quad<kAligned>(x.row(at.row) + at.column, cols - at.column);
  }
  struct alignas(8) Pairs {
    __nv_bfloat162 first, second;
  };
  store_as(x16 + (at.row * padded + at.column),
           Pairs{__floats2bfloat162_rn(v.x, v.y), __floats2bfloat162_rn(v.z, v.w)});
}

// Where chunk `chunk` of row `row` of a slice begins.
__device__ __forceinline__ int slice_place(int row, int chunk) {
  return row * kTileDepth + (chunk ^ (row >> 1 & 3)) * kChunk;
}

// Begins to copy rows [first, first + kRows) and columns [depth, depth + kTileDepth) of m
// [rows, padded]; zeros outside it.
template <int kRows>
__device__ __forceinline__ void begin_slice(Shared<__nv_bfloat16> slice,
                                            Global<const __nv_bfloat16> m, int64_t rows,
                                            int64_t padded, int64_t first, int64_t depth) {
#pragma unroll
  for (int j = 0; j < kRows * kChunksARow / kBlock; ++j) {
    const int i = j * kBlock + static_cast<int>(threadIdx.x);
    const int row = i / kChunksARow, chunk = i % kChunksARow;
    const int64_t from_row = first + row, from_column = depth + chunk * kChunk;
    const bool inside = from_row < rows && from_column < padded;
    // An address outside is not read, but is to be one all the same.
    const int64_t from = inside ? from_row * padded + from_column : 0;
    cp_async<16>(slice + slice_place(row, chunk), m + from, inside ? 16 : 0);
  }
}

__global__ void __launch_bounds__(kBlock)
    linear_forward_kernel(Rows<float> y, Global<const __nv_bfloat16> x,
                          Global<const __nv_bfloat16> w, Global<const float> bias, int64_t rows,
                          int64_t cols, int64_t padded) {
  const auto stages = static_shared<struct Stages, __nv_bfloat16, kStages * kStageNumbers>();
  const int64_t first_row = int64_t{blockIdx.y} * kTileRows;
  const int64_t first_col = int64_t{blockIdx.x} * kTileCols;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_row = warp / 4 * kWarpRows, warp_col = warp % 4 * kWarpCols;
  const auto slices = static_cast<int>((padded + kTileDepth - 1) / kTileDepth);

  const auto begin = [&](int slice) {
    if (slice < slices) {
      const Shared<__nv_bfloat16> stage = stages + slice % kStages * kStageNumbers;
      const int64_t depth = int64_t{slice} * kTileDepth;
      begin_slice<kTileRows>(stage, x, rows, padded, first_row, depth);
      begin_slice<kTileCols>(stage + kTileRows * kTileDepth, w, cols, padded, first_col, depth);
    }
    cp_async_commit();  // an empty group too: the count of groups is the count of slices
  };

  float sums[kRowFragments][kColFragments][4] = {};
  for (int slice = 0; slice < kStages - 1; ++slice) begin(slice);
  for (int slice = 0; slice < slices; ++slice) {
    cp_async_wait<kStages - 2>();
    // The slice is there for all, and all are done with the buffer that is filled next.
    __syncthreads();
    begin(slice + kStages - 1);
    const Shared<__nv_bfloat16> left = stages + slice % kStages * kStageNumbers;
    const Shared<__nv_bfloat16> right = left + kTileRows * kTileDepth;
#pragma unroll
    for (int step = 0; step < kTileDepth / 16; ++step) {
      uint32_t a[kRowFragments][4], b[kColFragments / 2][4];
      // Matrices of a: rows 0-7 and 8-15 at depth 0-7, then both at depth 8-15.
#pragma unroll
      for (int i = 0; i < kRowFragments; ++i) {
        const int row = warp_row + i * 16 + lane % 16, chunk = step * 2 + lane / 16;
        ldmatrix<4, false>(a[i], left + slice_place(row, chunk));
      }
      // Matrices of b: columns 0-7 at depth 0-7 and 8-15, then columns 8-15 at both.
#pragma unroll
      for (int j = 0; j < kColFragments / 2; ++j) {
        const int col = warp_col + j * 16 + lane / 16 * 8 + lane % 8;
        ldmatrix<4, false>(b[j], right + slice_place(col, step * 2 + lane / 8 % 2));
      }
#pragma unroll
      for (int i = 0; i < kRowFragments; ++i) {
#pragma unroll
        for (int j = 0; j < kColFragments; ++j) {
          const uint32_t pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
          mma<__nv_bfloat16>(sums[i][j], a[i], pair);
        }
      }
    }
  }

  // A lane holds neighbouring columns 2 (lane % 4) and one more of rows lane / 4 and eight on.
#pragma unroll
  for (int i = 0; i < kRowFragments; ++i) {
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      const int64_t row = first_row + warp_row + i * 16 + part / 2 * 8 + lane / 4;
      if (row >= rows) continue;
#pragma unroll
      for (int j = 0; j < kColFragments; ++j) {
        const int64_t col = first_col + warp_col + j * 8 + lane % 4 * 2 + part % 2;
        if (col >= cols) continue;
        const float added = bias ? load(bias + col) : 0.0f;
        store(y.row(row) + col, sums[i][j][part] + added);
      }
    }
  }
}

}  // namespace

void linear_forward(View y, void* x16, View x, const DeviceWeight& w, View bias, Stream stream) {
  if (w.dtype != Dtype::kBF16 || w.cols % kLinearPad != 0) {
    throw Error(ErrorCode::kInternal,
                "linear_forward: the weight is not bfloat16 with padded rows");
  }
  auto* rounded = static_cast<__nv_bfloat16*>(x16);
  by_alignment(quad_aligned(x, x.cols), [&](auto is_aligned) {
    launch(round_kernel<is_aligned>,
           {"linear_round", rowwise_grid(x.rows, w.cols), kRowwiseBlock, 0, stream}, rounded,
           w.cols, rows_of<const float>(x), x.cols, blocks_a_row(w.cols));
  });
  const dim3 grid(static_cast<unsigned>((y.cols + kTileCols - 1) / kTileCols),
                  static_cast<unsigned>((y.rows + kTileRows - 1) / kTileRows));
  launch(linear_forward_kernel, {"linear_forward", grid, kBlock, 0, stream}, rows_of<float>(y),
         rounded, static_cast<const __nv_bfloat16*>(w.data), bias.empty() ? nullptr : bias.data,
         y.rows, y.cols, w.cols);
}

}  // namespace valora::cuda
