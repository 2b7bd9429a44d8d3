// Random stored weights of every dtype, with the numbers they decode to.
#pragma once

#include <cstring>
#include <vector>

#include "core/dequantize.h"
#include "support/matrix.h"

namespace valora::test {

inline constexpr Dtype kAllDtypes[] = {Dtype::kF32,  Dtype::kF16,  Dtype::kBF16, Dtype::kQ4_0,
                                       Dtype::kQ4_1, Dtype::kQ5_0, Dtype::kQ5_1, Dtype::kQ8_0,
                                       Dtype::kQ2_K, Dtype::kQ3_K, Dtype::kQ4_K, Dtype::kQ5_K,
                                       Dtype::kQ6_K};

struct StoredWeight {
  std::vector<uint8_t> bytes;
  WeightSource source;
  Matrix values;  // [O, I], rows in logical order

  std::unique_ptr<Weight> upload(const Ops& ops) const { return ops.upload_weight(source, {&ops}); }
};

// cols a multiple of the dtype's block.
inline StoredWeight random_weight(Random& random, Dtype dtype, int64_t rows, int64_t cols,
                                  int64_t interleaved_heads = 0) {
  const DtypeInfo& info = dtype_info(dtype);
  const int64_t row_bytes = dtype_row_bytes(dtype, cols);
  StoredWeight weight;
  weight.bytes.resize(static_cast<size_t>(rows * row_bytes));
  for (uint8_t& byte : weight.bytes) byte = static_cast<uint8_t>(random.bits());
  const auto put16 = [&](size_t offset, uint32_t value) {
    weight.bytes[offset] = static_cast<uint8_t>(value);
    weight.bytes[offset + 1] = static_cast<uint8_t>(value >> 8);
  };
  if (dtype == Dtype::kF32 || dtype == Dtype::kBF16) {
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = random.number();
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      if (dtype == Dtype::kF32) {
        std::memcpy(&weight.bytes[i * 4], &bits, 4);
      } else {
        put16(i * 2, bits >> 16);
      }
    }
  } else if (dtype == Dtype::kF16) {
    // Exponents 2^-7 to 2^0, and now and then a subnormal.
    for (int64_t i = 0; i < rows * cols; ++i) {
      const uint32_t bits = static_cast<uint32_t>(random.bits());
      const uint32_t exponent = random.below(16) == 0 ? 0 : 8 + (bits >> 16) % 8;
      put16(i * 2, (bits & 0x83ff) | exponent << 10);
    }
  } else {
    // Scales of either sign about 2^-6: exponent field 8 to 10.
    const int64_t blocks = rows * cols / info.block_size;
    for (int64_t b = 0; b < blocks; ++b) {
      for (const int64_t offset : bench::scale_offsets(dtype)) {
        const uint32_t bits = static_cast<uint32_t>(random.bits());
        put16(b * info.block_bytes + offset, (bits & 0x83ff) | (8 + (bits >> 16) % 3) << 10);
      }
    }
  }
  weight.source = {weight.bytes.data(), dtype, rows, cols, interleaved_heads};
  weight.values = Matrix(rows, cols);
  const int64_t width = interleaved_heads == 0 ? rows : rows / interleaved_heads;
  for (int64_t stored = 0; stored < rows; ++stored) {
    int64_t logical = stored;
    if (interleaved_heads != 0) {
      const int64_t place = stored % width;  // 2 i + half
      logical = stored - place + place % 2 * (width / 2) + place / 2;
    }
    dequantize(dtype, weight.bytes.data() + stored * row_bytes, cols,
               weight.values.view().row(logical));
  }
  return weight;
}

}  // namespace valora::test
