// What the op tests are made of: seeded numbers, matrices with guarded padding, the backends
// present, and a context to run them in.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "bench/inputs.h"
#include "core/ops.h"

namespace valora::test {

// float32's unit roundoff: a rounded operation is off by at most this share of its result.
inline constexpr double kRoundoff = 1.0 / (1 << 24);

using bench::Random;

// A matrix of doubles, contiguous.
struct Grid {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> data;

  Grid() = default;
  Grid(int64_t r, int64_t c) : rows(r), cols(c), data(static_cast<size_t>(r * c), 0.0) {}
  double& at(int64_t i, int64_t j) { return data[i * cols + j]; }
  double at(int64_t i, int64_t j) const { return data[i * cols + j]; }
};

// A float32 matrix whose rows are kPad floats apart; the padding holds a pattern that no operation
// may change. New entries are NaN, so that an output left unwritten, or read before it was, shows.
class Matrix {
 public:
  static constexpr int64_t kPad = 3;

  Matrix() = default;
  Matrix(int64_t rows, int64_t cols)
      : rows_(rows), cols_(cols), data_(static_cast<size_t>(rows * (cols + kPad)), kGuard) {
    fill(std::numeric_limits<float>::quiet_NaN());
  }
  static Matrix random(Random& random, int64_t rows, int64_t cols, float scale = 1) {
    Matrix m(rows, cols);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) m.at(i, j) = random.number(scale);
    }
    return m;
  }

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  float& at(int64_t i, int64_t j) { return data_[i * (cols_ + kPad) + j]; }
  float at(int64_t i, int64_t j) const { return data_[i * (cols_ + kPad) + j]; }
  View view() { return {data_.data(), rows_, cols_, cols_ + kPad, Space::kHost}; }
  // For inputs: a View has no const form.
  View view() const { return const_cast<Matrix*>(this)->view(); }

  void fill(float value) {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) at(i, j) = value;
    }
  }
  Matrix slice(int64_t begin, int64_t count) const {
    Matrix m(count, cols_);
    for (int64_t i = 0; i < count; ++i) m.copy_row(i, *this, begin + i);
    return m;
  }
  void copy_row(int64_t i, const Matrix& from, int64_t row) {
    for (int64_t j = 0; j < cols_; ++j) at(i, j) = from.at(row, j);
  }
  Grid grid() const {
    Grid g(rows_, cols_);
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) g.at(i, j) = at(i, j);
    }
    return g;
  }
  bool padding_intact() const {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = cols_; j < cols_ + kPad; ++j) {
        if (at(i, j) != kGuard) return false;
      }
    }
    return true;
  }

 private:
  static constexpr float kGuard = 12345.678f;

  int64_t rows_ = 0;
  int64_t cols_ = 0;
  std::vector<float> data_;
};

// Bit for bit, row i of a and row j of b.
inline bool same_row(const Matrix& a, int64_t i, const Matrix& b, int64_t j) {
  if (a.cols() != b.cols()) return false;
  for (int64_t c = 0; c < a.cols(); ++c) {
    const float left = a.at(i, c);
    const float right = b.at(j, c);
    if (std::memcmp(&left, &right, sizeof left) != 0) return false;
  }
  return true;
}

inline bool same_bits(const Matrix& a, const Matrix& b) {
  if (a.rows() != b.rows()) return false;
  for (int64_t i = 0; i < a.rows(); ++i) {
    if (!same_row(a, i, b, i)) return false;
  }
  return true;
}

// What was expected of a float32 result, and how far off each entry may be.
struct Answer {
  Grid value;
  Grid bound;
  Answer(int64_t rows, int64_t cols) : value(rows, cols), bound(rows, cols) {}
};

// Reports the first entry that is too far off; NaN always is.
inline void expect_within(const Matrix& got, const Answer& want, const std::string& what) {
  ASSERT_EQ(got.rows(), want.value.rows) << what;
  ASSERT_EQ(got.cols(), want.value.cols) << what;
  EXPECT_TRUE(got.padding_intact()) << what << ": wrote outside its columns";
  for (int64_t i = 0; i < got.rows(); ++i) {
    for (int64_t j = 0; j < got.cols(); ++j) {
      const double diff = std::abs(got.at(i, j) - want.value.at(i, j));
      if (!(diff <= want.bound.at(i, j) + 1e-37)) {
        ADD_FAILURE() << what << "[" << i << ", " << j << "] = " << got.at(i, j) << ", expected "
                      << want.value.at(i, j) << " within " << want.bound.at(i, j);
        return;
      }
    }
  }
}

// The CPU's instruction sets, then the reference too; or, in builds for it, the CUDA kernels under
// emulation.
inline std::vector<const Ops*> cpu_backends() {
  std::vector<const Ops*> list;
  for (const char* isa : {"avx512", "avx2", "neon", "generic"}) {
    if (const Ops* ops = cpu_ops(isa)) list.push_back(ops);
  }
  return list;
}
#ifdef VALORA_EMULATED_CUDA
const Ops& cuda_test_ops();
inline std::vector<const Ops*> backends() { return {&cuda_test_ops()}; }
#else
inline std::vector<const Ops*> backends() {
  std::vector<const Ops*> list = cpu_backends();
  list.push_back(&reference_ops());
  return list;
}
#endif
inline std::string backend_name(const testing::TestParamInfo<const Ops*>& info) {
  return info.param->name;
}

// A context with its arena and threads. The arena starts full of NaN: scratch is not cleared.
class Machine {
 public:
  explicit Machine(const Ops& ops, int threads = 1, Compute compute = Compute::kFloat32)
      : arena_(kArenaBytes) {
    std::memset(arena_.allocate(kArenaBytes), 0xff, kArenaBytes);
    arena_.release(0);
    if (threads > 1) pool_ = std::make_unique<ThreadPool>(threads);
    context_.ops = &ops;
    context_.arena = &arena_;
    context_.pool = pool_.get();
    context_.compute = compute;
  }
  operator const Context&() const { return context_; }
  Context& context() { return context_; }

 private:
  static constexpr size_t kArenaBytes = 12u << 20;
  Arena arena_;
  std::unique_ptr<ThreadPool> pool_;
  Context context_;
};

// A test that runs once a backend.
class OpsTest : public testing::TestWithParam<const Ops*> {
 protected:
  const Ops& ops() const { return *GetParam(); }
};

}  // namespace valora::test
