// exp and what follows from it, one lane at a time: the definition that every SIMD version equals
// to the bit (cpu/simd.h runs the same steps on 16 lanes).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// CUDA kernels use these too.
#ifdef __CUDACC__
#define VALORA_ANYWHERE __host__ __device__
#else
#define VALORA_ANYWHERE
#endif

namespace valora {

// e^x in float32. x = n ln 2 + r with |r| <= ln 2 / 2 (two-part reduction), e^r by a degree-6
// Taylor-like polynomial (Cephes expf's coefficients), scaled by 2^n in two factors. Below -87 the
// result is 0, above 88.3762 infinity; NaN stays NaN. Largest error: measured in
// native/test/scalar_math_test.cc.
VALORA_ANYWHERE inline float exp_scalar(float x) {
  if (!(x >= -87.0f)) return x != x ? x : 0.0f;
  if (x > 88.3762f) return INFINITY;
  const float n = std::nearbyintf(x * 1.44269504088896341f);
  float r = std::fmaf(n, -0.693359375f, x);
  r = std::fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = std::fmaf(p, r, 1.3981999507e-3f);
  p = std::fmaf(p, r, 8.3334519073e-3f);
  p = std::fmaf(p, r, 4.1665795894e-2f);
  p = std::fmaf(p, r, 1.6666665459e-1f);
  p = std::fmaf(p, r, 5.0000001201e-1f);
  p = std::fmaf(p * r, r, r) + 1.0f;
  const int32_t half = static_cast<int32_t>(n) >> 1;
  const int32_t rest = static_cast<int32_t>(n) - half;
  uint32_t bits = static_cast<uint32_t>(half + 127) << 23;
  float first;
  std::memcpy(&first, &bits, 4);
  bits = static_cast<uint32_t>(rest + 127) << 23;
  float second;
  std::memcpy(&second, &bits, 4);
  return p * first * second;
}

// silu(x) = x / (1 + e^-x), and its derivative.
VALORA_ANYWHERE inline float silu_scalar(float x) { return x / (1.0f + exp_scalar(-x)); }

}  // namespace valora
