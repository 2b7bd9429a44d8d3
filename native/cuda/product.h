// The one product of a tall matrix with a weight that linear and head are made of (product.cu).
#pragma once

#include "cuda/cuda.h"

namespace valora::cuda {

// out[N, M] (rows may lie apart) = left right + ..., where left is [N, left_pitch] of the weight's
// numbers, right is stored [M, K] or, kByDepth, [K, M], and K is the depth. Pitches are multiples
// of kLinearPad, as is left's depth: left holds zeros past K, up to padded_cols(K).
struct Product {
  View out;
  const void* left = nullptr;
  int64_t left_pitch = 0;
  const void* right = nullptr;
  int64_t right_pitch = 0;
  int64_t depth = 0;
  Dtype dtype = Dtype::kBF16;

  enum class Right { kByColumn, kByDepth } order = Right::kByColumn;

  // What follows the sum, in this order.
  const float* bias = nullptr;  // [M] or null
  // Low-rank terms: += scale low[n] b^T where right is kByColumn, += low[n] a where it is kByDepth.
  View low{};
  DeviceLora lora{};
  // out = f.y sum, or f.x out + f.y sum, with f = factors[n], or ones where that is null.
  const float2* factors = nullptr;
  Write write = Write::kOverwrite;
};

void multiply(const char* name, const Product& product, Stream stream);

}  // namespace valora::cuda
