// head_forward, head_backward and sample as CUDA kernels under emulation, in bfloat16 and for large
// vocabularies: near the double-precision answer; the same bits in every order, for a row alone and
// with or without the expectation; sampling against the CPU backend's choice; and the counts.
// (In float32, on awkward shapes: ops_head_test.cc, built for the emulation as well.)
#include <cmath>

#include "cpu/choose_token.h"
#include "cuda/cuda.h"
#include "support/device_buffer.h"

namespace valora::test {
namespace {

constexpr int kSeeds = 20;

// Numbers that bfloat16 holds exactly.
Buffer bfloat16_numbers(Random& random, int64_t rows, int64_t cols) {
  Buffer buffer = Buffer::random(random, rows, cols);
  for (int64_t i = 0; i < rows * cols; ++i) {
    float& value = buffer.view().data[i];
    value = __bfloat162float(__float2bfloat16_rn(value));
  }
  return buffer;
}

struct Vocabulary {
  const Buffer& w;
  Dtype dtype;
  Buffer numbers;

  Vocabulary(const Buffer& weight, Dtype product_dtype)
      : w(weight),
        dtype(product_dtype),
        numbers(1, cuda::padded_bytes(dtype, w.view().rows, w.view().cols) / 4) {
    cuda::convert_weight(numbers.view().data, dtype,
                         {w.view().data, Dtype::kF32, w.view().rows, w.view().cols}, nullptr);
  }
  cuda::DeviceWeight weight() const {
    return {numbers.view().data, dtype, w.view().rows, cuda::padded_cols(w.view().cols)};
  }
};

struct HeadOutputs {
  std::vector<double> normaliser;
  std::vector<int32_t> argmax;
  std::vector<float> target_logit, expected, dx;
  bool operator==(const HeadOutputs&) const = default;
};

constexpr float kCoefficient = 0.75f;

HeadOutputs run_head(const Vocabulary& vocabulary, View x, const std::vector<HeadTarget>& targets,
                     bool expects, int64_t step = kHeadChunk) {
  const cuda::DeviceWeight w = vocabulary.weight();
  HeadOutputs out{std::vector<double>(x.rows, NAN),
                  std::vector<int32_t>(x.rows, -1),
                  std::vector<float>(targets.size(), NAN),
                  {},
                  {}};
  const Buffer scratch(1, cuda::head_forward_bytes(x.rows, w, step) / 4);
  const Buffer expected(x.rows, expects ? x.cols : 0), dx(x.rows, x.cols);
  cuda::head_forward({out.normaliser.data(), out.argmax.data(), out.target_logit.data()},
                     expects ? expected.view() : View{}, x, w, targets.data(),
                     static_cast<int64_t>(targets.size()), scratch.view().data, nullptr, step);
  if (!expects) return out;
  const std::vector<float> coefficients(targets.size(), kCoefficient);
  cuda::head_backward(dx.view(), expected.view(), w, targets.data(), coefficients.data(),
                      static_cast<int64_t>(targets.size()), nullptr);
  out.expected = expected.numbers();
  out.dx = dx.numbers();
  return out;
}

// A target for each row, and a second one, at the end of the list, for every third.
std::vector<HeadTarget> targets_for(int64_t rows, int64_t vocabulary) {
  std::vector<HeadTarget> targets;
  for (int32_t n = 0; n < rows; ++n) {
    targets.push_back({n, static_cast<int32_t>(n * 331 % vocabulary)});
  }
  for (int32_t n = 0; n < rows; n += 3)
    targets.push_back({n, static_cast<int32_t>(vocabulary - 1)});
  return targets;
}

constexpr int64_t kRows = 40, kChannels = 48, kVocabulary = 1300;

TEST(CudaHead, OfEqualLogitsTheFirstIsTheLikeliest) {
  Random random(52);
  const Buffer w = bfloat16_numbers(random, kVocabulary, kChannels);
  const Buffer x(kRows, kChannels);
  for (int64_t n = 0; n < kRows; ++n) std::fill_n(x.view().row(n), kChannels, 1.0f);
  // Neighbours, entries of one step and of others: exact, and beyond what random rows add up to.
  for (const int o : {37, 38, 39, 69, 600, 1299}) {
    std::fill_n(w.view().row(o), kChannels, 4.0f);
  }
  for (const int64_t step : {int64_t{512}, int64_t{kHeadChunk}}) {
    const HeadOutputs out = run_head(Vocabulary(w, Dtype::kBF16), x.view(), {}, false, step);
    EXPECT_EQ(out.argmax, std::vector<int32_t>(kRows, 37)) << "steps of " << step;
  }
}

TEST(CudaHead, IsNearTheAnswerInBfloat16) {
  Random random(51);
  const Buffer w = bfloat16_numbers(random, kVocabulary, kChannels);
  const Buffer x = bfloat16_numbers(random, kRows, kChannels);
  const std::vector<HeadTarget> targets = targets_for(kRows, kVocabulary);
  const HeadOutputs out = run_head(Vocabulary(w, Dtype::kBF16), x.view(), targets, true);
  for (int64_t n = 0; n < kRows; ++n) {
    std::vector<double> logits(kVocabulary);
    double size = 0, total = 0, largest = -INFINITY;
    for (int64_t o = 0; o < kVocabulary; ++o) {
      double one = 0;
      for (int64_t c = 0; c < kChannels; ++c) {
        const double term = double{x.view().row(n)[c]} * w.view().row(o)[c];
        logits[o] += term;
        one += std::abs(term);
      }
      size = std::max(size, one);
      largest = std::max(largest, logits[o]);
      total += std::exp(logits[o]);
    }
    const double logit_error = (kChannels + 6) * kRoundoff * size;
    const double error = logit_error + (8 + 2 * largest) * kRoundoff;
    EXPECT_TRUE(std::abs(out.normaliser[n] - std::log(total)) <= error) << "row " << n;
    EXPECT_TRUE(logits[out.argmax[n]] >= largest - 2 * logit_error) << "row " << n;
    for (size_t t = 0; t < targets.size(); ++t) {
      if (targets[t].row != n) continue;
      EXPECT_TRUE(std::abs(out.target_logit[t] - logits[targets[t].token]) <= logit_error);
    }
    for (int64_t c = 0; c < kChannels; ++c) {
      double mean = 0, share = 0;
      for (int64_t o = 0; o < kVocabulary; ++o) {
        const double term = std::exp(logits[o]) / total * w.view().row(o)[c];
        mean += term;
        share += std::abs(term);
      }
      // Weights are rounded to bfloat16; the rest is float32's.
      const double bound = share * (1.01 / (1 << 9) + 2 * error + kVocabulary * kRoundoff);
      const double got = out.expected[n * kChannels + c];
      EXPECT_TRUE(std::abs(got - mean) <= bound) << "row " << n << ": " << got << " " << mean;
      double dx = 0, dx_bound = 0;
      for (const HeadTarget& target : targets) {
        if (target.row != n) continue;
        dx += kCoefficient * (w.view().row(target.token)[c] - mean);
        dx_bound += kCoefficient * (bound + 8 * kRoundoff);
      }
      EXPECT_TRUE(std::abs(out.dx[n * kChannels + c] - dx) <= dx_bound) << "row " << n;
    }
  }
}

TEST(CudaHead, GivesTheSameBitsInEveryOrderAndForARowAlone) {
  Random random(52);
  const int64_t vocabulary = 600, channels = 20;
  const Buffer w = Buffer::random(random, vocabulary, channels);
  const Vocabulary entries(w, Dtype::kBF16);
  const Buffer x = Buffer::random(random, kRows, channels);
  const std::vector<HeadTarget> targets = targets_for(kRows, vocabulary);
  HeadOutputs first;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    emulation::Session session({.seed = seed});
    const HeadOutputs now = run_head(entries, x.view(), targets, true);
    if (seed == 0) first = now;
    EXPECT_TRUE(now == first) << "seed " << seed;
  }
  const HeadOutputs without = run_head(entries, x.view(), targets, false);
  EXPECT_EQ(without.normaliser, first.normaliser);
  EXPECT_EQ(without.target_logit, first.target_logit);
  for (const int64_t n : {0, 17, 39}) {
    const HeadOutputs alone =
        run_head(entries, x.view().slice_rows(n, 1), {{0, targets[n].token}}, true);
    EXPECT_EQ(alone.normaliser[0], first.normaliser[n]);
    EXPECT_EQ(alone.argmax[0], first.argmax[n]);
    EXPECT_EQ(alone.target_logit[0], first.target_logit[n]);
    EXPECT_TRUE(std::equal(alone.expected.begin(), alone.expected.end(),
                           first.expected.begin() + n * channels));
  }
}

TEST(CudaHead, CountsWhatItsHeaderSays) {
  Random random(53);
  const int64_t rows = 128, channels = 128;
  const Buffer w = Buffer::random(random, 2 * kHeadChunk, channels);
  const Vocabulary entries(w, Dtype::kBF16);
  const Buffer x = Buffer::random(random, rows, channels);
  emulation::Session session({.seed = 3, .l2_bytes = 4 << 20});
  run_head(entries, x.view(), {}, true);
  const int64_t copied = rows * channels * 2, chunk = kHeadChunk * channels * 2;
  const int64_t logits = rows * kHeadChunk * 4, weights = rows * kHeadChunk * 2;
  const int64_t states = rows * 16, factors = rows * 8;
  int step = 0;
  for (const emulation::LaunchRecord& launch : session.launches) {
    const emulation::Counters& counters = launch.counters;
    const auto expect_bytes = [&](int64_t least) {
      EXPECT_GE(counters.memory_bytes(), least) << launch.kernel;
      EXPECT_LE(counters.memory_bytes(), least + least / 10) << launch.kernel;
    };
    EXPECT_EQ(counters.bank_conflicts(), 0) << launch.kernel;
    EXPECT_EQ(counters.read.wasted_sectors, 0) << launch.kernel;
    if (launch.kernel == "head_logits") {
      expect_bytes(copied + chunk + logits);
      EXPECT_EQ(counters.mma, rows * kHeadChunk * channels / (16 * 8 * 16));
    } else if (launch.kernel == "head_take_in") {
      expect_bytes(logits + weights + factors + states * (step == 0 ? 1 : 2));
    } else if (launch.kernel == "head_expected") {
      expect_bytes(weights + chunk + factors + x.bytes() * (step == 0 ? 1 : 2));
      EXPECT_EQ(counters.mma, rows * kHeadChunk * channels / (16 * 8 * 16));
      EXPECT_EQ(counters.mma, counters.ldmatrix * 4);
      ++step;
    }
  }
  EXPECT_EQ(step, 2);
}

// With one channel of float32 a logit is one product, so that the CPU's choice has the same ones.
TEST(CudaSample, ChoosesWhatTheCpuChoosesAmong131072) {
  Random random(54);
  const int64_t vocabulary = 131072;
  const Buffer w = Buffer::random(random, vocabulary, 1);
  const Vocabulary entries(w, Dtype::kF32);
  const cuda::DeviceWeight weight = entries.weight();
  const Buffer x(1, 1);
  std::vector<uint8_t> candidates(static_cast<size_t>(vocabulary) * 16);
  for (const SampleParameters& parameters :
       {SampleParameters{0.8f, 50, 0.9f}, SampleParameters{1.5f, 0, 0.6f}}) {
    x.view().data[0] = 9;
    std::vector<float> logits(vocabulary);
    for (int64_t o = 0; o < vocabulary; ++o) logits[o] = 9 * w.view().data[o];
    const float largest = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (const float logit : logits) total += std::exp(double{logit} - largest);
    const float uniform = random.unit();
    const Buffer scratch(1, cuda::sample_bytes(1, weight) / 4);
    int32_t token = -1;
    double logprob = NAN;
    cuda::sample(&token, &logprob, x.view(), weight, parameters, &uniform, scratch.view().data,
                 nullptr);
    EXPECT_EQ(token, choose_token(logits.data(), vocabulary, largest, parameters, uniform,
                                  candidates.data()));
    ASSERT_TRUE(token >= 0 && token < vocabulary);
    EXPECT_TRUE(std::abs(logprob - (double{logits[token]} - largest - std::log(total))) <= 1e-6);
  }
}

// Sums of weights are whole numbers of 64 bits, of which as many as fit are used.
TEST(CudaSample, WeightsOfAllTokensFit63BitsAndLeaveAtMostOneUnused) {
  for (const int64_t vocabulary : {1, 2, 3, 131072, 131073, (1 << 19) + 3, 1 << 24}) {
    const double sum = cuda::sample_units(vocabulary) * static_cast<double>(vocabulary);
    EXPECT_TRUE(sum <= 0x1p63 && sum > 0x1p62) << vocabulary;
  }
}

TEST(CudaSample, RefusesMoreTokensThanItsRanksCount) {
  const Buffer x(1, 1);
  const cuda::DeviceWeight w{nullptr, Dtype::kF32, (1 << 24) + 1, 8};
  EXPECT_THROW(cuda::sample(nullptr, nullptr, x.view(), w, {1, 0, 1}, nullptr, nullptr, nullptr),
               Error);
}

TEST(CudaSample, RanksEqualLogitsByIndexInEveryOrder) {
  Random random(55);
  const int64_t vocabulary = 700, rows = 6;
  Buffer w = Buffer::random(random, vocabulary, 1);
  // Few different logits, and zeros of both signs.
  for (int64_t o = 0; o < vocabulary; ++o) {
    float& value = w.view().data[o];
    value = std::round(value * 3);
    if (value == 0 && o % 2 == 0) value = -0.0f;
  }
  w.view().data[0] = -3;  // the first token is among the last of row 0, whose draw is 0
  const Vocabulary entries(w, Dtype::kF32);
  const cuda::DeviceWeight weight = entries.weight();
  const Buffer x(rows, 1);
  std::vector<float> uniform(rows);
  for (int64_t n = 0; n < rows; ++n) {
    x.view().data[n] = n % 2 == 0 ? 0.5f : -0.5f;
    uniform[n] = n == 0 ? 0 : random.unit();
  }
  std::vector<uint8_t> candidates(static_cast<size_t>(vocabulary) * 16);
  for (const SampleParameters& parameters :
       {SampleParameters{0, 0, 1}, SampleParameters{1, 0, 1}, SampleParameters{1, 300, 1},
        SampleParameters{1, 300, 0.7f}, SampleParameters{2, 0, 0.5f}}) {
    SCOPED_TRACE("top_k " + std::to_string(parameters.top_k) + " top_p " +
                 std::to_string(parameters.top_p));
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      emulation::Session session({.seed = seed});
      const Buffer scratch(1, cuda::sample_bytes(rows, weight) / 4);
      std::vector<int32_t> tokens(rows, -1);
      std::vector<double> logprobs(rows, NAN);
      cuda::sample(tokens.data(), logprobs.data(), x.view(), weight, parameters, uniform.data(),
                   scratch.view().data, nullptr);
      for (int64_t n = 0; n < rows; ++n) {
        std::vector<float> logits(vocabulary);
        for (int64_t o = 0; o < vocabulary; ++o) logits[o] = x.view().data[n] * w.view().data[o];
        const auto largest = std::max_element(logits.begin(), logits.end());
        const int32_t want = parameters.temperature > 0
                                 ? choose_token(logits.data(), vocabulary, *largest, parameters,
                                                uniform[n], candidates.data())
                                 : static_cast<int32_t>(largest - logits.begin());
        EXPECT_EQ(tokens[n], want) << "row " << n << " seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace valora::test
