// exp_scalar over every float it is asked about, against double precision.
#include "core/scalar_math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace valora {
namespace {

// Distance from the exact value in units of the last place of the float nearest to it.
double error_in_ulps(float value, double exact) {
  int exponent;
  std::frexp(exact, &exponent);
  return std::fabs(value - exact) / std::ldexp(1.0, exponent - 24);
}

// Every `stride`-th float from `first` to `last` (of one sign), and both ends.
double worst_error(float first, float last, uint32_t stride) {
  double worst = 0;
  const uint32_t end = std::bit_cast<uint32_t>(last);
  for (uint32_t bits = std::bit_cast<uint32_t>(first); bits < end; bits += stride) {
    const float x = std::bit_cast<float>(bits);
    worst = std::fmax(worst, error_in_ulps(exp_scalar(x), std::exp(static_cast<double>(x))));
  }
  return std::fmax(worst, error_in_ulps(exp_scalar(last), std::exp(static_cast<double>(last))));
}

// Each of the 2.5e8 floats with 2^-25 <= |x| was measured once: 1.0231 at 26.7169456 among the
// positive ones, 1.0162 at -59.9231758 among the negative ones.
constexpr double kLargestError = 1.03;

TEST(ExpScalar, StaysWithinItsMeasuredError) {
  // A prime stride, so that the samples do not fall on a pattern of low bits.
  for (const double worst :
       {worst_error(0.0f, 88.3762f, 997), worst_error(-0.0f, -87.0f, 997),
        worst_error(26.71694f, 26.71695f, 1), worst_error(-59.92317f, -59.92318f, 1)}) {
    EXPECT_TRUE(worst <= kLargestError) << worst;
    EXPECT_TRUE(worst >= 0.9) << "the range was not walked: " << worst;
  }
}

TEST(ExpScalar, IsExactWhereExpIs) {
  EXPECT_EQ(exp_scalar(0.0f), 1.0f);
  EXPECT_EQ(exp_scalar(-0.0f), 1.0f);
  EXPECT_EQ(exp_scalar(std::numeric_limits<float>::denorm_min()), 1.0f);
  EXPECT_EQ(exp_scalar(-std::numeric_limits<float>::denorm_min()), 1.0f);
}

TEST(ExpScalar, EndsInZeroInfinityAndNan) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(exp_scalar(-infinity), 0.0f);
  EXPECT_EQ(exp_scalar(std::nextafterf(-87.0f, -100.0f)), 0.0f);
  EXPECT_FALSE(std::signbit(exp_scalar(-1e30f)));
  EXPECT_GT(exp_scalar(-87.0f), 0.0f);
  EXPECT_EQ(std::fpclassify(exp_scalar(-87.0f)), FP_NORMAL);
  EXPECT_TRUE(std::isfinite(exp_scalar(88.3762f)));
  EXPECT_EQ(exp_scalar(std::nextafterf(88.3762f, 100.0f)), infinity);
  EXPECT_EQ(exp_scalar(infinity), infinity);
  EXPECT_TRUE(std::isnan(exp_scalar(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(exp_scalar(-std::numeric_limits<float>::quiet_NaN())));
}

TEST(ExpScalar, NeverFallsWhereItsArgumentRises) {
  float last = 0;
  for (float x = -90; x < 90; x += 1.0f / 1024) {
    const float value = exp_scalar(x);
    ASSERT_TRUE(value >= last) << x;
    last = value;
  }
}

TEST(SiluScalar, GoesToZeroAndToItsArgument) {
  EXPECT_EQ(silu_scalar(0.0f), 0.0f);
  EXPECT_EQ(silu_scalar(100.0f), 100.0f);
  EXPECT_EQ(silu_scalar(-100.0f), 0.0f);
  EXPECT_TRUE(std::isnan(silu_scalar(std::numeric_limits<float>::quiet_NaN())));
  for (float x = -20; x < 20; x += 0.01f) {
    const double exact = x / (1 + std::exp(-static_cast<double>(x)));
    EXPECT_TRUE(std::fabs(silu_scalar(x) - exact) <= 4e-7 * std::fabs(exact)) << x;
  }
}

}  // namespace
}  // namespace valora
