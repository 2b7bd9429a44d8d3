// Rounding to bfloat16, as Compute::kBf16 does it to both sides of a product with a frozen matrix:
// to nearest, ties to even, subnormal numbers to 0, as VCVTNEPS2BF16 does.
#pragma once

#include <cstdint>
#include <cstring>

namespace valora {

// (Static: the instruction sets each compile their own.)
static inline float round_to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude < 0x00800000u) {
    bits &= 0x80000000u;
  } else if (magnitude > 0x7f800000u) {
    bits |= 0x00400000u;  // NaN stays NaN
  } else {
    bits += 0x7fffu + ((bits >> 16) & 1);
  }
  bits &= 0xffff0000u;
  std::memcpy(&value, &bits, 4);
  return value;
}

}  // namespace valora
