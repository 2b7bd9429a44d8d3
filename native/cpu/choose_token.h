// The choice of a next token among a row's logits, by the rule at Ops::sample. Compiled once for
// all instruction sets: its sums are scalar, so every set makes the same choice.
#pragma once

#include <cstdint>

#include "core/ops.h"

namespace valora {

// `candidates` is room for 16 bytes a vocabulary entry; `largest` the largest logit, temperature >
// 0.
int32_t choose_token(const float* logits, int64_t vocabulary, float largest,
                     const SampleParameters& parameters, float uniform, void* candidates);

}  // namespace valora
