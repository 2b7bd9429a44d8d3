// The CUDA backend's operations, as core/ops.h defines them. Every View is in device memory, every
// call queues its kernels on the stream and returns; nothing is allocated and nothing waits. What
// differs from ops.h: index arrays and weights are in device memory too.
#pragma once

#include <cstdint>

#include "core/ops.h"
#include "cuda/attention_plan.h"
#include "cuda/launch.h"

namespace valora::cuda {

// A weight as uploaded: rows back to back, in logical order (rotary halves apart). GGUF's block
// formats are expanded at upload, so dtype is kF32, kF16 or kBF16.
struct DeviceWeight {
  const void* data;
  Dtype dtype;
  int64_t rows;
  int64_t cols;
};

void embed_forward(View y, const DeviceWeight& table, const int32_t* ids, Stream stream);
void rmsnorm_forward(View y, View x, View weight, float eps, Stream stream);
void rmsnorm_backward(View dx, View dy, View x, View weight, float eps, Write write, Stream stream);
void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          Stream stream);
void swiglu_forward(View h, View gate, View up, Stream stream);
void swiglu_backward(View dgate, View dup, View dh, View gate, View up, Stream stream);
void add(View y, View x, Stream stream);
void gather_rows(View y, View x, const int32_t* rows, Stream stream);
void scatter_rows(View y, View x, const int32_t* rows, Write write, Stream stream);
void adamw(View parameters, View m, View v, View gradient, const AdamwParameters& options,
           Stream stream);

// Leaves the sum in result[0]; partial has kSumPartials entries. (ops.h returns it; here the caller
// fetches it when it next waits.)
inline constexpr int kSumPartials = 1024;
void sum_of_squares(double* result, double* partial, View x, Stream stream);

// y[N, O] = x[N, I] w^T + bias in bfloat16 with float32 sums. w is kBF16 with rows padded by zeros
// to a multiple of kLinearPad (cols counts the padding); x16 [N, w.cols] of bfloat16 receives x,
// rounded. bias [1, O] or empty.
inline constexpr int kLinearPad = 8;
void linear_forward(View y, void* x16, View x, const DeviceWeight& w, View bias, Stream stream);

// The paths of a batch and what attention_plan.h lists of them, in device memory.
struct DevicePaths {
  const PathSegment* segments;
  const int32_t* positions;
  bool few;
  const QueryTile* query_tiles;
  const int32_t* query_longest;
  int64_t query_tile_count;
  const KeyTile* key_tiles;
  const KeyVisit* visits;
  int64_t key_tile_count;
};

// compute says what products are in. scratch has the bytes that the function before it names.
// Heads are at most 128 wide.
int64_t attention_forward_bytes(int64_t queries, int64_t keys, const AttentionShape& shape,
                                Compute compute);
void attention_forward(View o, View lse, View q, View k, View v, const DevicePaths& paths,
                       const AttentionShape& shape, Compute compute, void* scratch, Stream stream);
int64_t attention_backward_bytes(int64_t queries, int64_t keys, const AttentionShape& shape,
                                 Compute compute);
void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const DevicePaths& paths, const AttentionShape& shape,
                        Compute compute, void* scratch, Stream stream);

}  // namespace valora::cuda
