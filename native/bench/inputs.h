// What the benchmarks compute on: aligned matrices and stored weights of seeded random numbers, the
// same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/ops.h"

namespace valora::bench {

// splitmix64 (Steele, Lea & Flood 2014): weights hold up to hundreds of millions of numbers, and
// core/random.h's generator would take seconds for those.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  int64_t below(int64_t limit) {
    return static_cast<int64_t>(bits() % static_cast<uint64_t>(limit));
  }
  // Uniform in [0, 1).
  float unit() { return static_cast<float>(bits() >> 40) * 0x1p-24f; }
  // Uniform in [-scale, scale).
  float number(float scale = 1) { return (2 * unit() - 1) * scale; }

 private:
  uint64_t state_;
};

// Offsets, in a block of ggml's layout, of its float16 scales.
std::vector<int64_t> scale_offsets(Dtype dtype);

// Bytes that start at a cache line, as the engine's own do.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(int64_t size);
  uint8_t* data() { return data_; }

 private:
  std::vector<uint8_t> storage_;  // moving it leaves its bytes where they are
  uint8_t* data_ = nullptr;
};

// A matrix of zeros, or of numbers in [-scale, scale).
class Matrix {
 public:
  Matrix() = default;
  Matrix(int64_t rows, int64_t cols);
  Matrix(Random& random, int64_t rows, int64_t cols, float scale = 1);

  View view() const { return view_; }
  operator View() const { return view_; }
  void clear();
  // The same numbers in memory of its own.
  Matrix copy() const;
  double bytes() const { return 4.0 * static_cast<double>(view_.size()); }

 private:
  Bytes bytes_;
  View view_;
};

// Columns [begin, begin + count) of a matrix.
View slice_cols(View view, int64_t begin, int64_t count);

// A frozen matrix [rows, cols] as `dtype` stores it; the numbers lie about 0.
class StoredWeight {
 public:
  StoredWeight(Random& random, Dtype dtype, int64_t rows, int64_t cols, const Ops& ops);

  const Weight& weight() const { return *weight_; }
  operator const Weight&() const { return *weight_; }
  double bytes() const { return static_cast<double>(size_); }

 private:
  int64_t size_;
  Bytes bytes_;
  std::unique_ptr<Weight> weight_;
};

}  // namespace valora::bench
