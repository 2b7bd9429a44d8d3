// F16: sixteen float32 lanes, the one vector type of the CPU backend. Each instruction set keeps it
// in its own registers (simd_avx512.h, simd_avx2.h, simd_neon.h, simd_generic.h) and gives every
// operation the same result to the bit; what is built from those operations is written once, below.
//
// Everything is in namespace valora::VALORA_ISA and forced inline: a shared inline function would
// become a weak symbol of which the linker keeps one copy, perhaps one this machine can't run. For
// the same reason the files that include this use no standard containers or algorithms.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifndef VALORA_ISA
#error "compile with VALORA_ISA naming the instruction set: avx512, avx2, neon or generic"
#endif

#define VALORA_INLINE static inline __attribute__((always_inline))

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// 1 where VALORA_ISA is neon, which no flag of the compiler tells from AArch64's generic set.
#define VALORA_IS_neon 1
#define VALORA_IS(isa) VALORA_IS_NAMED(isa)
#define VALORA_IS_NAMED(isa) VALORA_IS_##isa
#define VALORA_NEON VALORA_IS(VALORA_ISA)

#if defined(__AVX512F__)
#include "cpu/simd_avx512.h"
#elif defined(__AVX2__)
#include "cpu/simd_avx2.h"
#elif VALORA_NEON
#include "cpu/simd_neon.h"
#else
#include "cpu/simd_generic.h"
#endif

namespace valora::VALORA_ISA {

inline constexpr int64_t kVector = 16;

VALORA_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
VALORA_INLINE int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

VALORA_INLINE float float_from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Sixteen bytes in a register; zip_low and zip_high take the bytes of two by turns, of their first
// and of their second halves.
#if defined(__SSE2__)
using Bytes16 = __m128i;
VALORA_INLINE Bytes16 load_bytes(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
VALORA_INLINE void store_bytes(uint8_t* p, Bytes16 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x);
}
VALORA_INLINE Bytes16 zip_low(Bytes16 a, Bytes16 b) { return _mm_unpacklo_epi8(a, b); }
VALORA_INLINE Bytes16 zip_high(Bytes16 a, Bytes16 b) { return _mm_unpackhi_epi8(a, b); }
#elif VALORA_NEON
using Bytes16 = uint8x16_t;
VALORA_INLINE Bytes16 load_bytes(const uint8_t* p) { return vld1q_u8(p); }
VALORA_INLINE void store_bytes(uint8_t* p, Bytes16 x) { vst1q_u8(p, x); }
VALORA_INLINE Bytes16 zip_low(Bytes16 a, Bytes16 b) { return vzip1q_u8(a, b); }
VALORA_INLINE Bytes16 zip_high(Bytes16 a, Bytes16 b) { return vzip2q_u8(a, b); }
#endif

// out[j * 16 + i] = rows[i][j] for i, j in [0, 16).
VALORA_INLINE void transpose_bytes(const uint8_t* const rows[16], uint8_t* out) {
#if defined(__SSE2__) || VALORA_NEON
  Bytes16 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = load_bytes(rows[i]);
    // Interleaving the first half with the second rotates the eight bits of (row, column) by one:
    // four times exchanges the two.
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = zip_low(a[i], a[i + 8]);
      b[2 * i + 1] = zip_high(a[i], a[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) a[i] = b[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store_bytes(out + 16 * i, a[i]);
#else
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) out[j * 16 + i] = rows[i][j];
  }
#endif
}

// How many of the 16 lanes at `begin` lie before `end`.
VALORA_INLINE int64_t lanes_left(int64_t begin, int64_t end) {
  return min_of(kVector, end - begin);
}

// The lanes [0, count) of p; 0 in the others, whose memory is not touched.
VALORA_INLINE F16 load_some(const float* p, int64_t count) {
  return count == kVector ? load(p) : load_partial(p, count);
}
VALORA_INLINE void store_some(float* p, F16 x, int64_t count) {
  if (count == kVector) {
    store(p, x);
  } else {
    store_partial(p, x, count);
  }
}

// core/scalar_math.h's exp_scalar on every lane, the same steps in the same order.
VALORA_INLINE F16 exp(F16 x) {
  const F16 n = round_to_even(mul(x, broadcast(1.44269504088896341f)));
  F16 r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  F16 p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = add(fma(mul(p, r), r, r), broadcast(1.0f));
  F16 y = scale_by_power(p, n);
  y = select_less(x, broadcast(-87.0f), broadcast(0.0f), y);
  y = select_less(broadcast(88.3762f), x, broadcast(INFINITY), y);
  return select_nan(x, x, y);
}

// 1 / (1 + e^-x), the factor of silu(x) = x * sigmoid(x) computed as x / (1 + e^-x).
VALORA_INLINE F16 one_plus_exp_minus(F16 x) {
  return add(broadcast(1.0f), exp(sub(broadcast(0.0f), x)));
}

// The sum of the lanes: lane l += lane l + half, for half = 8, 4, 2, 1 (ops.h).
VALORA_INLINE float sum_lanes(F16 x) {
  float lanes[kVector];
  store(lanes, x);
  for (int half = 8; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// The largest lane; where lanes are NaN, which one is returned is left open.
VALORA_INLINE float max_lane(F16 x) {
  float lanes[kVector];
  store(lanes, x);
  for (int half = 8; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l)
      lanes[l] = lanes[l] > lanes[l + half] ? lanes[l] : lanes[l + half];
  }
  return lanes[0];
}

}  // namespace valora::VALORA_ISA
