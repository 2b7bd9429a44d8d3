// Rows of a stored weight as doubles, and products of float32 rows with them: what linear.cc and
// head.cc share. Under Compute::kBf16 the numbers of both sides are rounded first.
#pragma once

#include <cstdint>
#include <vector>

#include "core/bf16.h"
#include "core/context.h"
#include "core/dequantize.h"
#include "core/weight.h"

namespace valora::reference {

// Outputs whose sums run side by side, so that one addition need not wait for the last.
inline constexpr int64_t kOutputBlock = 8;

// A factor of a product as `compute` uses it.
inline float factor(Compute compute, float value) {
  return compute == Compute::kBf16 ? round_to_bf16(value) : value;
}

// Logical row o of w, [I], as a factor.
inline void read_row(const Weight& w, Compute compute, int64_t o, float* out) {
  dequantize(w.source.dtype, w.row(o), w.cols(), out);
  for (int64_t i = 0; i < w.cols(); ++i) out[i] = factor(compute, out[i]);
}

// The rows [begin, begin + count) of w, at most kOutputBlock of them, side by side: block[i *
// kOutputBlock + j] = w[begin + j, i], 0 past count.
class WeightBlock {
 public:
  WeightBlock(const Weight& w, Compute compute)
      : w_(w), compute_(compute), row_(w.cols()), block_(w.cols() * kOutputBlock) {}

  void load(int64_t begin, int64_t count) {
    for (int64_t j = 0; j < kOutputBlock; ++j) {
      if (j < count) read_row(w_, compute_, begin + j, row_.data());
      for (int64_t i = 0; i < w_.cols(); ++i) {
        block_[i * kOutputBlock + j] = j < count ? row_[i] : 0.0;
      }
    }
  }

  // sums[j] = sum over i of x[i] * w[begin + j, i].
  void multiply(const float* x, double* sums) const {
    double acc[kOutputBlock] = {};
    for (int64_t i = 0; i < w_.cols(); ++i) {
      const double value = factor(compute_, x[i]);
      for (int64_t j = 0; j < kOutputBlock; ++j) acc[j] += value * block_[i * kOutputBlock + j];
    }
    for (int64_t j = 0; j < kOutputBlock; ++j) sums[j] = acc[j];
  }

  // sums[i] += sum over j of weights[j] * w[begin + j, i].
  void accumulate(const double* weights, double* sums) const {
    for (int64_t i = 0; i < w_.cols(); ++i) {
      double acc = 0;
      for (int64_t j = 0; j < kOutputBlock; ++j) acc += weights[j] * block_[i * kOutputBlock + j];
      sums[i] += acc;
    }
  }

 private:
  const Weight& w_;
  Compute compute_;
  std::vector<float> row_;
  std::vector<double> block_;
};

}  // namespace valora::reference
