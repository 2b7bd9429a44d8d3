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

// Matrices of products: kBF16, for the tensor cores, or kF32, for plain fused multiply-adds in the
// order of core/ops.h's chain (what a test of exactness wants). Rows are padded by zeros to
// padded_cols(cols) and start on 16 bytes; DeviceWeight::cols counts the padding. convert_weight
// makes one; what is multiplied with it is copied into the same form, into memory of the caller's.
inline constexpr int kLinearPad = 8;
__host__ __device__ constexpr int64_t padded_cols(int64_t cols) {
  return (cols + kLinearPad - 1) / kLinearPad * kLinearPad;
}
constexpr int64_t number_bytes(Dtype dtype) { return dtype == Dtype::kF32 ? 4 : 2; }
// Bytes of `rows` rows of `cols` numbers in that form.
constexpr int64_t padded_bytes(Dtype dtype, int64_t rows, int64_t cols) {
  return rows * padded_cols(cols) * number_bytes(dtype);
}

// to [R, padded_cols(C)] of `dtype` (kBF16 or kF32) = from [R, C], rows back to back, of kF32, kF16
// or kBF16.
void convert_weight(void* to, Dtype dtype, const DeviceWeight& from, Stream stream);

// A LoRA term as kernels read it, in device memory: groups in order of their rows, none of which is
// in two. LoraRows (core/ops.h) of device views, repacked.
struct alignas(64) LoraGroup {
  int64_t begin;
  int64_t count;
  const float* a;  // [R, I]
  const float* b;  // [O, R]
  int32_t a_stride;
  int32_t b_stride;
  int32_t rank;
  float scale;
};
LoraGroup lora_group(const LoraRows& rows);

struct DeviceLora {
  const LoraGroup* groups;  // device memory
  int64_t count;
  int64_t max_rank;
};

// As in core/ops.h. copy: padded_bytes(w.dtype, x's rows and columns), which receives x rounded to
// w's numbers. Low-rank terms are float32 in either.
void linear_forward(View y, View t, void* copy, View x, const DeviceWeight& w, View bias,
                    const DeviceLora& lora, Stream stream);
// copy: padded_bytes(w.dtype, dy's rows and columns); unused with an empty dx.
void linear_backward(View dx, View dt, void* copy, View dy, const DeviceWeight& w,
                     const DeviceLora& lora, Write write, Stream stream);
// trees in device memory.
void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, Stream stream);

// Entries of the vocabulary that the head multiplies at a time: it reads and writes `expected` once
// a step, so a device wants few. The last bits of a normaliser depend on it; one program uses one.
inline constexpr int64_t kHeadStep = 8 * kHeadChunk;

// As in core/ops.h; result, targets and coefficients in device memory; step a multiple of
// kHeadChunk.
int64_t head_forward_bytes(int64_t rows, const DeviceWeight& w, int64_t step = kHeadStep);
void head_forward(const HeadResult& result, View expected, View x, const DeviceWeight& w,
                  const HeadTarget* targets, int64_t target_count, void* scratch, Stream stream,
                  int64_t step = kHeadStep);
void head_backward(View dx, View expected, const DeviceWeight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, Stream stream);

// As in core/ops.h; tokens, logprobs and uniform in device memory. More than 2^24 rows of w are
// Error{kInvalidArgument}.
int64_t sample_bytes(int64_t rows, const DeviceWeight& w);
// The largest weight of a vocabulary in whole units (sample.cu): as many as that the sum of
// `vocabulary` weights stays within 2^63.
constexpr double sample_units(int64_t vocabulary) {
  double units = 0x1p63;
  for (int64_t tokens = 1; tokens < vocabulary; tokens *= 2) units /= 2;
  return units;
}
void sample(int32_t* tokens, double* logprobs, View x, const DeviceWeight& w,
            const SampleParameters& parameters, const float* uniform, void* scratch, Stream stream,
            int64_t step = kHeadStep);

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
