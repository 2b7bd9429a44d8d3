// Pairs of bfloat16 numbers in sixteen lanes of 32 bits: what Compute::kBf16's products read. In a
// pair, the number of the smaller k is the low half.
//
// dot() is what VDPBF16PS does (Intel SDM, volume 2): the odd products are added first, then the
// even ones, each with one rounding to float32; subnormal operands and sums count as 0. It is
// composed of float32 instructions here; gemm_bf16.h has the kernel for processors that have the
// instruction itself.
#pragma once

#include "core/bf16.h"
#include "cpu/simd.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace valora::VALORA_ISA {

#if defined(__AVX512F__)

struct Pairs {
  __m512i v;
};

VALORA_INLINE Pairs load_pairs(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
VALORA_INLINE void store_pairs(uint32_t* p, Pairs x) { _mm512_storeu_si512(p, x.v); }
// The bits of the pairs, to be stored where floats were.
VALORA_INLINE F16 bits_of(Pairs x) { return {_mm512_castsi512_ps(x.v)}; }
VALORA_INLINE Pairs broadcast_pair(uint32_t pair) {
  return {_mm512_set1_epi32(static_cast<int>(pair))};
}
VALORA_INLINE F16 even_of(Pairs x) { return {_mm512_castsi512_ps(_mm512_slli_epi32(x.v, 16))}; }
VALORA_INLINE F16 odd_of(Pairs x) {
  return {_mm512_castsi512_ps(_mm512_and_si512(x.v, _mm512_set1_epi32(-65536)))};
}
// round_to_bf16 on every lane; the lower halves of the result's lanes are left over.
VALORA_INLINE __m512i rounded_bits(F16 x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  sum = _mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x400000));
  const __mmask16 small = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
  return _mm512_mask_and_epi32(sum, small, bits, _mm512_set1_epi32(INT32_MIN));
}
VALORA_INLINE Pairs join(F16 even, F16 odd) {
  return {_mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(rounded_bits(even), 16),
                                  rounded_bits(odd))};
}

#elif defined(__AVX2__)

struct Pairs {
  __m256i lo, hi;
};

VALORA_INLINE Pairs load_pairs(const uint32_t* p) {
  const __m256i* at = reinterpret_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
}
VALORA_INLINE void store_pairs(uint32_t* p, Pairs x) {
  __m256i* at = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(at, x.lo);
  _mm256_storeu_si256(at + 1, x.hi);
}
VALORA_INLINE Pairs broadcast_pair(uint32_t pair) {
  const __m256i x = _mm256_set1_epi32(static_cast<int>(pair));
  return {x, x};
}
VALORA_INLINE F16 even_of(Pairs x) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(x.lo, 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(x.hi, 16))};
}
VALORA_INLINE F16 odd_of(Pairs x) {
  const __m256i mask = _mm256_set1_epi32(-65536);
  return {_mm256_castsi256_ps(_mm256_and_si256(x.lo, mask)),
          _mm256_castsi256_ps(_mm256_and_si256(x.hi, mask))};
}
VALORA_INLINE __m256i rounded_bits_8(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i exponent = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f800000));
  const __m256i small = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
  const __m256i sign = _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN));
  return _mm256_blendv_epi8(_mm256_blendv_epi8(sum, quiet, nan), sign, small);
}
VALORA_INLINE Pairs join(F16 even, F16 odd) {
  return {_mm256_blend_epi16(_mm256_srli_epi32(rounded_bits_8(even.lo), 16), rounded_bits_8(odd.lo),
                             0xaa),
          _mm256_blend_epi16(_mm256_srli_epi32(rounded_bits_8(even.hi), 16), rounded_bits_8(odd.hi),
                             0xaa)};
}

VALORA_INLINE F16 bits_of(Pairs x) {
  return {_mm256_castsi256_ps(x.lo), _mm256_castsi256_ps(x.hi)};
}

#else

struct Pairs {
  uint32_t lane[kVector];
};

VALORA_INLINE Pairs load_pairs(const uint32_t* p) {
  Pairs x;
  std::memcpy(x.lane, p, sizeof x.lane);
  return x;
}
VALORA_INLINE void store_pairs(uint32_t* p, Pairs x) { std::memcpy(p, x.lane, sizeof x.lane); }
VALORA_INLINE Pairs broadcast_pair(uint32_t pair) {
  Pairs x;
  for (uint32_t& lane : x.lane) lane = pair;
  return x;
}
VALORA_INLINE F16 even_of(Pairs x) {
  float lanes[kVector];
  for (int i = 0; i < kVector; ++i) lanes[i] = float_from_bits(x.lane[i] << 16);
  return load(lanes);
}
VALORA_INLINE F16 odd_of(Pairs x) {
  float lanes[kVector];
  for (int i = 0; i < kVector; ++i) lanes[i] = float_from_bits(x.lane[i] & 0xffff0000u);
  return load(lanes);
}
VALORA_INLINE uint32_t upper_half(float x) {
  const float rounded = round_to_bf16(x);
  uint32_t bits;
  std::memcpy(&bits, &rounded, 4);
  return bits >> 16;
}
VALORA_INLINE Pairs join(F16 even, F16 odd) {
  float low[kVector], high[kVector];
  store(low, even);
  store(high, odd);
  Pairs x;
  for (int i = 0; i < kVector; ++i) x.lane[i] = upper_half(low[i]) | upper_half(high[i]) << 16;
  return x;
}
VALORA_INLINE F16 bits_of(Pairs x) {
  float lanes[kVector];
  std::memcpy(lanes, x.lane, sizeof lanes);
  return load(lanes);
}

#endif

VALORA_INLINE F16 dot(Pairs a, Pairs b, F16 sum) {
  return fma(even_of(a), even_of(b), fma(odd_of(a), odd_of(b), sum));
}

// While it lives, subnormal operands and results of this thread's float32 instructions are 0, as
// they are to VDPBF16PS. (Not on ARM, whose sums keep them.)
class FlushSubnormals {
 public:
#if defined(__SSE__)
  FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  FlushSubnormals() {}
#endif
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;
};

// Pairs that a row of `count` numbers takes: whole vectors of them.
VALORA_INLINE int64_t pairs_of(int64_t count) {
  return (count + 2 * kVector - 1) / (2 * kVector) * kVector;
}

// pairs[i] = row[2 i] and row[2 i + 1] rounded, 0 past `count` numbers.
VALORA_INLINE void round_row(const float* row, int64_t count, uint32_t* pairs) {
  for (int64_t k = 0; k < count; k += 2 * kVector) {
    float numbers[2 * kVector] = {}, even[kVector], odd[kVector];
    std::memcpy(numbers, row + k, min_of(2 * kVector, count - k) * 4);
    for (int i = 0; i < kVector; ++i) {
      even[i] = numbers[2 * i];
      odd[i] = numbers[2 * i + 1];
    }
    store_pairs(pairs + k / 2, join(load(even), load(odd)));
  }
}

}  // namespace valora::VALORA_ISA
