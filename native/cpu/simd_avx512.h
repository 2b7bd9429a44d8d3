// F16 in one AVX-512 register (x86-64-v4).
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace valora::VALORA_ISA {

struct F16 {
  __m512 v;
};

VALORA_INLINE __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>((1u << count) - 1);
}

VALORA_INLINE F16 zero() { return {_mm512_setzero_ps()}; }
VALORA_INLINE F16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
VALORA_INLINE F16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
VALORA_INLINE F16 load_partial(const float* p, int64_t count) {
  return {_mm512_maskz_loadu_ps(first_lanes(count), p)};
}
VALORA_INLINE void store(float* p, F16 x) { _mm512_storeu_ps(p, x.v); }
VALORA_INLINE void store_partial(float* p, F16 x, int64_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), x.v);
}

VALORA_INLINE F16 add(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
VALORA_INLINE F16 sub(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
VALORA_INLINE F16 mul(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
VALORA_INLINE F16 div(F16 a, F16 b) { return {_mm512_div_ps(a.v, b.v)}; }
VALORA_INLINE F16 sqrt(F16 a) { return {_mm512_sqrt_ps(a.v)}; }
// a * b + c, rounded once.
VALORA_INLINE F16 fma(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// a > b ? a : b.
VALORA_INLINE F16 max(F16 a, F16 b) { return {_mm512_max_ps(a.v, b.v)}; }
// a < b ? yes : no, and: x is NaN ? yes : no.
VALORA_INLINE F16 select_less(F16 a, F16 b, F16 yes, F16 no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
VALORA_INLINE F16 select_nan(F16 x, F16 yes, F16 no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q), no.v, yes.v)};
}
VALORA_INLINE F16 round_to_even(F16 x) {
  return {_mm512_roundscale_ps(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// x * 2^(n >> 1) * 2^(n - (n >> 1)) for whole n.
VALORA_INLINE F16 scale_by_power(F16 x, F16 n) {
  const __m512i whole = _mm512_cvtps_epi32(n.v);
  const __m512i half = _mm512_srai_epi32(whole, 1);
  const __m512i rest = _mm512_sub_epi32(whole, half);
  const __m512i bias = _mm512_set1_epi32(127);
  const __m512 first = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(half, bias), 23));
  const __m512 second = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(rest, bias), 23));
  return {_mm512_mul_ps(_mm512_mul_ps(x.v, first), second)};
}

// Sixteen stored numbers at p, as float32.
VALORA_INLINE F16 from_i8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}
VALORA_INLINE F16 from_f16(const uint8_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
VALORA_INLINE F16 from_bf16(const uint8_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}
// The even and the odd numbers of sixteen pairs of bfloat16.
VALORA_INLINE void from_bf16_pairs(const uint8_t* p, F16* even, F16* odd) {
  const __m512i pairs = _mm512_loadu_si512(p);
  even->v = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  odd->v = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
}
VALORA_INLINE float scalar_from_f16(const uint8_t* p) {
  uint16_t half;
  __builtin_memcpy(&half, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}
// The low and the high nibbles of sixteen bytes.
VALORA_INLINE void from_nibbles(const uint8_t* p, F16* low, F16* high) {
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  low->v = _mm512_cvtepi32_ps(_mm512_and_si512(bytes, _mm512_set1_epi32(15)));
  high->v = _mm512_cvtepi32_ps(_mm512_srli_epi32(bytes, 4));
}

// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j in [0, 16).
VALORA_INLINE void transpose(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(src + i * src_stride);
    // Pairs of rows, then fours: b[4 g + j] holds column 4 q + j of rows 4 g .. 4 g + 3 in quarter
    // q.
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    const __m512 low01 = _mm512_unpacklo_ps(a[4 * g], a[4 * g + 1]);
    const __m512 high01 = _mm512_unpackhi_ps(a[4 * g], a[4 * g + 1]);
    const __m512 low23 = _mm512_unpacklo_ps(a[4 * g + 2], a[4 * g + 3]);
    const __m512 high23 = _mm512_unpackhi_ps(a[4 * g + 2], a[4 * g + 3]);
    b[4 * g] = _mm512_shuffle_ps(low01, low23, 0x44);
    b[4 * g + 1] = _mm512_shuffle_ps(low01, low23, 0xee);
    b[4 * g + 2] = _mm512_shuffle_ps(high01, high23, 0x44);
    b[4 * g + 3] = _mm512_shuffle_ps(high01, high23, 0xee);
  }
  // Quarters of four such registers make four whole columns.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 even01 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88);
    const __m512 odd01 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xdd);
    _mm512_storeu_ps(dst + j * dst_stride, _mm512_shuffle_f32x4(even01, even23, 0x88));
    _mm512_storeu_ps(dst + (4 + j) * dst_stride, _mm512_shuffle_f32x4(odd01, odd23, 0x88));
    _mm512_storeu_ps(dst + (8 + j) * dst_stride, _mm512_shuffle_f32x4(even01, even23, 0xdd));
    _mm512_storeu_ps(dst + (12 + j) * dst_stride, _mm512_shuffle_f32x4(odd01, odd23, 0xdd));
  }
}

}  // namespace valora::VALORA_ISA
