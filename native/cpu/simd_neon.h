// F16 in four registers of AArch64's Advanced SIMD, which every AArch64 processor has.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace valora::VALORA_ISA {

// Lanes 0 .. 3, 4 .. 7, 8 .. 11, 12 .. 15.
struct F16 {
  float32x4_t a, b, c, d;
};

// What `quad` makes of each four lanes.
template <typename Quad>
VALORA_INLINE F16 each_quad(F16 x, const Quad& quad) {
  return {quad(x.a), quad(x.b), quad(x.c), quad(x.d)};
}
template <typename Quad>
VALORA_INLINE F16 each_quad(F16 x, F16 y, const Quad& quad) {
  return {quad(x.a, y.a), quad(x.b, y.b), quad(x.c, y.c), quad(x.d, y.d)};
}

VALORA_INLINE F16 broadcast(float x) {
  const float32x4_t v = vdupq_n_f32(x);
  return {v, v, v, v};
}
VALORA_INLINE F16 zero() { return broadcast(0.0f); }
VALORA_INLINE F16 load(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
VALORA_INLINE void store(float* p, F16 x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
// Of four lanes those before `count`, for any count. There are no masked loads and stores here.
VALORA_INLINE float32x4_t load_quad(const float* p, int64_t count) {
  if (count >= 4) return vld1q_f32(p);
  float32x4_t v = vdupq_n_f32(0.0f);
  if (count > 0) v = vld1q_lane_f32(p, v, 0);
  if (count > 1) v = vld1q_lane_f32(p + 1, v, 1);
  if (count > 2) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}
VALORA_INLINE void store_quad(float* p, float32x4_t v, int64_t count) {
  if (count >= 4) return vst1q_f32(p, v);
  if (count > 0) vst1q_lane_f32(p, v, 0);
  if (count > 1) vst1q_lane_f32(p + 1, v, 1);
  if (count > 2) vst1q_lane_f32(p + 2, v, 2);
}
VALORA_INLINE F16 load_partial(const float* p, int64_t count) {
  return {load_quad(p, count), load_quad(p + 4, count - 4), load_quad(p + 8, count - 8),
          load_quad(p + 12, count - 12)};
}
VALORA_INLINE void store_partial(float* p, F16 x, int64_t count) {
  store_quad(p, x.a, count);
  store_quad(p + 4, x.b, count - 4);
  store_quad(p + 8, x.c, count - 8);
  store_quad(p + 12, x.d, count - 12);
}

VALORA_INLINE F16 add(F16 a, F16 b) {
  return each_quad(a, b, [](float32x4_t x, float32x4_t y) { return vaddq_f32(x, y); });
}
VALORA_INLINE F16 sub(F16 a, F16 b) {
  return each_quad(a, b, [](float32x4_t x, float32x4_t y) { return vsubq_f32(x, y); });
}
VALORA_INLINE F16 mul(F16 a, F16 b) {
  return each_quad(a, b, [](float32x4_t x, float32x4_t y) { return vmulq_f32(x, y); });
}
VALORA_INLINE F16 div(F16 a, F16 b) {
  return each_quad(a, b, [](float32x4_t x, float32x4_t y) { return vdivq_f32(x, y); });
}
VALORA_INLINE F16 sqrt(F16 a) {
  return each_quad(a, [](float32x4_t x) { return vsqrtq_f32(x); });
}
// a * b + c, rounded once.
VALORA_INLINE F16 fma(F16 a, F16 b, F16 c) {
  return {vfmaq_f32(c.a, a.a, b.a), vfmaq_f32(c.b, a.b, b.b), vfmaq_f32(c.c, a.c, b.c),
          vfmaq_f32(c.d, a.d, b.d)};
}
// a > b ? a : b. (vmaxq_f32 would answer NaN where either is, and take 0 for larger than -0.)
VALORA_INLINE F16 max(F16 a, F16 b) {
  return each_quad(a, b,
                   [](float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); });
}
// a < b ? yes : no, and: x is NaN ? yes : no.
VALORA_INLINE F16 select_less(F16 a, F16 b, F16 yes, F16 no) {
  return {vbslq_f32(vcltq_f32(a.a, b.a), yes.a, no.a), vbslq_f32(vcltq_f32(a.b, b.b), yes.b, no.b),
          vbslq_f32(vcltq_f32(a.c, b.c), yes.c, no.c), vbslq_f32(vcltq_f32(a.d, b.d), yes.d, no.d)};
}
VALORA_INLINE F16 select_nan(F16 x, F16 yes, F16 no) {
  return {vbslq_f32(vceqq_f32(x.a, x.a), no.a, yes.a), vbslq_f32(vceqq_f32(x.b, x.b), no.b, yes.b),
          vbslq_f32(vceqq_f32(x.c, x.c), no.c, yes.c), vbslq_f32(vceqq_f32(x.d, x.d), no.d, yes.d)};
}
VALORA_INLINE F16 round_to_even(F16 x) {
  return each_quad(x, [](float32x4_t v) { return vrndnq_f32(v); });
}
// x * 2^(n >> 1) * 2^(n - (n >> 1)) for whole n.
VALORA_INLINE F16 scale_by_power(F16 x, F16 n) {
  return each_quad(x, n, [](float32x4_t value, float32x4_t power) {
    const int32x4_t whole = vcvtq_s32_f32(power);
    const int32x4_t half = vshrq_n_s32(whole, 1);
    const int32x4_t rest = vsubq_s32(whole, half);
    const int32x4_t bias = vdupq_n_s32(127);
    const float32x4_t first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    const float32x4_t second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return vmulq_f32(vmulq_f32(value, first), second);
  });
}

// Sixteen stored numbers at p, as float32.
VALORA_INLINE F16 from_i8(const uint8_t* p) {
  const int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
  const int16x8_t high = vmovl_high_s8(bytes);
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
          vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))};
}
// Eight numbers of two bytes each.
VALORA_INLINE uint16x8_t eight_halves(const uint8_t* p) {
  return vreinterpretq_u16_u8(vld1q_u8(p));
}
VALORA_INLINE F16 from_f16(const uint8_t* p) {
  const float16x8_t low = vreinterpretq_f16_u16(eight_halves(p));
  const float16x8_t high = vreinterpretq_f16_u16(eight_halves(p + 16));
  return {vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
          vcvt_high_f32_f16(high)};
}
VALORA_INLINE F16 from_bf16(const uint8_t* p) {
  const uint16x8_t low = eight_halves(p);
  const uint16x8_t high = eight_halves(p + 16);
  return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(low), 16)),
          vreinterpretq_f32_u32(vshll_high_n_u16(low, 16)),
          vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(high), 16)),
          vreinterpretq_f32_u32(vshll_high_n_u16(high, 16))};
}
// The even and the odd numbers of sixteen pairs of bfloat16.
VALORA_INLINE void from_bf16_pairs(const uint8_t* p, F16* even, F16* odd) {
  float32x4_t* evens[] = {&even->a, &even->b, &even->c, &even->d};
  float32x4_t* odds[] = {&odd->a, &odd->b, &odd->c, &odd->d};
  for (int q = 0; q < 4; ++q) {
    const uint32x4_t pairs = vreinterpretq_u32_u8(vld1q_u8(p + 16 * q));
    *evens[q] = vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16));
    *odds[q] = vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xffff0000u)));
  }
}
VALORA_INLINE float scalar_from_f16(const uint8_t* p) {
  uint16_t half;
  __builtin_memcpy(&half, p, 2);
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}
VALORA_INLINE F16 from_u8(uint8x16_t bytes) {
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
  const uint16x8_t high = vmovl_high_u8(bytes);
  return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_high_u16(low)),
          vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_high_u16(high))};
}
// The low and the high nibbles of sixteen bytes.
VALORA_INLINE void from_nibbles(const uint8_t* p, F16* low, F16* high) {
  const uint8x16_t bytes = vld1q_u8(p);
  *low = from_u8(vandq_u8(bytes, vdupq_n_u8(15)));
  *high = from_u8(vshrq_n_u8(bytes, 4));
}

// A 4 x 4 block of what transpose does.
VALORA_INLINE void transpose_4(const float* src, int64_t src_stride, float* dst,
                               int64_t dst_stride) {
  const float32x4_t row0 = vld1q_f32(src);
  const float32x4_t row1 = vld1q_f32(src + src_stride);
  const float32x4_t row2 = vld1q_f32(src + 2 * src_stride);
  const float32x4_t row3 = vld1q_f32(src + 3 * src_stride);
  // Columns 0 and 2, or 1 and 3, of two rows; pairs of such pairs are whole columns.
  const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(row0, row1));
  const float64x2_t odd01 = vreinterpretq_f64_f32(vtrn2q_f32(row0, row1));
  const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(row2, row3));
  const float64x2_t odd23 = vreinterpretq_f64_f32(vtrn2q_f32(row2, row3));
  vst1q_f32(dst, vreinterpretq_f32_f64(vtrn1q_f64(even01, even23)));
  vst1q_f32(dst + dst_stride, vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23)));
  vst1q_f32(dst + 2 * dst_stride, vreinterpretq_f32_f64(vtrn2q_f64(even01, even23)));
  vst1q_f32(dst + 3 * dst_stride, vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23)));
}

// dst[j * dst_stride + i] = src[i * src_stride + j] for i, j in [0, 16).
VALORA_INLINE void transpose(const float* src, int64_t src_stride, float* dst, int64_t dst_stride) {
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 16; j += 4) {
      transpose_4(src + i * src_stride + j, src_stride, dst + j * dst_stride + i, dst_stride);
    }
  }
}

}  // namespace valora::VALORA_ISA
