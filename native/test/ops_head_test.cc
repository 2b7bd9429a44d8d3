// head_forward, head_backward and sample against double-precision answers, for every backend; the
// gradient also against central differences of the loss itself.
//
// Seen failing: the expectation not rescaled when the maximum moves; the last chunk's padding
// counted as entries of logit 0; the largest index of equal logits returned; top_p applied before
// top_k.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/matrix.h"
#include "support/weights.h"

namespace valora::test {
namespace {

struct HeadShape {
  int64_t rows, channels, vocabulary;
  float scale;
};

// Below, at and past a chunk of 512, leftovers of one, and logits of some tens.
constexpr HeadShape kShapes[] = {{1, 8, 1, 1},    {2, 17, 40, 1},   {1, 64, 512, 1},
                                 {3, 33, 513, 4}, {9, 48, 1300, 2}, {70, 16, 1025, 8}};

struct RowAnswer {
  std::vector<double> logits;
  double largest, normaliser;
  double logit_error;  // the largest over the vocabulary
};

RowAnswer row_answer(const std::vector<double>& x, const Matrix& w) {
  RowAnswer answer{std::vector<double>(w.rows()), -INFINITY, 0, 0};
  for (int64_t o = 0; o < w.rows(); ++o) {
    double size = 0;
    for (int64_t c = 0; c < w.cols(); ++c) {
      answer.logits[o] += x[c] * w.at(o, c);
      size += std::abs(x[c] * w.at(o, c));
    }
    answer.largest = std::max(answer.largest, answer.logits[o]);
    answer.logit_error = std::max(answer.logit_error, (w.cols() + 6) * kRoundoff * size);
  }
  double total = 0;
  for (const double logit : answer.logits) total += std::exp(logit - answer.largest);
  answer.normaliser = answer.largest + std::log(total);
  return answer;
}

std::vector<double> row_of(const Matrix& x, int64_t n) {
  std::vector<double> row(x.cols());
  for (int64_t c = 0; c < x.cols(); ++c) row[c] = x.at(n, c);
  return row;
}

// What float32 exponentials cost a normaliser that is summed in double: a few roundings of each
// term.
constexpr double kNormaliserRoundings = 8;

class OpsHeadTest : public OpsTest {};

TEST_P(OpsHeadTest, ForwardIsRight) {
  Random random(31);
  const Machine machine(ops(), 2);
  for (const HeadShape& s : kShapes) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kQ8_0}) {
      if (s.channels % dtype_info(dtype).block_size != 0) continue;
      SCOPED_TRACE(std::to_string(s.vocabulary) + " entries, " + dtype_info(dtype).name);
      const StoredWeight w = random_weight(random, dtype, s.vocabulary, s.channels);
      const std::unique_ptr<Weight> weight = w.upload(ops());
      const Matrix x = Matrix::random(random, s.rows, s.channels, s.scale);
      std::vector<HeadTarget> targets;
      for (int32_t n = 0; n < s.rows; ++n) {
        targets.push_back({n, static_cast<int32_t>(random.below(s.vocabulary))});
        if (n % 3 == 0) targets.push_back({n, static_cast<int32_t>(s.vocabulary - 1)});
      }
      std::vector<double> normaliser(s.rows, NAN);
      std::vector<int32_t> argmax(s.rows, -1);
      std::vector<float> target_logit(targets.size(), NAN);
      Matrix expected(s.rows, s.channels);
      ops::head_forward({normaliser.data(), argmax.data(), target_logit.data()}, expected.view(),
                        x.view(), *weight, targets.data(), targets.size(), machine);
      Answer want(s.rows, s.channels);
      for (int64_t n = 0; n < s.rows; ++n) {
        const RowAnswer row = row_answer(row_of(x, n), w.values);
        double spread = 0;
        for (const double logit : row.logits) spread = std::max(spread, row.largest - logit);
        const double error = row.logit_error + (kNormaliserRoundings + spread) * kRoundoff;
        EXPECT_TRUE(std::abs(normaliser[n] - row.normaliser) <= error)
            << "row " << n << ": " << normaliser[n] << " " << row.normaliser;
        ASSERT_TRUE(argmax[n] >= 0 && argmax[n] < s.vocabulary);
        EXPECT_TRUE(row.logits[argmax[n]] >= row.largest - 2 * row.logit_error) << "row " << n;
        for (size_t t = 0; t < targets.size(); ++t) {
          if (targets[t].row != n) continue;
          EXPECT_TRUE(std::abs(target_logit[t] - row.logits[targets[t].token]) <= row.logit_error);
        }
        for (int64_t o = 0; o < s.vocabulary; ++o) {
          const double p = std::exp(row.logits[o] - row.normaliser);
          for (int64_t c = 0; c < s.channels; ++c) {
            want.value.at(n, c) += p * w.values.at(o, c);
            // Both the term and the normaliser move with the logits; then a chain over the
            // vocabulary.
            want.bound.at(n, c) +=
                p * std::abs(w.values.at(o, c)) * (2 * error + (s.vocabulary + 16) * kRoundoff);
          }
        }
      }
      expect_within(expected, want, "expected");

      // Without the expectation, the same numbers.
      std::vector<double> again(s.rows, NAN);
      std::vector<int32_t> argmax_again(s.rows, -1);
      std::vector<float> logit_again(targets.size(), NAN);
      ops::head_forward({again.data(), argmax_again.data(), logit_again.data()}, View{}, x.view(),
                        *weight, targets.data(), targets.size(), machine);
      EXPECT_EQ(again, normaliser);
      EXPECT_EQ(argmax_again, argmax);
      EXPECT_EQ(logit_again, target_logit);
    }
  }
}

// 49,152 equal logits: a float32 sum drifts (design promise 1), a double one is exact.
TEST_P(OpsHeadTest, NormaliserIsSummedInDoubleAndTiesGoToTheSmallestIndex) {
  const Machine machine(ops(), 2);
  const int64_t vocabulary = 49152;
  const std::vector<float> ones(vocabulary, 1.0f);
  const std::unique_ptr<Weight> w = ops().upload_weight(
      {reinterpret_cast<const uint8_t*>(ones.data()), Dtype::kF32, vocabulary, 1, 0}, machine);
  Matrix x(1, 1);
  x.fill(0.1f);
  double normaliser;
  int32_t argmax;
  float logit;
  const HeadTarget target{0, 40000};
  ops::head_forward({&normaliser, &argmax, &logit}, View{}, x.view(), *w, &target, 1, machine);
  EXPECT_TRUE(std::abs(normaliser - (double{0.1f} + std::log(49152.0))) <= 1e-12) << normaliser;
  EXPECT_EQ(argmax, 0);
  EXPECT_EQ(logit, 0.1f);
}

TEST_P(OpsHeadTest, GradientMeetsFiniteDifferencesOfTheLoss) {
  Random random(32);
  const Machine machine(ops(), 2);
  const int64_t rows = 4, channels = 5, vocabulary = 530;
  const StoredWeight w = random_weight(random, Dtype::kF32, vocabulary, channels);
  const std::unique_ptr<Weight> weight = w.upload(ops());
  const Matrix x = Matrix::random(random, rows, channels, 2);
  // Row 0 has two targets, row 2 none.
  const std::vector<HeadTarget> targets = {{0, 3}, {0, 529}, {1, 512}, {3, 0}};
  const std::vector<float> coefficients = {0.7f, -1.3f, 0.25f, 2.0f};
  std::vector<double> normaliser(rows);
  std::vector<int32_t> argmax(rows);
  std::vector<float> logit(targets.size());
  Matrix expected(rows, channels), dx(rows, channels);
  ops::head_forward({normaliser.data(), argmax.data(), logit.data()}, expected.view(), x.view(),
                    *weight, targets.data(), targets.size(), machine);
  ops::head_backward(dx.view(), expected.view(), *weight, targets.data(), coefficients.data(),
                     targets.size(), machine);
  Answer want(rows, channels);
  constexpr double kStep = 1e-4;
  for (int64_t n = 0; n < rows; ++n) {
    const auto loss = [&](const std::vector<double>& at) {
      const RowAnswer row = row_answer(at, w.values);
      double sum = 0;
      for (size_t t = 0; t < targets.size(); ++t) {
        if (targets[t].row == n) {
          sum += coefficients[t] * (row.logits[targets[t].token] - row.normaliser);
        }
      }
      return sum;
    };
    double weights = 0;
    for (size_t t = 0; t < targets.size(); ++t) {
      if (targets[t].row == n) weights += std::abs(coefficients[t]);
    }
    const RowAnswer row = row_answer(row_of(x, n), w.values);
    for (int64_t c = 0; c < channels; ++c) {
      std::vector<double> up = row_of(x, n), down = row_of(x, n);
      up[c] += kStep;
      down[c] -= kStep;
      want.value.at(n, c) = (loss(up) - loss(down)) / (2 * kStep);
      // |W| <= 1, so the expectation is off by at most its probabilities' errors; and the
      // differences' own h^2 / 6 times a third cumulant of at most 8.
      want.bound.at(n, c) =
          weights * (2 * row.logit_error + (vocabulary + 32) * kRoundoff + 2 * kStep * kStep);
    }
  }
  expect_within(dx, want, "dx");
  for (int64_t c = 0; c < channels; ++c) EXPECT_EQ(dx.at(2, c), 0.0f);
}

TEST_P(OpsHeadTest, ARowsBitsDoNotDependOnItsBatch) {
  Random random(33);
  const Machine machine(ops(), 3);
  const int64_t rows = 37, channels = 50, vocabulary = 1100;
  const StoredWeight w = random_weight(random, Dtype::kF32, vocabulary, channels);
  const std::unique_ptr<Weight> weight = w.upload(ops());
  const Matrix x = Matrix::random(random, rows, channels);
  std::vector<HeadTarget> targets;
  for (int32_t n = 0; n < rows; ++n) targets.push_back({n, (n * 31) % 1100});
  std::vector<double> normaliser(rows);
  std::vector<int32_t> argmax(rows);
  std::vector<float> logit(rows);
  Matrix expected(rows, channels);
  ops::head_forward({normaliser.data(), argmax.data(), logit.data()}, expected.view(), x.view(),
                    *weight, targets.data(), rows, machine);
  for (const int64_t n : {0, 1, 16, 31, 36}) {
    const Matrix alone = x.slice(n, 1);
    const HeadTarget target{0, targets[n].token};
    double one_normaliser;
    int32_t one_argmax;
    float one_logit;
    Matrix one_expected(1, channels);
    ops::head_forward({&one_normaliser, &one_argmax, &one_logit}, one_expected.view(), alone.view(),
                      *weight, &target, 1, machine);
    EXPECT_EQ(one_normaliser, normaliser[n]) << n;
    EXPECT_EQ(one_argmax, argmax[n]) << n;
    EXPECT_EQ(one_logit, logit[n]) << n;
    EXPECT_TRUE(same_row(one_expected, 0, expected, n)) << n;

    // Sampling one token of it, with the same draw.
    const SampleParameters parameters{0.8f, 50, 0.9f};
    std::vector<float> uniform(rows, 0.5f);
    std::vector<int32_t> tokens(rows);
    std::vector<double> logprobs(rows);
    ops::sample(tokens.data(), logprobs.data(), x.view(), *weight, parameters, uniform.data(),
                machine);
    int32_t token;
    double logprob;
    ops::sample(&token, &logprob, alone.view(), *weight, parameters, uniform.data(), machine);
    EXPECT_EQ(token, tokens[n]) << n;
    EXPECT_EQ(logprob, logprobs[n]) << n;
  }
}

// The tokens that a draw may fall on, given that weights are uncertain by a relative `slack`; empty
// where a border of top_k or top_p is too close to call.
std::vector<int32_t> acceptable(const RowAnswer& row, const SampleParameters& parameters,
                                double uniform, double slack) {
  const int64_t vocabulary = static_cast<int64_t>(row.logits.size());
  std::vector<int32_t> kept(vocabulary);
  std::iota(kept.begin(), kept.end(), 0);
  std::sort(kept.begin(), kept.end(),
            [&](int32_t a, int32_t b) { return row.logits[a] > row.logits[b]; });
  const auto weight = [&](int32_t o) {
    return std::exp((row.logits[o] - row.largest) / parameters.temperature);
  };
  if (parameters.top_k > 0 && parameters.top_k < vocabulary) {
    const double last = weight(kept[parameters.top_k - 1]), next = weight(kept[parameters.top_k]);
    if (last - next <= slack * last) return {};
    kept.resize(parameters.top_k);
  }
  if (parameters.top_p < 1) {
    double all = 0;
    for (const int32_t o : kept) all += weight(o);
    double run = 0;
    size_t count = 0;
    while (count < kept.size()) {
      if (count > 0 && std::abs(run - parameters.top_p * all) <= 2 * slack * all) return {};
      if (run >= parameters.top_p * all) break;
      run += weight(kept[count++]);
    }
    if (count < kept.size() &&
        weight(kept[count - 1]) - weight(kept[count]) <= slack * weight(kept[count])) {
      return {};
    }
    kept.resize(count);
  }
  std::sort(kept.begin(), kept.end());
  double total = 0;
  for (const int32_t o : kept) total += weight(o);
  std::vector<int32_t> fine;
  double run = 0;
  for (const int32_t o : kept) {
    const double low = run;
    run += weight(o);
    if (uniform * total >= low - 2 * slack * total && uniform * total <= run + 2 * slack * total) {
      fine.push_back(o);
    }
  }
  return fine;
}

TEST_P(OpsHeadTest, SamplingFollowsTemperatureTopKAndTopP) {
  Random random(34);
  const Machine machine(ops(), 2);
  const int64_t rows = 200;
  for (const int64_t vocabulary : {1, 13, 700}) {
    const int64_t channels = 12;
    const StoredWeight w = random_weight(random, Dtype::kF32, vocabulary, channels);
    const std::unique_ptr<Weight> weight = w.upload(ops());
    for (const SampleParameters& parameters :
         {SampleParameters{0, 0, 1}, SampleParameters{1, 0, 1}, SampleParameters{0.7f, 5, 1},
          SampleParameters{1.3f, 0, 0.8f}, SampleParameters{1, 10, 0.5f},
          SampleParameters{0.01f, 0, 1}, SampleParameters{1, 1, 1},
          SampleParameters{1, 0, 1e-6f}}) {
      SCOPED_TRACE(std::to_string(vocabulary) + " entries, temperature " +
                   std::to_string(parameters.temperature) + " top_k " +
                   std::to_string(parameters.top_k) + " top_p " + std::to_string(parameters.top_p));
      const Matrix x = Matrix::random(random, rows, channels, 2);
      std::vector<float> uniform(rows);
      for (float& u : uniform) u = random.unit();
      uniform[0] = 0;
      uniform[1] = 1 - 0x1p-24f;
      std::vector<int32_t> tokens(rows, -1);
      std::vector<double> logprobs(rows, NAN);
      ops::sample(tokens.data(), logprobs.data(), x.view(), *weight, parameters, uniform.data(),
                  machine);
      int64_t uncertain = 0;
      for (int64_t n = 0; n < rows; ++n) {
        ASSERT_TRUE(tokens[n] >= 0 && tokens[n] < vocabulary);
        const RowAnswer row = row_answer(row_of(x, n), w.values);
        const double want = row.logits[tokens[n]] - row.normaliser;
        EXPECT_TRUE(std::abs(logprobs[n] - want) <=
                    2 * row.logit_error + 32 * kRoundoff * (1 + std::abs(want)))
            << logprobs[n] << " " << want;
        if (parameters.temperature == 0) {
          EXPECT_TRUE(row.logits[tokens[n]] >= row.largest - 2 * row.logit_error);
          continue;
        }
        const double slack = 4 * (row.logit_error + 64 * kRoundoff) / parameters.temperature;
        const std::vector<int32_t> fine = acceptable(row, parameters, uniform[n], slack);
        if (fine.empty()) {
          ++uncertain;
          continue;
        }
        EXPECT_TRUE(std::find(fine.begin(), fine.end(), tokens[n]) != fine.end())
            << "row " << n << " drew " << tokens[n] << " at " << uniform[n] << ", expected "
            << fine.front();
      }
      EXPECT_LE(uncertain, rows / 5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OpsHeadTest, testing::ValuesIn(backends()), backend_name);

}  // namespace
}  // namespace valora::test
