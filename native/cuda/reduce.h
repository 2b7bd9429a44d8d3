// Sums over a warp or a block in one fixed order: a butterfly over lanes, then warps ascending. All
// threads receive the same bits.
#pragma once

#include "cuda/device.h"

namespace valora::cuda {

__device__ __forceinline__ float warp_sum(float value) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, bits);
  }
  return value;
}

// Over the kThreads (a multiple of 32, at most 1024) threads of a block. `partial` has kThreads /
// 32 entries that nothing else uses between the barriers before and after.
template <int kThreads>
__device__ __forceinline__ float block_sum(float value, Shared<float> partial) {
  value = warp_sum(value);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % kWarp == 0) store(partial + thread / kWarp, value);
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < kThreads / kWarp; ++warp) sum += load(partial + warp);
  return sum;
}

}  // namespace valora::cuda
