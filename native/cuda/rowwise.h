// Kernels that look at one number of a row at a time: a thread for four neighbours, a block for
// 1024 of them, blocks numbered row by row in x (a grid's y would end at 65,535 rows).
#pragma once

#include "cuda/quad.h"

namespace valora::cuda {

inline constexpr int kRowwiseBlock = 256;

struct Place {
  int64_t row;
  int64_t column;
};

inline int64_t blocks_a_row(int64_t cols) {
  return (cols + kRowwiseBlock * kQuad - 1) / (kRowwiseBlock * kQuad);
}

inline dim3 rowwise_grid(int64_t rows, int64_t cols) {
  return dim3(static_cast<unsigned>(rows * blocks_a_row(cols)));
}

// The column may be past the row's end.
__device__ __forceinline__ Place rowwise_place(int64_t blocks_a_row) {
  const int64_t piece = blockIdx.x % blocks_a_row;
  return {blockIdx.x / blocks_a_row, (piece * kRowwiseBlock + threadIdx.x) * kQuad};
}

}  // namespace valora::cuda
