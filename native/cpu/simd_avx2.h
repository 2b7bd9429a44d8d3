// F16 in two AVX2 registers (x86-64-v3).
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace valora::VALORA_ISA {

struct F16 {
  __m256 lo;
  __m256 hi;
};

// All bits set in the lanes [0, count) of 8, for any count.
VALORA_INLINE __m256i first_lanes(int64_t count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
}

VALORA_INLINE F16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
VALORA_INLINE F16 broadcast(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
VALORA_INLINE F16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
VALORA_INLINE F16 load_partial(const float* p, int64_t count) {
  return {_mm256_maskload_ps(p, first_lanes(count)),
          _mm256_maskload_ps(p + 8, first_lanes(count - 8))};
}
VALORA_INLINE void store(float* p, F16 x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
VALORA_INLINE void store_partial(float* p, F16 x, int64_t count) {
  _mm256_maskstore_ps(p, first_lanes(count), x.lo);
  _mm256_maskstore_ps(p + 8, first_lanes(count - 8), x.hi);
}

VALORA_INLINE F16 add(F16 a, F16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
VALORA_INLINE F16 sub(F16 a, F16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
VALORA_INLINE F16 mul(F16 a, F16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
VALORA_INLINE F16 div(F16 a, F16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
VALORA_INLINE F16 sqrt(F16 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
// a * b + c, rounded once.
VALORA_INLINE F16 fma(F16 a, F16 b, F16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
// a > b ? a : b.
VALORA_INLINE F16 max(F16 a, F16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
// a < b ? yes : no, and: x is NaN ? yes : no.
VALORA_INLINE F16 select_less(F16 a, F16 b, F16 yes, F16 no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
VALORA_INLINE F16 select_nan(F16 x, F16 yes, F16 no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(x.lo, x.lo, _CMP_UNORD_Q)),
          _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(x.hi, x.hi, _CMP_UNORD_Q))};
}
VALORA_INLINE F16 round_to_even(F16 x) {
  return {_mm256_round_ps(x.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(x.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
VALORA_INLINE __m256 scale_by_power_8(__m256 x, __m256 n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(x, first), second);
}
// x * 2^(n >> 1) * 2^(n - (n >> 1)) for whole n.
VALORA_INLINE F16 scale_by_power(F16 x, F16 n) {
  return {scale_by_power_8(x.lo, n.lo), scale_by_power_8(x.hi, n.hi)};
}

// Sixteen stored numbers at p, as float32.
VALORA_INLINE F16 from_i8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
VALORA_INLINE F16 from_f16(const uint8_t* p) {
  const __m128i* halves = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
VALORA_INLINE __m256 from_bf16_8(const __m128i* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
VALORA_INLINE F16 from_bf16(const uint8_t* p) {
  const __m128i* halves = reinterpret_cast<const __m128i*>(p);
  return {from_bf16_8(halves), from_bf16_8(halves + 1)};
}
// The even and the odd numbers of sixteen pairs of bfloat16.
VALORA_INLINE void from_bf16_pairs(const uint8_t* p, F16* even, F16* odd) {
  const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32));
  const __m256i mask = _mm256_set1_epi32(-65536);
  even->lo = _mm256_castsi256_ps(_mm256_slli_epi32(first, 16));
  even->hi = _mm256_castsi256_ps(_mm256_slli_epi32(second, 16));
  odd->lo = _mm256_castsi256_ps(_mm256_and_si256(first, mask));
  odd->hi = _mm256_castsi256_ps(_mm256_and_si256(second, mask));
}
VALORA_INLINE float scalar_from_f16(const uint8_t* p) {
  uint16_t half;
  __builtin_memcpy(&half, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}
// The low and the high nibbles of sixteen bytes.
VALORA_INLINE void from_nibbles(const uint8_t* p, F16* low, F16* high) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i first = _mm256_cvtepu8_epi32(bytes);
  const __m256i second = _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8));
  const __m256i mask = _mm256_set1_epi32(15);
  low->lo = _mm256_cvtepi32_ps(_mm256_and_si256(first, mask));
  low->hi = _mm256_cvtepi32_ps(_mm256_and_si256(second, mask));
  high->lo = _mm256_cvtepi32_ps(_mm256_srli_epi32(first, 4));
  high->hi = _mm256_cvtepi32_ps(_mm256_srli_epi32(second, 4));
}

// An 8 x 8 block of what transpose does.
VALORA_INLINE void transpose_8(const float* src, int64_t src_stride, float* dst,
                               int64_t dst_stride) {
  __m256 b[8];
  // b[4 g + j] holds column j of rows 4 g .. 4 g + 3 in its low half, column 4 + j in its high
  // half.
#pragma GCC unroll 2
  for (int g = 0; g < 2; ++g) {
    const float* rows = src + 4 * g * src_stride;
    const __m256 a0 = _mm256_loadu_ps(rows);
    const __m256 a1 = _mm256_loadu_ps(rows + src_stride);
    const __m256 a2 = _mm256_loadu_ps(rows + 2 * src_stride);
    const __m256 a3 = _mm256_loadu_ps(rows + 3 * src_stride);
    const __m256 low01 = _mm256_unpacklo_ps(a0, a1);
    const __m256 high01 = _mm256_unpackhi_ps(a0, a1);
    const __m256 low23 = _mm256_unpacklo_ps(a2, a3);
    const __m256 high23 = _mm256_unpackhi_ps(a2, a3);
    b[4 * g] = _mm256_shuffle_ps(low01, low23, 0x44);
    b[4 * g + 1] = _mm256_shuffle_ps(low01, low23, 0xee);
    b[4 * g + 2] = _mm256_shuffle_ps(high01, high23, 0x44);
    b[4 * g + 3] = _mm256_shuffle_ps(high01, high23, 0xee);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    _mm256_storeu_ps(dst + j * dst_stride, _mm256_permute2f128_ps(b[j], b[4 + j], 0x20));
    _mm256_storeu_ps(dst + (4 + j) * dst_stride, _mm256_permute2f128_ps(b[j], b[4 + j], 0x31));
  }
}

// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j in [0, 16).
VALORA_INLINE void transpose(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  for (int i = 0; i < 16; i += 8) {
    for (int j = 0; j < 16; j += 8) {
      transpose_8(src + i * src_stride + j, src_stride, dst + j * dst_stride + i, dst_stride);
    }
  }
}

}  // namespace valora::VALORA_ISA
