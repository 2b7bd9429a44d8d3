// Losses of preference training and their derivatives.
#include "model/loss.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace valora {

namespace {

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// log(logistic(x)) without overflow: exactly -ln 2 at 0.
double log_logistic(double x) {
  return x >= 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x));
}

double tokens(int64_t count) { return static_cast<double>(std::max<int64_t>(count, 1)); }

void check(const LossOptions& options) {
  const bool needs_beta = options.kind != LossKind::kSft;
  if (needs_beta && !(options.beta > 0 && std::isfinite(options.beta))) {
    throw Error(ErrorCode::kInvalidArgument,
                "loss: beta is " + std::to_string(options.beta) + ", expected more than 0");
  }
  const double smoothing = options.label_smoothing;
  const double limit = options.kind == LossKind::kRobust ? 0.5 : 1.0;
  if (!(smoothing >= 0 && smoothing < limit)) {
    throw Error(ErrorCode::kInvalidArgument, "loss: label smoothing is " +
                                                 std::to_string(smoothing) + ", expected 0 to " +
                                                 std::to_string(limit) + ", that excluded");
  }
  if (!(options.rpo_alpha >= 0 && std::isfinite(options.rpo_alpha))) {
    throw Error(ErrorCode::kInvalidArgument,
                "loss: rpo_alpha is " + std::to_string(options.rpo_alpha) + ", expected 0 or more");
  }
}

}  // namespace

PairLoss pair_loss(const LossOptions& options, const PairLogprobs& pair) {
  check(options);
  const double beta = options.beta;
  const double smoothing = options.label_smoothing;
  const double chosen_ratio = pair.chosen - pair.reference_chosen;
  const double rejected_ratio = pair.rejected - pair.reference_rejected;
  const double h = chosen_ratio - rejected_ratio;

  PairLoss result;
  double d_h = 0;
  switch (options.kind) {
    case LossKind::kSigmoid:
      result.loss = -(1 - smoothing) * log_logistic(beta * h) - smoothing * log_logistic(-beta * h);
      d_h = beta * (smoothing * logistic(beta * h) - (1 - smoothing) * logistic(-beta * h));
      break;
    case LossKind::kRobust: {
      const double scale = 1.0 / (1 - 2 * smoothing);
      result.loss =
          scale * (smoothing * log_logistic(-beta * h) - (1 - smoothing) * log_logistic(beta * h));
      d_h =
          -scale * beta * ((1 - smoothing) * logistic(-beta * h) + smoothing * logistic(beta * h));
      break;
    }
    case LossKind::kHinge: {
      const double short_of = 1 - beta * h;
      // Written so that NaN stays NaN.
      result.loss = short_of <= 0 ? 0 : short_of;
      d_h = short_of <= 0 ? 0 : -beta;
      break;
    }
    case LossKind::kIpo: {
      const double chosen_tokens = tokens(pair.chosen_tokens);
      const double rejected_tokens = tokens(pair.rejected_tokens);
      const double off =
          chosen_ratio / chosen_tokens - rejected_ratio / rejected_tokens - 1 / (2 * beta);
      result.loss = off * off;
      result.d_chosen = 2 * off / chosen_tokens;
      result.d_rejected = -2 * off / rejected_tokens;
      break;
    }
    case LossKind::kSft:
      break;
  }
  result.d_chosen += d_h;
  result.d_rejected -= d_h;

  const double likelihood = options.kind == LossKind::kSft ? 1.0 : options.rpo_alpha;
  if (likelihood != 0) {
    result.loss += -likelihood * pair.chosen / tokens(pair.chosen_tokens);
    result.d_chosen -= likelihood / tokens(pair.chosen_tokens);
  }
  return result;
}

}  // namespace valora
