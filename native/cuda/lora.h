// Low-rank terms inside kernels: which group a row belongs to, and kLoraRanks ranks of a thin
// matrix in shared memory. Everything about them is float32.
//
// A thin matrix is kept as [kLoraRanks, kLines + 2]: rank by rank, lines side by side. Two more
// than a multiple of 32 lets 16 ranks of two lines be stored, and lines of one rank be read,
// without a bank conflict.
#pragma once

#include "cuda/cuda.h"
#include "cuda/device.h"

namespace valora::cuda {

inline constexpr int kLoraRanks = 16;

template <int kLines>
inline constexpr int kThinStride = kLines + 2;
template <int kLines>
inline constexpr int kThinNumbers = kLoraRanks* kThinStride<kLines>;

// The first group that ends past `row`, or count.
__device__ __forceinline__ int64_t first_group(Global<const LoraGroup> groups, int64_t count,
                                               int64_t row) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const auto group = load_as<LoraGroup>(groups + middle);
    if (group.begin + group.count > row) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Lines [first, first + kLines) and ranks [rank, rank + kLoraRanks) of a thin matrix, stored with
// its ranks as rows (kByRank: a of LoRA) or with its lines as rows (b, t, dt); zeros past `lines`
// and `ranks`. By all threads of the block; a barrier is to follow.
template <bool kByRank, int kLines, int kThreads>
__device__ __forceinline__ void stage_thin(Shared<float> to, Global<const float> m, int64_t stride,
                                           int64_t first, int64_t lines, int rank, int ranks) {
#pragma unroll 4
  for (int k = 0; k < kLoraRanks * kLines / kThreads; ++k) {
    const int i = k * kThreads + static_cast<int>(threadIdx.x);
    const int r = kByRank ? i / kLines : i % kLoraRanks;
    const int line = kByRank ? i % kLines : i / kLoraRanks;
    float value = 0;
    if (rank + r < ranks && first + line < lines) {
      value = load(
          m + (kByRank ? (rank + r) * stride + first + line : (first + line) * stride + rank + r));
    }
    store(to + (r * kThinStride<kLines> + line), value);
  }
}

// What is done to x before it is multiplied by a matrix, for each of its rows (lora.cu):
//   copy [N, padded_cols(C)]   unless null: x in the numbers of `dtype`, zeros from C on
//   t [N, max_rank]            unless empty: x a^T of the rows that have a LoRA term (kA), or
//                              scale x b (kB); zeros elsewhere
enum class LoraSide { kA, kB };
void prepare_rows(Dtype dtype, void* copy, View t, View x, const DeviceLora& lora, LoraSide side,
                  Stream stream);

}  // namespace valora::cuda
