// F16 as sixteen floats, in plain C++: what machines without AVX2 run. fma is libm's where the
// instruction set lacks one, exact all the same and slow; the loops are the compiler's to
// vectorise.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace valora::VALORA_ISA {

struct F16 {
  float lane[16];
};

template <typename Lane>
VALORA_INLINE F16 each_lane(const Lane& lane) {
  F16 y;
  for (int i = 0; i < 16; ++i) y.lane[i] = lane(i);
  return y;
}

VALORA_INLINE F16 broadcast(float x) {
  return each_lane([&](int) { return x; });
}
VALORA_INLINE F16 zero() { return broadcast(0.0f); }
VALORA_INLINE F16 load(const float* p) {
  return each_lane([&](int i) { return p[i]; });
}
VALORA_INLINE F16 load_partial(const float* p, int64_t count) {
  return each_lane([&](int i) { return i < count ? p[i] : 0.0f; });
}
VALORA_INLINE void store(float* p, F16 x) { std::memcpy(p, x.lane, sizeof x.lane); }
VALORA_INLINE void store_partial(float* p, F16 x, int64_t count) {
  for (int64_t i = 0; i < count && i < 16; ++i) p[i] = x.lane[i];
}

VALORA_INLINE F16 add(F16 a, F16 b) {
  return each_lane([&](int i) { return a.lane[i] + b.lane[i]; });
}
VALORA_INLINE F16 sub(F16 a, F16 b) {
  return each_lane([&](int i) { return a.lane[i] - b.lane[i]; });
}
VALORA_INLINE F16 mul(F16 a, F16 b) {
  return each_lane([&](int i) { return a.lane[i] * b.lane[i]; });
}
VALORA_INLINE F16 div(F16 a, F16 b) {
  return each_lane([&](int i) { return a.lane[i] / b.lane[i]; });
}
VALORA_INLINE F16 sqrt(F16 a) {
  return each_lane([&](int i) { return __builtin_sqrtf(a.lane[i]); });
}
// a * b + c, rounded once.
VALORA_INLINE F16 fma(F16 a, F16 b, F16 c) {
  return each_lane([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
// a > b ? a : b.
VALORA_INLINE F16 max(F16 a, F16 b) {
  return each_lane([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
// a < b ? yes : no, and: x is NaN ? yes : no.
VALORA_INLINE F16 select_less(F16 a, F16 b, F16 yes, F16 no) {
  return each_lane([&](int i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
}
VALORA_INLINE F16 select_nan(F16 x, F16 yes, F16 no) {
  return each_lane([&](int i) { return x.lane[i] != x.lane[i] ? yes.lane[i] : no.lane[i]; });
}
VALORA_INLINE F16 round_to_even(F16 x) {
  return each_lane([&](int i) { return __builtin_nearbyintf(x.lane[i]); });
}
// x * 2^(n >> 1) * 2^(n - (n >> 1)) for whole n; lanes with |n| > 252, which exp does not use,
// become 0.
VALORA_INLINE F16 scale_by_power(F16 x, F16 n) {
  return each_lane([&](int i) {
    if (!(n.lane[i] >= -252.0f && n.lane[i] <= 252.0f)) return 0.0f;
    const int32_t whole = static_cast<int32_t>(n.lane[i]);
    const int32_t half = whole >> 1;
    const uint32_t first_bits = static_cast<uint32_t>(half + 127) << 23;
    const uint32_t second_bits = static_cast<uint32_t>(whole - half + 127) << 23;
    float first;
    float second;
    std::memcpy(&first, &first_bits, 4);
    std::memcpy(&second, &second_bits, 4);
    return x.lane[i] * first * second;
  });
}

VALORA_INLINE float half_to_float(uint32_t half) {
  const uint32_t sign = (half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t fraction = half & 0x3ffu;
  uint32_t bits = sign | ((exponent + 112) << 23) | (fraction << 13);
  if (exponent == 0x1f) bits = sign | 0x7f800000u | (fraction << 13);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero or subnormal
    std::memcpy(&bits, &magnitude, 4);
    bits |= sign;
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
VALORA_INLINE uint32_t two_bytes(const uint8_t* p, int i) {
  return static_cast<uint32_t>(p[2 * i]) | static_cast<uint32_t>(p[2 * i + 1]) << 8;
}

VALORA_INLINE float bf16_to_float(uint32_t half) {
  const uint32_t bits = half << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Sixteen stored numbers at p, as float32.
VALORA_INLINE F16 from_i8(const uint8_t* p) {
  return each_lane([&](int i) { return static_cast<float>(static_cast<int8_t>(p[i])); });
}
VALORA_INLINE F16 from_f16(const uint8_t* p) {
  return each_lane([&](int i) { return half_to_float(two_bytes(p, i)); });
}
VALORA_INLINE F16 from_bf16(const uint8_t* p) {
  return each_lane([&](int i) { return bf16_to_float(two_bytes(p, i)); });
}
// The even and the odd numbers of sixteen pairs of bfloat16.
VALORA_INLINE void from_bf16_pairs(const uint8_t* p, F16* even, F16* odd) {
  *even = each_lane([&](int i) { return bf16_to_float(two_bytes(p, 2 * i)); });
  *odd = each_lane([&](int i) { return bf16_to_float(two_bytes(p, 2 * i + 1)); });
}
VALORA_INLINE float scalar_from_f16(const uint8_t* p) { return half_to_float(two_bytes(p, 0)); }
// The low and the high nibbles of sixteen bytes.
VALORA_INLINE void from_nibbles(const uint8_t* p, F16* low, F16* high) {
  *low = each_lane([&](int i) { return static_cast<float>(p[i] & 15); });
  *high = each_lane([&](int i) { return static_cast<float>(p[i] >> 4); });
}

// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j in [0, 16).
VALORA_INLINE void transpose(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) dst[j * dst_stride + i] = src[i * src_stride + j];
  }
}

}  // namespace valora::VALORA_ISA
