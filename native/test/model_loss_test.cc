// The losses against their formulas at known points, and their derivatives against central
// differences.
#include <cmath>

#include "core/error.h"
#include "model/loss.h"
#include "support/matrix.h"

namespace valora::test {
namespace {

LossOptions options_of(LossKind kind, double smoothing = 0, double rpo_alpha = 0) {
  return {kind, 0.1, smoothing, rpo_alpha};
}

TEST(LossTest, DpoWithoutAMarginIsExactlyLn2) {
  const PairLogprobs pair{-31.25, -7.5, -31.25, -7.5, 9, 4};
  EXPECT_EQ(pair_loss(options_of(LossKind::kSigmoid), pair).loss, std::log(2.0));
}

TEST(LossTest, FollowsTheFormulas) {
  // h = (-10 - -12) - (-9 - -8) = 3.
  const PairLogprobs pair{-10, -9, -12, -8, 5, 4};
  const double s = 1 / (1 + std::exp(-0.3));
  const auto expect = [&](const LossOptions& options, double want) {
    const double got = pair_loss(options, pair).loss;
    EXPECT_TRUE(std::abs(got - want) <= 1e-14) << got << " instead of " << want;
  };
  expect(options_of(LossKind::kSigmoid), -std::log(s));
  expect(options_of(LossKind::kSigmoid, 0.2), -0.8 * std::log(s) - 0.2 * std::log(1 - s));
  expect(options_of(LossKind::kRobust, 0.2), (-0.8 * std::log(s) + 0.2 * std::log(1 - s)) / 0.6);
  expect(options_of(LossKind::kHinge), 0.7);
  expect(options_of(LossKind::kIpo), std::pow(2.0 / 5 + 1.0 / 4 - 5, 2));
  expect(options_of(LossKind::kSft), 2.0);
  expect(options_of(LossKind::kSigmoid, 0, 0.5), -std::log(s) + 0.5 * 2.0);
}

TEST(LossTest, DerivativesEqualCentralDifferences) {
  Random random(5);
  for (const LossKind kind :
       {LossKind::kSigmoid, LossKind::kIpo, LossKind::kHinge, LossKind::kRobust, LossKind::kSft}) {
    for (const double smoothing : {0.0, 0.15}) {
      for (const double rpo_alpha : {0.0, 0.7}) {
        for (int trial = 0; trial < 20; ++trial) {
          const LossOptions options = options_of(kind, smoothing, rpo_alpha);
          const PairLogprobs at{random.number(40), random.number(40),   random.number(40),
                                random.number(40), 1 + random.below(9), 1 + random.below(9)};
          const double h = at.chosen - at.reference_chosen - at.rejected + at.reference_rejected;
          constexpr double kStep = 1e-3;
          if (kind == LossKind::kHinge && std::abs(1 - 0.1 * h) < 2 * kStep) continue;  // the kink
          const PairLoss loss = pair_loss(options, at);
          const auto slope = [&](double PairLogprobs::*field) {
            PairLogprobs up = at, down = at;
            up.*field += kStep;
            down.*field -= kStep;
            return (pair_loss(options, up).loss - pair_loss(options, down).loss) / (2 * kStep);
          };
          // Truncation 1e-6 / 6 times a third derivative below beta^3; rounding 1e-16 * loss /
          // 1e-3.
          const double tolerance = 1e-9 + 2e-12 * std::abs(loss.loss);
          EXPECT_TRUE(std::abs(slope(&PairLogprobs::chosen) - loss.d_chosen) <= tolerance);
          EXPECT_TRUE(std::abs(slope(&PairLogprobs::rejected) - loss.d_rejected) <= tolerance);
        }
      }
    }
  }
}

TEST(LossTest, StaysFiniteFarFromZero) {
  for (const double margin : {-1e5, 1e5}) {
    const PairLoss loss = pair_loss(options_of(LossKind::kSigmoid), {margin, 0, 0, 0, 3, 3});
    EXPECT_TRUE(std::isfinite(loss.loss) && std::isfinite(loss.d_chosen));
  }
}

TEST(LossTest, CarriesNotANumber) {
  for (const LossKind kind :
       {LossKind::kSigmoid, LossKind::kIpo, LossKind::kHinge, LossKind::kRobust, LossKind::kSft}) {
    EXPECT_TRUE(std::isnan(pair_loss(options_of(kind), {NAN, 0, 0, 0, 1, 1}).loss));
  }
}

TEST(LossTest, RefusesOptionsWithoutAMeaning) {
  const PairLogprobs pair{-1, -1, -1, -1, 1, 1};
  EXPECT_THROW(pair_loss({LossKind::kSigmoid, 0, 0, 0}, pair), Error);
  EXPECT_THROW(pair_loss({LossKind::kRobust, 0.1, 0.5, 0}, pair), Error);
  EXPECT_THROW(pair_loss({LossKind::kSigmoid, 0.1, 1, 0}, pair), Error);
  EXPECT_THROW(pair_loss({LossKind::kSigmoid, 0.1, 0, -1}, pair), Error);
}

}  // namespace
}  // namespace valora::test
