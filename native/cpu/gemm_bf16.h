// Compute::kBf16's part of gemm.h: a packed tile becomes pairs of bfloat16 numbers along k, and the
// micro-kernels over them. An output element is one chain again: of pairs, k ascending, each added
// by bf16.h's dot().
#pragma once

#include "cpu/bf16.h"
#include "cpu/blocks.h"

namespace valora::VALORA_ISA {

// Turns a tile [panel, k, kPanel] of floats into pairs [panel, k / 2, kPanel] in its own place:
// row k / 2 of a panel lies before the rows that are still to be read. Panels stay where they are.
static inline uint32_t* round_tile(float* tile, int64_t panels, int64_t panel_floats,
                                   int64_t depth) {
  for (int64_t p = 0; p < panels; ++p) {
    float* panel = tile + p * panel_floats;
    for (int64_t k = 0; k < depth; k += 2) {
      for (int64_t v = 0; v < kPanelVectors; ++v) {
        const float* even = panel + k * kPanel + v * kVector;
        const Pairs pairs = join(load(even), k + 1 < depth ? load(even + kPanel) : zero());
        store(panel + k / 2 * kPanel + v * kVector, bits_of(pairs));
      }
    }
  }
  return reinterpret_cast<uint32_t*>(tile);
}

// c[R, Vectors * 16] = (first ? 0 : c) + a b over `pairs` pairs of one panel, a with rows a_stride
// pairs apart.
template <int R, int Vectors>
static void multiply_pairs(const uint32_t* a, int64_t a_stride, const uint32_t* panel,
                           int64_t pairs, float* c, int64_t c_stride, bool first) {
  F16 sums[R][Vectors];
  load_sums(sums, c, c_stride, first);
  for (int64_t k = 0; k < pairs; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Pairs b = load_pairs(panel + k * kPanel + v * kVector);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        sums[r][v] = dot(broadcast_pair(a[r * a_stride + k]), b, sums[r][v]);
      }
    }
  }
  store_sums(sums, c, c_stride);
}

// Fewer rows than float32's: the halves of a and b take registers too.
struct PairKernels {
  static constexpr int kRows = 4;
  template <int R, int Vectors>
  static constexpr BlockKernel<uint32_t> of() {
    return multiply_pairs<R, Vectors>;
  }
};

#if defined(__AVX512F__)

// multiply_pairs with the instruction that dot() is defined by.
template <int R, int Vectors>
__attribute__((target("avx512bf16"))) static void multiply_pairs_vdpbf16(
    const uint32_t* a, int64_t a_stride, const uint32_t* panel, int64_t pairs, float* c,
    int64_t c_stride, bool first) {
  F16 sums[R][Vectors];
  load_sums(sums, c, c_stride, first);
  for (int64_t k = 0; k < pairs; ++k) {
    __m512i b[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) b[v] = _mm512_loadu_si512(panel + k * kPanel + v * kVector);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const __m512i x = _mm512_set1_epi32(static_cast<int>(a[r * a_stride + k]));
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v].v = _mm512_dpbf16_ps(sums[r][v].v, (__m512bh)x, (__m512bh)b[v]);
      }
    }
  }
  store_sums(sums, c, c_stride);
}

struct Vdpbf16Kernels {
  static constexpr int kRows = 6;
  template <int R, int Vectors>
  static constexpr BlockKernel<uint32_t> of() {
    return multiply_pairs_vdpbf16<R, Vectors>;
  }
};

VALORA_INLINE bool has_vdpbf16() { return __builtin_cpu_supports("avx512bf16") != 0; }

#endif

// c[rows, cols] = (first ? 0 : c) + a tile, as gemm.h's multiply_tile() over pairs.
static inline void multiply_pairs_tile(const uint32_t* a, int64_t a_stride, int64_t rows,
                                       const uint32_t* tile, int64_t panel_stride, int64_t pairs,
                                       int64_t cols, float* c, int64_t c_stride, bool first) {
#if defined(__AVX512F__)
  if (has_vdpbf16()) {
    return multiply_blocks<Vdpbf16Kernels>(a, a_stride, rows, tile, panel_stride, pairs, cols, c,
                                           c_stride, first);
  }
#endif
  const FlushSubnormals flush;
  multiply_blocks<PairKernels>(a, a_stride, rows, tile, panel_stride, pairs, cols, c, c_stride,
                               first);
}

}  // namespace valora::VALORA_ISA
