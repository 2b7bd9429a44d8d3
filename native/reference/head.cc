// head: log p over the vocabulary without keeping it, the expectation of W under p that the
// gradient needs, that gradient, and the choice of a next token.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "reference/reference.h"
#include "reference/weight_rows.h"

namespace valora::reference {

namespace {

constexpr int64_t kRowBlock = 32;  // rows for which W is decoded once

// What is known of one row after some part of the vocabulary.
struct Running {
  double largest = -INFINITY;
  double total = 0;  // sum of exp(logit - largest)
  int32_t argmax = 0;
};

// The token that `uniform` falls on, by the rule in ops.h.
int32_t choose(const std::vector<double>& logits, double largest,
               const SampleParameters& parameters, double uniform) {
  const int64_t vocabulary = static_cast<int64_t>(logits.size());
  std::vector<double> weights(vocabulary);
  for (int64_t o = 0; o < vocabulary; ++o) {
    weights[o] = std::exp((logits[o] - largest) / parameters.temperature);
  }
  std::vector<int32_t> ranked(vocabulary);
  std::iota(ranked.begin(), ranked.end(), 0);
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (parameters.top_k > 0 && parameters.top_k < vocabulary) ranked.resize(parameters.top_k);
  if (parameters.top_p < 1) {
    double all = 0;
    for (const int32_t o : ranked) all += weights[o];
    double run = 0;
    size_t kept = 0;
    while (kept < ranked.size()) {
      run += weights[ranked[kept++]];
      if (run >= parameters.top_p * all) break;
    }
    ranked.resize(kept);
  }
  std::sort(ranked.begin(), ranked.end());
  double total = 0;
  for (const int32_t o : ranked) total += weights[o];
  double run = 0;
  for (const int32_t o : ranked) {
    run += weights[o];
    if (run > uniform * total) return o;
  }
  return ranked.back();
}

}  // namespace

void head_forward(const HeadResult& result, View expected, View x, const Weight& w,
                  const HeadTarget* targets, int64_t target_count, const Scratch&,
                  const Context& context) {
  const int64_t vocabulary = w.rows();
  const int64_t channels = w.cols();
  const int64_t row_blocks = (x.rows + kRowBlock - 1) / kRowBlock;
  parallel_for(context, row_blocks, [&](int64_t index, int) {
    const int64_t row_begin = index * kRowBlock;
    const int64_t rows = std::min(kRowBlock, x.rows - row_begin);
    std::vector<Running> running(rows);
    std::vector<double> sums(expected.empty() ? 0 : rows * channels, 0.0);
    WeightBlock block(w, context.compute);
    for (int64_t begin = 0; begin < vocabulary; begin += kOutputBlock) {
      const int64_t count = std::min(kOutputBlock, vocabulary - begin);
      block.load(begin, count);
      for (int64_t i = 0; i < rows; ++i) {
        Running& row = running[i];
        double logits[kOutputBlock];
        block.multiply(x.row(row_begin + i), logits);
        double largest = row.largest;
        for (int64_t j = 0; j < count; ++j) {
          if (logits[j] > largest) {
            largest = logits[j];
            row.argmax = static_cast<int32_t>(begin + j);
          }
        }
        const double rescale = std::exp(row.largest - largest);
        row.largest = largest;
        row.total *= rescale;
        double weights[kOutputBlock] = {};
        for (int64_t j = 0; j < count; ++j) {
          weights[j] = std::exp(logits[j] - largest);
          row.total += weights[j];
        }
        if (expected.empty()) continue;
        double* row_sums = &sums[i * channels];
        for (int64_t c = 0; c < channels; ++c) row_sums[c] *= rescale;
        block.accumulate(weights, row_sums);
      }
    }
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t n = row_begin + i;
      result.normaliser[n] = running[i].largest + std::log(running[i].total);
      result.argmax[n] = running[i].argmax;
      if (expected.empty()) continue;
      for (int64_t c = 0; c < channels; ++c) {
        expected.row(n)[c] = static_cast<float>(sums[i * channels + c] / running[i].total);
      }
    }
  });

  parallel_for(context, target_count, [&](int64_t target, int) {
    std::vector<float> weight_row(channels);
    read_row(w, context.compute, targets[target].token, weight_row.data());
    const float* input = x.row(targets[target].row);
    double sum = 0;
    for (int64_t c = 0; c < channels; ++c)
      sum += double{factor(context.compute, input[c])} * weight_row[c];
    result.target_logit[target] = static_cast<float>(sum);
  });
}

void head_backward(View dx, View expected, const Weight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, const Context&) {
  std::vector<double> sums(dx.rows * dx.cols, 0.0);
  std::vector<float> weight_row(dx.cols);
  for (int64_t target = 0; target < target_count; ++target) {
    const int64_t n = targets[target].row;
    read_row(w, Compute::kFloat32, targets[target].token, weight_row.data());
    for (int64_t c = 0; c < dx.cols; ++c) {
      sums[n * dx.cols + c] += coefficients[target] * (double{weight_row[c]} - expected.row(n)[c]);
    }
  }
  for (int64_t n = 0; n < dx.rows; ++n) {
    for (int64_t c = 0; c < dx.cols; ++c) {
      dx.row(n)[c] = static_cast<float>(sums[n * dx.cols + c]);
    }
  }
}

void sample(int32_t* tokens, double* logprobs, View x, const Weight& w,
            const SampleParameters& parameters, const float* uniform, const Scratch&,
            const Context& context) {
  const int64_t vocabulary = w.rows();
  std::vector<std::vector<double>> logits(x.rows, std::vector<double>(vocabulary));
  const int64_t blocks = (vocabulary + kOutputBlock - 1) / kOutputBlock;
  parallel_for(context, blocks, [&](int64_t index, int) {
    const int64_t begin = index * kOutputBlock;
    const int64_t count = std::min(kOutputBlock, vocabulary - begin);
    WeightBlock block(w, context.compute);
    block.load(begin, count);
    for (int64_t n = 0; n < x.rows; ++n) {
      double sums[kOutputBlock];
      block.multiply(x.row(n), sums);
      std::copy_n(sums, count, logits[n].begin() + begin);
    }
  });
  parallel_for(context, x.rows, [&](int64_t n, int) {
    const auto largest = std::max_element(logits[n].begin(), logits[n].end());
    double total = 0;
    for (const double logit : logits[n]) total += std::exp(logit - *largest);
    tokens[n] = parameters.temperature > 0 ? choose(logits[n], *largest, parameters, uniform[n])
                                           : static_cast<int32_t>(largest - logits[n].begin());
    logprobs[n] = logits[n][tokens[n]] - *largest - std::log(total);
  });
}

}  // namespace valora::reference
