// A matrix in "device memory" for tests over the emulation: on a multiple of 256 bytes, rows back
// to back, as a device's allocator gives it. (Matrix of support/matrix.h is the awkward one.)
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "support/matrix.h"

namespace valora::test {

class Buffer {
 public:
  Buffer(int64_t rows, int64_t cols)
      : rows_(rows), cols_(cols), floats_(new (std::align_val_t{256}) float[rows * cols]) {}
  static Buffer random(Random& random, int64_t rows, int64_t cols) {
    Buffer buffer(rows, cols);
    for (int64_t i = 0; i < rows * cols; ++i) buffer.floats_.get()[i] = random.number();
    return buffer;
  }
  View view() const { return make_view(floats_.get(), rows_, cols_); }
  int64_t bytes() const { return rows_ * cols_ * 4; }
  std::vector<float> numbers() const {
    return std::vector<float>(floats_.get(), floats_.get() + rows_ * cols_);
  }

 private:
  struct Release {
    void operator()(float* p) const { operator delete[](p, std::align_val_t{256}); }
  };
  int64_t rows_, cols_;
  std::unique_ptr<float[], Release> floats_;
};

}  // namespace valora::test
