// The losses of preference training, per pair, in double. TypeScript averages them over a step by
// the pair weight; nothing here knows of batches.
#pragma once

#include <cstdint>

#include "model/model.h"

namespace valora {

// What a loss looks at: log-probabilities of the two responses (sums over their tokens) under the
// model in training and under the reference, and their numbers of tokens.
struct PairLogprobs {
  double chosen = 0;
  double rejected = 0;
  double reference_chosen = 0;
  double reference_rejected = 0;
  int64_t chosen_tokens = 0;
  int64_t rejected_tokens = 0;
};

struct PairLoss {
  double loss = 0;
  double d_chosen = 0;    // by `chosen`
  double d_rejected = 0;  // by `rejected`
};

// With h = (chosen - reference_chosen) - (rejected - reference_rejected), b = beta, e =
// label_smoothing, s the logistic function and |y| a response's tokens:
//
//   sigmoid  -(1 - e) log s(b h) - e log s(-b h)            DPO, Rafailov et al. 2023 (arXiv
//   2305.18290); with
//                                                           e > 0 the conservative DPO of Mitchell
//                                                           2023
//   ipo      (h' - 1 / (2 b))^2, h' as h with each response's terms divided by its |y|
//                                                           Azar et al. 2023 (arXiv 2310.12036);
//                                                           the average over tokens is TRL's
//                                                           reading of it
//   hinge    max(0, 1 - b h)                                SLiC, Zhao et al. 2023 (arXiv
//   2305.10425), as a
//                                                           calibration of the log-ratio (RSO, Liu
//                                                           et al. 2023)
//   robust   (-(1 - e) log s(b h) + e log s(-b h)) / (1 - 2 e)
//                                                           Chowdhury et al. 2024 (arXiv
//                                                           2403.00409)
//   sft      -chosen / |chosen|                             the mean negative log-likelihood
//
// rpo_alpha * -chosen / |chosen| is added to all but sft (Pang et al. 2024, arXiv 2404.19733). A
// response without tokens counts as one token long. Throws Error{kInvalidArgument} for options
// without a meaning.
PairLoss pair_loss(const LossOptions& options, const PairLogprobs& pair);

}  // namespace valora
