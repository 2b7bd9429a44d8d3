// What looks at the whole vocabulary: head_forward with the expectation that training needs, and
// the choice of a next token.
#include <cmath>

#include "bench/kernel.h"

namespace valora::bench {

namespace {

// Logits of a size that a model's have: a softmax that is neither flat nor one token's alone.
float input_scale(int64_t inputs) { return 4.0f / std::sqrt(static_cast<float>(inputs)); }

// Compute::kBf16 rounds each token's share of the expected row to 8 bits, which the reference keeps
// in double: off by up to 2^-9 of itself, by 2^-9 / sqrt(3) in the mean of squares, and so is their
// sum of its size; the worst of very many sums by some times that.
constexpr double kShareRounding = 8 * 0x1p-9 / 1.7320508;

// Log-normaliser, arg max and one target's logit of each row, and the expected row of W.
class HeadForward : public Kernel {
 public:
  HeadForward(const KernelSpec& spec, Random& random)
      : w_(random, spec.dtype, spec.outputs, spec.inputs, *spec.ops),
        x_(random, spec.rows, spec.inputs, input_scale(spec.inputs)),
        expected_(spec.rows, spec.inputs),
        normaliser_(spec.rows),
        argmax_(spec.rows),
        logits_(spec.rows) {
    for (int64_t n = 0; n < spec.rows; ++n) {
      targets_.push_back(
          {static_cast<int32_t>(n), static_cast<int32_t>(random.below(spec.outputs))});
    }
    flops = 4.0 * spec.rows * spec.inputs * spec.outputs;
    bytes = w_.bytes() + x_.bytes() + expected_.bytes();
    depth = static_cast<double>(spec.inputs + spec.outputs);
  }

  void run(const Context& context) override {
    ops::head_forward({normaliser_.data(), argmax_.data(), logits_.data()}, expected_, x_, w_,
                      targets_.data(), static_cast<int64_t>(targets_.size()), context);
  }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    run(context);
    const double work = 2.0 * static_cast<double>(w_.weight().rows() * w_.weight().cols());
    for (const auto& [begin, count] : rows_to_verify(x_.view().rows, work)) {
      compare_rows(begin, count, reference, results);
    }
  }

  ScratchSize scratch(Compute compute) const override {
    return head_forward_scratch(compute, x_.view().rows, x_.view().cols);
  }

 private:
  // The reference is also asked for the logit of the token found likeliest here: where two are
  // nearly equal, rounding may choose either.
  void compare_rows(int64_t begin, int64_t count, const Context& reference, Comparison& results) {
    std::vector<HeadTarget> targets;
    for (int64_t n = 0; n < count; ++n) {
      const int32_t row = static_cast<int32_t>(n);
      targets.push_back({row, targets_[begin + n].token});
      targets.push_back({row, argmax_[begin + n]});
    }
    std::vector<double> normaliser(count);
    std::vector<int32_t> argmax(count);
    std::vector<float> logits(2 * count);
    const View x = x_.view().slice_rows(begin, count);
    const Matrix expected(count, x.cols);
    ops::head_forward({normaliser.data(), argmax.data(), logits.data()}, expected, x, w_,
                      targets.data(), 2 * count, reference);
    std::vector<HeadTarget> likeliest;
    for (int64_t n = 0; n < count; ++n) likeliest.push_back({static_cast<int32_t>(n), argmax[n]});
    std::vector<float> largest(count);
    ops::head_forward({normaliser.data(), argmax.data(), largest.data()}, View{}, x, w_,
                      likeliest.data(), count, reference);
    std::vector<float> wanted(count), chosen(count);
    for (int64_t n = 0; n < count; ++n) {
      wanted[n] = logits[2 * n];
      chosen[n] = logits[2 * n + 1];
    }
    results.add("expected", expected_.view().slice_rows(begin, count), expected,
                reference.compute == Compute::kBf16 ? kShareRounding : 0);
    results.add("normaliser", normaliser_.data() + begin, normaliser.data(), count);
    results.add("target_logit", logits_.data() + begin, wanted.data(), count);
    results.add("argmax", chosen.data(), largest.data(), count);
  }

  StoredWeight w_;
  Matrix x_;
  Matrix expected_;
  std::vector<HeadTarget> targets_;
  std::vector<double> normaliser_;
  std::vector<int32_t> argmax_;
  std::vector<float> logits_;
};

// A token a row, among the forty likeliest.
class Sample : public Kernel {
 public:
  Sample(const KernelSpec& spec, Random& random)
      : w_(random, spec.dtype, spec.outputs, spec.inputs, *spec.ops),
        x_(random, spec.rows, spec.inputs, input_scale(spec.inputs)),
        uniform_(spec.rows, 0.5f),
        tokens_(spec.rows),
        logprobs_(spec.rows) {
    flops = 2.0 * spec.rows * spec.inputs * spec.outputs;
    bytes = w_.bytes() + x_.bytes();
    depth = static_cast<double>(spec.inputs);
  }

  void run(const Context& context) override { choose(tokens_, logprobs_, 0, x_, context); }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    run(context);
    const double work = static_cast<double>(w_.weight().rows() * w_.weight().cols());
    for (const auto& [begin, count] : rows_to_verify(x_.view().rows, work)) {
      std::vector<int32_t> tokens(count);
      std::vector<double> logprobs(count);
      choose(tokens, logprobs, begin, x_.view().slice_rows(begin, count), reference);
      for (int64_t n = 0; n < count; ++n) {
        if (tokens[n] != tokens_[begin + n]) logprobs[n] = std::nan("");  // another token: no match
      }
      results.add("logprob", logprobs_.data() + begin, logprobs.data(), count);
    }
  }

  ScratchSize scratch(Compute compute) const override {
    return sample_scratch(compute, x_.view().rows, w_.weight().rows(), x_.view().cols);
  }

 private:
  void choose(std::vector<int32_t>& tokens, std::vector<double>& logprobs, int64_t begin, View x,
              const Context& context) {
    ops::sample(tokens.data(), logprobs.data(), x, w_, {0.8f, 40, 1.0f}, uniform_.data() + begin,
                context);
  }

  StoredWeight w_;
  Matrix x_;
  std::vector<float> uniform_;
  std::vector<int32_t> tokens_;
  std::vector<double> logprobs_;
};

}  // namespace

std::unique_ptr<Kernel> make_head_kernel(const KernelSpec& spec, Random& random) {
  if (spec.op == "head_forward") return std::make_unique<HeadForward>(spec, random);
  if (spec.op == "sample") return std::make_unique<Sample>(spec, random);
  return nullptr;
}

}  // namespace valora::bench
