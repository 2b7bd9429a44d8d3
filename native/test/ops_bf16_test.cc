// Compute::kBf16: rounding to bfloat16, products of rounded numbers against double precision, and
// the order in which pairs are summed, which is VDPBF16PS's.
//
// Seen failing: rounding by cutting off; the even number of a pair added before the odd one;
// subnormal sums kept.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "core/bf16.h"
#include "support/linear_answer.h"
#include "support/matrix.h"
#include "support/weights.h"

namespace valora::test {
namespace {

TEST(RoundToBf16, IsTheNearestWithTiesToEven) {
  Random random(61);
  for (int i = 0; i < 100000; ++i) {
    uint32_t bits = static_cast<uint32_t>(random.bits());
    if (i % 4 == 0) bits = (bits & 0xffff0000u) | 0x8000u;  // half way
    const float value = std::bit_cast<float>(bits);
    if (!std::isfinite(value) || std::fpclassify(value) == FP_SUBNORMAL) continue;
    const double low = std::bit_cast<float>(bits & 0xffff0000u);  // towards zero
    const double step = std::ldexp(1.0, std::ilogb(value) - 7);
    const double high = low + std::copysign(step, low);
    const double below = std::abs(value - low), above = std::abs(high - value);
    const bool even = ((bits >> 16) & 1) == 0;
    const double want = below < above || (below == above && even) ? low : high;
    const float got = round_to_bf16(value);
    if (std::abs(want) > 3.39e38) {
      EXPECT_TRUE(std::isinf(got) && std::signbit(got) == std::signbit(value)) << value;
    } else {
      EXPECT_EQ(got, want) << value;
    }
    EXPECT_EQ(std::bit_cast<uint32_t>(got) & 0xffffu, 0u);
  }
}

TEST(RoundToBf16, KeepsWhatIsNoNumberAndFlushesSubnormals) {
  EXPECT_TRUE(std::isnan(round_to_bf16(std::bit_cast<float>(0x7f800001u))));
  EXPECT_TRUE(std::isnan(round_to_bf16(std::bit_cast<float>(0xffffffffu))));
  EXPECT_EQ(round_to_bf16(INFINITY), INFINITY);
  EXPECT_EQ(round_to_bf16(-INFINITY), -INFINITY);
  EXPECT_EQ(std::bit_cast<uint32_t>(round_to_bf16(std::bit_cast<float>(0x807fffffu))), 0x80000000u);
  EXPECT_EQ(std::bit_cast<uint32_t>(round_to_bf16(std::bit_cast<float>(0x00000001u))), 0u);
  EXPECT_EQ(std::bit_cast<uint32_t>(round_to_bf16(std::bit_cast<float>(0x00800000u))), 0x00800000u);
}

Matrix rounded(const Matrix& m) {
  Matrix result(m.rows(), m.cols());
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < m.cols(); ++j) result.at(i, j) = round_to_bf16(m.at(i, j));
  }
  return result;
}

class OpsBf16Test : public OpsTest {};

// The sums of exact products of 16 bits each: the bound of a float32 chain.
TEST_P(OpsBf16Test, ProductsAreThoseOfRoundedNumbers) {
  Random random(62);
  const Machine machine(ops(), 2, Compute::kBf16);
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kQ4_1, Dtype::kQ4_K, Dtype::kQ6_K}) {
    SCOPED_TRACE(dtype_info(dtype).name);
    const int64_t outputs = 70, inputs = dtype_info(dtype).block_size == 1 ? 133 : 256;
    const StoredWeight w = random_weight(random, dtype, outputs, inputs);
    const std::unique_ptr<Weight> weight = w.upload(ops());
    for (const int64_t rows : {1, 5, 37}) {
      const Matrix x = Matrix::random(random, rows, inputs);
      const Matrix dy = Matrix::random(random, rows, outputs);
      Matrix y(rows, outputs), dx(rows, inputs);
      ops::linear_forward(y.view(), View{}, x.view(), *weight, View{}, {}, machine);
      ops::linear_backward(dx.view(), View{}, dy.view(), *weight, {}, Write::kOverwrite, machine);
      const Matrix rw = rounded(w.values), rx = rounded(x), rdy = rounded(dy);
      const auto near = [&](float got, int64_t depth, const auto& a, const auto& b) {
        double sum = 0, size = 0;
        for (int64_t k = 0; k < depth; ++k) {
          const double term = double{a(k)} * b(k);
          sum += term;
          size += std::abs(term);
        }
        return std::abs(got - sum) <= (depth + 2) * kRoundoff * size;
      };
      for (int64_t n = 0; n < rows; ++n) {
        for (int64_t o = 0; o < outputs; ++o) {
          ASSERT_TRUE(near(
              y.at(n, o), inputs, [&](int64_t k) { return rx.at(n, k); },
              [&](int64_t k) { return rw.at(o, k); }))
              << "y " << n << ", " << o;
        }
        for (int64_t i = 0; i < inputs; ++i) {
          ASSERT_TRUE(near(
              dx.at(n, i), outputs, [&](int64_t k) { return rdy.at(n, k); },
              [&](int64_t k) { return rw.at(k, i); }))
              << "dx " << n << ", " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OpsBf16Test, testing::ValuesIn(backends()), backend_name);

class CpuBf16Test : public OpsTest {};

// With the second, sums begin below the normal numbers, which are flushed where there is SSE.
#if defined(__SSE__)
constexpr float kScales[] = {1.0f, 1e-37f};
#else
constexpr float kScales[] = {1.0f};
#endif

// fma, with operands and results below the normal numbers taken for 0.
float flushing_fma(float a, float b, float sum) {
  const float result = std::fma(a, b, sum);
  return std::abs(result) < 0x1p-126f ? std::copysign(0.0f, result) : result;
}

TEST_P(CpuBf16Test, AChainAddsTheOddNumberOfAPairFirst) {
  Random random(63);
  const Machine machine(ops(), 1, Compute::kBf16);
  const int64_t rows = 7, outputs = 83, inputs = 1059;
  for (const float scale : kScales) {
    const StoredWeight w = random_weight(random, Dtype::kF32, outputs, inputs);
    const std::unique_ptr<Weight> weight = w.upload(ops());
    const Matrix x = Matrix::random(random, rows, inputs, scale);
    Matrix y(rows, outputs);
    ops::linear_forward(y.view(), View{}, x.view(), *weight, View{}, {}, machine);
    const Matrix rx = rounded(x), rw = rounded(w.values);
    for (int64_t n = 0; n < rows; ++n) {
      for (int64_t o = 0; o < outputs; ++o) {
        float sum = 0;
        for (int64_t k = 0; k < inputs; k += 2) {
          if (k + 1 < inputs) sum = flushing_fma(rx.at(n, k + 1), rw.at(o, k + 1), sum);
          sum = flushing_fma(rx.at(n, k), rw.at(o, k), sum);
        }
        ASSERT_EQ(std::bit_cast<uint32_t>(y.at(n, o)), std::bit_cast<uint32_t>(sum))
            << n << ", " << o;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cpu, CpuBf16Test, testing::ValuesIn(cpu_backends()), backend_name);

}  // namespace
}  // namespace valora::test
