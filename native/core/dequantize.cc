// The stored number formats, decoded one block at a time. The block formats are ggml's
// (ggml-common.h and ggml-quants.c describe them); every result is rounded as gguf-py rounds it:
// each product and each sum to float32, never fused.
#include "core/dequantize.h"

#include <cstring>
#include <string>

#include "core/error.h"

namespace valora {

namespace {

constexpr int kSmallBlock = 32;   // Q4_0 to Q8_0
constexpr int kSuperBlock = 256;  // the K formats

constexpr DtypeInfo kInfo[] = {
    {"F32", 1, 4},      {"F16", 1, 2},      {"BF16", 1, 2},     {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},   {"Q5_0", 32, 22},   {"Q5_1", 32, 24},   {"Q8_0", 32, 34},
    {"Q2_K", 256, 84},  {"Q3_K", 256, 110}, {"Q4_K", 256, 144}, {"Q5_K", 256, 176},
    {"Q6_K", 256, 210},
};
constexpr int kDtypes = sizeof(kInfo) / sizeof(kInfo[0]);

template <typename T>
T load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// IEEE binary16 to binary32, exactly; NaN keeps its payload.
float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t fraction = half & 0x3ffu;
  if (exponent == 0x1f) return float_of_bits(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return float_of_bits(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero or subnormal
  return sign != 0 ? -magnitude : magnitude;
}

float load_half(const uint8_t* bytes) { return half_to_float(load<uint16_t>(bytes)); }

// d | 16 bytes of nibbles: low ones are numbers 0..15, high ones 16..31.
void decode_q4_0(const uint8_t* block, float* out) {
  const float d = load_half(block);
  for (int i = 0; i < kSmallBlock / 2; ++i) {
    const int byte = block[2 + i];
    out[i] = d * static_cast<float>((byte & 15) - 8);
    out[i + kSmallBlock / 2] = d * static_cast<float>((byte >> 4) - 8);
  }
}

// d | m | nibbles as in Q4_0.
void decode_q4_1(const uint8_t* block, float* out) {
  const float d = load_half(block);
  const float m = load_half(block + 2);
  for (int i = 0; i < kSmallBlock / 2; ++i) {
    const int byte = block[4 + i];
    out[i] = d * static_cast<float>(byte & 15) + m;
    out[i + kSmallBlock / 2] = d * static_cast<float>(byte >> 4) + m;
  }
}

// The 5-bit number i of a block: nibbles as in Q4_0, and bit i of `high` as its fifth bit.
int five_bits(const uint8_t* nibbles, uint32_t high, int i) {
  const int half = kSmallBlock / 2;
  const int low = i < half ? nibbles[i] & 15 : nibbles[i - half] >> 4;
  return low | static_cast<int>((high >> i) & 1u) << 4;
}

// d | 32 fifth bits | nibbles.
void decode_q5_0(const uint8_t* block, float* out) {
  const float d = load_half(block);
  const uint32_t high = load<uint32_t>(block + 2);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = d * static_cast<float>(five_bits(block + 6, high, i) - 16);
  }
}

// d | m | 32 fifth bits | nibbles.
void decode_q5_1(const uint8_t* block, float* out) {
  const float d = load_half(block);
  const float m = load_half(block + 2);
  const uint32_t high = load<uint32_t>(block + 4);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = d * static_cast<float>(five_bits(block + 8, high, i)) + m;
  }
}

// d | 32 signed bytes.
void decode_q8_0(const uint8_t* block, float* out) {
  const float d = load_half(block);
  for (int i = 0; i < kSmallBlock; ++i) {
    out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
  }
}

// Number i (0..255) of a plane of 2-bit numbers: each 32 bytes hold 128 numbers, 32 a bit pair.
int two_bits(const uint8_t* plane, int i) {
  return (plane[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
}

// 16 bytes of (scale, minimum) nibbles | 64 bytes of 2-bit numbers | d | dmin.
void decode_q2_k(const uint8_t* block, float* out) {
  const uint8_t* scales = block;
  const float d = load_half(block + 80);
  const float dmin = load_half(block + 82);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int scale = scales[i / 16];
    const float dl = d * static_cast<float>(scale & 15);
    const float ml = dmin * static_cast<float>(scale >> 4);
    out[i] = dl * static_cast<float>(two_bits(block + 16, i)) - ml;
  }
}

// 32 bytes of third bits | 64 bytes of 2-bit numbers | 12 bytes of 6-bit scales | d.
void decode_q3_k(const uint8_t* block, float* out) {
  const uint8_t* scales = block + 96;
  const float d = load_half(block + 108);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int group = i / 16;
    const int low = (scales[group % 8] >> (group / 8 * 4)) & 15;
    const int high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    const float dl = d * static_cast<float>((low | high << 4) - 32);
    const int third = (block[i % 32] >> (i / 32)) & 1;  // clear means 4 less
    out[i] = dl * static_cast<float>(two_bits(block + 32, i) - (third ^ 1) * 4);
  }
}

// Nibble i (0..255): each 32 bytes hold 64 numbers, low nibbles first.
int four_bits(const uint8_t* nibbles, int i) {
  return (nibbles[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15;
}

// d | dmin | 12 bytes of scales and minima | 128 bytes of nibbles.
void decode_q4_k(const uint8_t* block, float* out) {
  const float d = load_half(block);
  const float dmin = load_half(block + 2);
  for (int i = 0; i < kSuperBlock; ++i) {
    int scale;
    int minimum;
    scale_and_minimum(block + 4, i / 32, &scale, &minimum);
    const float dl = d * static_cast<float>(scale);
    const float ml = dmin * static_cast<float>(minimum);
    out[i] = dl * static_cast<float>(four_bits(block + 16, i)) - ml;
  }
}

// d | dmin | scales and minima | 32 bytes of fifth bits | 128 bytes of nibbles.
void decode_q5_k(const uint8_t* block, float* out) {
  const float d = load_half(block);
  const float dmin = load_half(block + 2);
  for (int i = 0; i < kSuperBlock; ++i) {
    int scale;
    int minimum;
    scale_and_minimum(block + 4, i / 32, &scale, &minimum);
    const float dl = d * static_cast<float>(scale);
    const float ml = dmin * static_cast<float>(minimum);
    const int fifth = (block[16 + i % 32] >> (i / 32)) & 1;
    out[i] = dl * static_cast<float>(four_bits(block + 48, i) | fifth << 4) - ml;
  }
}

// 128 bytes of low nibbles | 64 bytes of high bit pairs | 16 signed scales | d. Each 64 bytes of
// nibbles hold 128 numbers, low nibbles first.
void decode_q6_k(const uint8_t* block, float* out) {
  const float d = load_half(block + 208);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int low = (block[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4)) & 15;
    const int high = two_bits(block + 128, i);
    const float dl = d * static_cast<float>(static_cast<int8_t>(block[192 + i / 16]));
    out[i] = dl * static_cast<float>((low | high << 4) - 32);
  }
}

using DecodeBlock = void (*)(const uint8_t* block, float* out);

DecodeBlock block_decoder(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return [](const uint8_t* bytes, float* out) { *out = load<float>(bytes); };
    case Dtype::kF16:
      return [](const uint8_t* bytes, float* out) { *out = load_half(bytes); };
    case Dtype::kBF16:
      return [](const uint8_t* bytes, float* out) {
        *out = float_of_bits(static_cast<uint32_t>(load<uint16_t>(bytes)) << 16);
      };
    case Dtype::kQ4_0:
      return decode_q4_0;
    case Dtype::kQ4_1:
      return decode_q4_1;
    case Dtype::kQ5_0:
      return decode_q5_0;
    case Dtype::kQ5_1:
      return decode_q5_1;
    case Dtype::kQ8_0:
      return decode_q8_0;
    case Dtype::kQ2_K:
      return decode_q2_k;
    case Dtype::kQ3_K:
      return decode_q3_k;
    case Dtype::kQ4_K:
      return decode_q4_k;
    case Dtype::kQ5_K:
      return decode_q5_k;
    case Dtype::kQ6_K:
      return decode_q6_k;
  }
  throw Error(ErrorCode::kInvalidArgument, "unknown dtype");
}

void check_whole_blocks(Dtype dtype, int64_t count) {
  const DtypeInfo& info = dtype_info(dtype);
  if (count < 0 || count % info.block_size != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                std::to_string(count) + " numbers are not whole blocks of " + info.name +
                    ", which holds " + std::to_string(info.block_size) + " in each");
  }
}

}  // namespace

const DtypeInfo& dtype_info(Dtype dtype) {
  const int index = static_cast<int>(dtype);
  if (index >= kDtypes) throw Error(ErrorCode::kInvalidArgument, "unknown dtype");
  return kInfo[index];
}

bool dtype_from_name(const char* name, Dtype* dtype) {
  for (int i = 0; i < kDtypes; ++i) {
    if (std::strcmp(kInfo[i].name, name) == 0) {
      *dtype = static_cast<Dtype>(i);
      return true;
    }
  }
  return false;
}

int64_t dtype_row_bytes(Dtype dtype, int64_t cols) {
  check_whole_blocks(dtype, cols);
  const DtypeInfo& info = dtype_info(dtype);
  return cols / info.block_size * info.block_bytes;
}

void dequantize(Dtype dtype, const uint8_t* bytes, int64_t count, float* out) {
  check_whole_blocks(dtype, count);
  const DtypeInfo& info = dtype_info(dtype);
  const DecodeBlock decode = block_decoder(dtype);
  for (int64_t i = 0; i < count; i += info.block_size) {
    decode(bytes, out + i);
    bytes += info.block_bytes;
  }
}

}  // namespace valora
