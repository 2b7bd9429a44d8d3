// View: a borrowed float32 matrix, rows x cols with a row stride. Dtype: how numbers are stored.
// A View owns nothing. Axes follow docs: N rows of the batch, C channels, H heads, D head width ...
#pragma once

#include <cstddef>
#include <cstdint>

namespace valora {

// Stored number formats of weight files. The block formats are ggml's; their layouts and the one
// definition of what they decode to are in core/dequantize.cc.
enum class Dtype : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

enum class Space : uint8_t { kHost, kDevice };

struct View {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // floats from one row to the next, >= cols
  Space space = Space::kHost;

  float* row(int64_t i) const { return data + i * stride; }
  int64_t size() const { return rows * cols; }
  bool empty() const { return rows == 0 || cols == 0; }
  View slice_rows(int64_t begin, int64_t count) const {
    return {data + begin * stride, count, cols, stride, space};
  }
};

// A contiguous matrix at `data`.
inline View make_view(float* data, int64_t rows, int64_t cols, Space space = Space::kHost) {
  return {data, rows, cols, cols, space};
}

}  // namespace valora
