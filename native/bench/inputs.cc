// Random matrices and stored weights.
#include "bench/inputs.h"

#include <algorithm>
#include <cstring>

#include "core/dequantize.h"

namespace valora::bench {

namespace {

constexpr uintptr_t kCacheLine = 64;

void put16(uint8_t* at, uint64_t bits) {
  at[0] = static_cast<uint8_t>(bits);
  at[1] = static_cast<uint8_t>(bits >> 8);
}

// Random bits are fair quanta, but as scales or floats they would be of any size, NaN included:
// those are set, to numbers of either sign about 2^-6 (blocks) or below 1.
void fill_weight(Random& random, Dtype dtype, uint8_t* bytes, int64_t size) {
  if (dtype == Dtype::kF32 || dtype == Dtype::kBF16) {
    const int64_t width = dtype_info(dtype).block_bytes;
    for (int64_t i = 0; i < size; i += width) {
      const float number = random.number();
      uint32_t bits;
      std::memcpy(&bits, &number, 4);
      if (width == 4) {
        std::memcpy(bytes + i, &bits, 4);
      } else {
        put16(bytes + i, bits >> 16);
      }
    }
    return;
  }
  if (dtype == Dtype::kF16) {
    for (int64_t i = 0; i < size; i += 2) {
      const uint64_t bits = random.bits();
      put16(bytes + i, (bits & 0x83ff) | (8 + (bits >> 16) % 8) << 10);
    }
    return;
  }
  for (int64_t i = 0; i < size; i += 8) {
    const uint64_t bits = random.bits();
    std::memcpy(bytes + i, &bits, static_cast<size_t>(std::min<int64_t>(8, size - i)));
  }
  const int64_t block = dtype_info(dtype).block_bytes;
  for (const int64_t offset : scale_offsets(dtype)) {
    for (int64_t i = offset; i < size; i += block) {
      const uint64_t bits = random.bits();
      put16(bytes + i, (bits & 0x83ff) | (8 + (bits >> 16) % 3) << 10);
    }
  }
}

}  // namespace

std::vector<int64_t> scale_offsets(Dtype dtype) {
  switch (dtype) {
    case Dtype::kQ4_0:
    case Dtype::kQ5_0:
    case Dtype::kQ8_0:
      return {0};
    case Dtype::kQ4_1:
    case Dtype::kQ5_1:
    case Dtype::kQ4_K:
    case Dtype::kQ5_K:
      return {0, 2};
    case Dtype::kQ2_K:
      return {80, 82};
    case Dtype::kQ3_K:
      return {108};
    case Dtype::kQ6_K:
      return {208};
    default:
      return {};
  }
}

Bytes::Bytes(int64_t size) : storage_(static_cast<size_t>(size) + kCacheLine) {
  const uintptr_t past = reinterpret_cast<uintptr_t>(storage_.data()) % kCacheLine;
  data_ = storage_.data() + (kCacheLine - past) % kCacheLine;
}

Matrix::Matrix(int64_t rows, int64_t cols)
    : bytes_(rows * cols * 4),
      view_(make_view(reinterpret_cast<float*>(bytes_.data()), rows, cols)) {}

Matrix::Matrix(Random& random, int64_t rows, int64_t cols, float scale) : Matrix(rows, cols) {
  for (int64_t i = 0; i < view_.size(); ++i) view_.data[i] = random.number(scale);
}

void Matrix::clear() { std::fill_n(view_.data, view_.size(), 0.0f); }

Matrix Matrix::copy() const {
  Matrix matrix(view_.rows, view_.cols);
  std::copy_n(view_.data, view_.size(), matrix.view_.data);
  return matrix;
}

View slice_cols(View view, int64_t begin, int64_t count) {
  return {view.data + begin, view.rows, count, view.stride, view.space};
}

StoredWeight::StoredWeight(Random& random, Dtype dtype, int64_t rows, int64_t cols, const Ops& ops)
    : size_(rows * dtype_row_bytes(dtype, cols)), bytes_(size_) {
  fill_weight(random, dtype, bytes_.data(), size_);
  weight_ = ops.upload_weight({bytes_.data(), dtype, rows, cols, 0}, {&ops});
}

}  // namespace valora::bench
