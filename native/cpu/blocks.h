// What the micro-kernels of float32 and of bfloat16 pairs share: a block of sums in registers, and
// the walk over a packed right-hand side block by block.
#pragma once

#include "cpu/panels.h"

namespace valora::VALORA_ISA {

// A block of R rows by Vectors vectors of columns of c, whose rows are c_stride apart.
template <int R, int Vectors>
VALORA_INLINE void load_sums(F16 (&sums)[R][Vectors], const float* c, int64_t c_stride,
                             bool first) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      sums[r][v] = first ? zero() : load(c + r * c_stride + v * kVector);
    }
  }
}

template <int R, int Vectors>
VALORA_INLINE void store_sums(const F16 (&sums)[R][Vectors], float* c, int64_t c_stride) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(c + r * c_stride + v * kVector, sums[r][v]);
  }
}

// A micro-kernel: c = (first ? 0 : c) + a b over `depth` entries T of one panel [depth, kPanel], a
// with rows a_stride apart.
template <typename T>
using BlockKernel = void (*)(const T* a, int64_t a_stride, const T* panel, int64_t depth, float* c,
                             int64_t c_stride, bool first);

// Of a family's kernels Kernels::of<R, Vectors>() the one of `rows` <= R rows and `vectors` <=
// Vectors vectors of columns.
template <typename Kernels, int R = Kernels::kRows, int Vectors = kPanelVectors>
static inline auto block_kernel(int64_t rows, int64_t vectors) {
  if constexpr (R > 1) {
    if (rows < R) return block_kernel<Kernels, R - 1, Vectors>(rows, vectors);
  }
  if constexpr (Vectors > 1) {
    if (vectors < Vectors) return block_kernel<Kernels, R, Vectors - 1>(rows, vectors);
  }
  return Kernels::template of<R, Vectors>();
}

// c[rows, cols] = (first ? 0 : c) + a[rows, depth] b, b in panels that begin panel_stride entries
// apart; c with room for cols in whole vectors.
template <typename Kernels, typename T>
static inline void multiply_blocks(const T* a, int64_t a_stride, int64_t rows, const T* b,
                                   int64_t panel_stride, int64_t depth, int64_t cols, float* c,
                                   int64_t c_stride, bool first) {
  for (int64_t n = 0; n < rows; n += Kernels::kRows) {
    const int64_t count = min_of(Kernels::kRows, rows - n);
    for (int64_t j = 0; j < cols; j += kPanel) {
      const int64_t vectors = min_of(kPanelVectors, (cols - j + kVector - 1) / kVector);
      const BlockKernel<T> kernel = block_kernel<Kernels>(count, vectors);
      kernel(a + n * a_stride, a_stride, b + j / kPanel * panel_stride, depth, c + n * c_stride + j,
             c_stride, first);
    }
  }
}

}  // namespace valora::VALORA_ISA
