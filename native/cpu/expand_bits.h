// The formats whose numbers are put together from several planes of bits: fifth bits (Q5_0, Q5_1,
// Q5_K), bit pairs (Q6_K), and Q4_K, whose scales are. A block's numbers become bytes first, in
// loops that the compiler vectorises, and float32 then; products and differences are those of
// core/dequantize.cc, in its order.
#pragma once

#include "core/dequantize.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

// out[0..32) = scale q - minimum.
VALORA_INLINE void scale_bytes(const uint8_t* q, F16 scale, F16 minimum, float* out) {
  for (int64_t i = 0; i < 32; i += kVector) {
    store(out + i, sub(mul(scale, from_i8(q + i)), minimum));
  }
}

VALORA_INLINE F16 half_at(const uint8_t* p) { return broadcast(scalar_from_f16(p)); }

// q[0..32) = the numbers of a Q5_0 or Q5_1 block: nibbles, and bit i of `high` as the fifth of i.
VALORA_INLINE void join_fifth_bits(const uint8_t* nibbles, const uint8_t* high, uint8_t* q) {
  uint32_t bits;
  std::memcpy(&bits, high, 4);
  for (uint32_t i = 0; i < 16; ++i) {
    q[i] = static_cast<uint8_t>((nibbles[i] & 15) | ((bits >> i) & 1) << 4);
    q[16 + i] = static_cast<uint8_t>(nibbles[i] >> 4 | ((bits >> (16 + i)) & 1) << 4);
  }
}

static inline void expand_q5_0(const uint8_t* block, float* out) {
  uint8_t q[32];
  join_fifth_bits(block + 6, block + 2, q);
  const F16 d = half_at(block);
  for (int64_t i = 0; i < 32; i += kVector) {
    store(out + i, mul(d, sub(from_i8(q + i), broadcast(16.0f))));
  }
}

static inline void expand_q5_1(const uint8_t* block, float* out) {
  uint8_t q[32];
  join_fifth_bits(block + 8, block + 4, q);
  const F16 d = half_at(block), m = half_at(block + 2);
  for (int64_t i = 0; i < 32; i += kVector) {
    store(out + i, add(mul(d, from_i8(q + i)), m));
  }
}

// Q4_K and Q5_K: groups of 32 with a scale and a minimum each; `fifth` is null for Q4_K.
VALORA_INLINE void expand_k_groups(const uint8_t* block, const uint8_t* fifth,
                                   const uint8_t* nibbles, float* out) {
  const float d = scalar_from_f16(block), dmin = scalar_from_f16(block + 2);
  for (int g = 0; g < 8; ++g) {
    int scale, minimum;
    scale_and_minimum(block + 4, g, &scale, &minimum);
    const uint8_t* plane = nibbles + g / 2 * 32;
    uint8_t q[32];
    for (int i = 0; i < 32; ++i) {
      q[i] = static_cast<uint8_t>(plane[i] >> (g % 2 * 4) & 15);
      if (fifth != nullptr) q[i] = static_cast<uint8_t>(q[i] | (fifth[i] >> g & 1) << 4);
    }
    scale_bytes(q, broadcast(d * static_cast<float>(scale)),
                broadcast(dmin * static_cast<float>(minimum)), out + 32 * g);
  }
}

static inline void expand_q4_k(const uint8_t* block, float* out) {
  expand_k_groups(block, nullptr, block + 16, out);
}
static inline void expand_q5_k(const uint8_t* block, float* out) {
  expand_k_groups(block, block + 16, block + 48, out);
}

// Groups of 16 with a signed scale each; 64 bytes of nibbles and 32 of bit pairs hold 128 numbers.
static inline void expand_q6_k(const uint8_t* block, float* out) {
  const float d = scalar_from_f16(block + 208);
  for (int g = 0; g < 8; ++g) {
    const int part = g % 4;
    const uint8_t* low = block + g / 4 * 64 + part % 2 * 32;
    const uint8_t* high = block + 128 + g / 4 * 32;
    uint8_t q[32];
    for (int i = 0; i < 32; ++i) {
      q[i] =
          static_cast<uint8_t>((low[i] >> (part / 2 * 4) & 15) | (high[i] >> (2 * part) & 3) << 4);
    }
    for (int i = 0; i < 2; ++i) {
      const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + 2 * g + i]));
      store(out + 32 * g + 16 * i,
            mul(broadcast(scale), sub(from_i8(q + 16 * i), broadcast(32.0f))));
    }
  }
}

}  // namespace valora::VALORA_ISA
