// What attention's kernels share: tiles of rows in shared memory, how they are filled, and the two
// products of a warp's 16 rows with them.
//
//   scores      s[16, kCols] = left[16, W] right[kCols, W]^T
//   accumulate  out[16, W] += p[16, kCols] right[kCols, W]
//
// Both keep their numbers as mma's fragments: lane 4 r + t holds rows r and r + 8, columns 2 t and
// 2 t + 1 of every eight. T is __nv_bfloat16 - ldmatrix and mma, float32 sums - or float, for tests
// of exactness: the same fragments, each number one chain of fused multiply-adds.
//
// Head width W is 16, 64 or 128, narrower heads padded by zeros (the families have 64 and 128; 16
// is for small models). A tile's rows are one
// chunk of 16 bytes longer than W, an odd number of chunks, so that eight rows of an ldmatrix, and
// the eight rows that a quarter warp stores to, meet all 32 banks.
#pragma once

#include <string>

#include "cuda/attention_plan.h"
#include "cuda/launch.h"
#include "cuda/ptx.h"
#include "cuda/quad.h"

namespace valora::cuda {

inline constexpr float kLog2e = 1.4426950408889634f;
inline constexpr float kLn2 = 0.6931471805599453f;

// Blocks that a multiprocessor has to have room for. Where no number is stated, ptxas may spill
// some bytes rather than have one block less of them (product.cu).
inline constexpr int kAttentionResident = 2;

template <typename T, int kWidth>
inline constexpr int kTilePitch = kWidth + 16 / static_cast<int>(sizeof(T));

// A row of a source and one of its heads; row -1 stands for zeros.
struct HeadRow {
  int row;
  int head;
};

__device__ __forceinline__ void store_quad_as(Shared<float> to, float4 v) { store_as(to, v); }
struct alignas(8) Bf16Quad {
  __nv_bfloat162 first, second;
};
__device__ __forceinline__ Bf16Quad bf16_quad(float4 v) {
  return {__floats2bfloat162_rn(v.x, v.y), __floats2bfloat162_rn(v.z, v.w)};
}
__device__ __forceinline__ void store_quad_as(Shared<__nv_bfloat16> to, float4 v) {
  store_as(to, bf16_quad(v));
}

// Heads as pack_heads leaves them, [rows, heads, W] of T: fetched by cp.async. Sixteen threads
// take two neighbouring chunks, a whole sector, of eight rows.
template <typename T, int kWidth>
struct PackedHeads {
  Global<const T> data;
  int heads;

  template <int kRows, int kThreads, typename Place>
  __device__ __forceinline__ void begin(Shared<T> tile, const Place& place) const {
    constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
    constexpr int kPairs = kWidth / kChunk / 2;
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 4
    for (int i = 0; i < kRows * kPairs * 2; i += kThreads) {
      const int unit = (i + thread) / 16;
      if (unit >= kRows / 8 * kPairs) break;
      const int row = unit / kPairs * 8 + thread % 8;
      const int number = (unit % kPairs * 2 + thread / 8 % 2) * kChunk;
      const HeadRow at = place(row);
      // An address of zeros is not read, but is to be one all the same.
      const int64_t from = at.row < 0 ? 0 : (int64_t{at.row} * heads + at.head) * kWidth + number;
      cp_async<16>(tile + (row * kTilePitch<T, kWidth> + number), data + from, at.row < 0 ? 0 : 16);
    }
  }
};

// Heads as the operation is given them, [rows, heads * width] of float32: rounded on their way.
// What few queries look at is read once; a pass to pack it would double that.
template <typename T, int kWidth>
struct PlainHeads {
  Rows<const float> data;
  int width;
  bool aligned;

  template <int kRows, int kThreads, typename Place>
  __device__ __forceinline__ void begin(Shared<T> tile, const Place& place) const {
    constexpr int kQuads = kWidth / kQuad;
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 4
    for (int unit = thread; unit < kRows * kQuads; unit += kThreads) {
      const int row = unit / kQuads, number = unit % kQuads * kQuad;
      const HeadRow at = place(row);
      float4 v = make_float4(0, 0, 0, 0);
      if (at.row >= 0 && number < width) {
        const Global<const float> from = data.row(at.row) + (at.head * width + number);
        v = aligned ? load_quad<true>(from, width - number)
                    : load_quad<false>(from, width - number);
      }
      store_quad_as(tile + (row * kTilePitch<T, kWidth> + number), v);
    }
  }
};

// Key rows along a path, for positions that ascend.
class PathWalk {
 public:
  __device__ explicit PathWalk(Global<const PathSegment> segment)
      : segment_(segment), current_(load(segment)) {}
  __device__ int key(int position) {
    while (position >= start_ + current_.length) {
      start_ += current_.length;
      segment_ = segment_ + 1;
      current_ = load(segment_);
    }
    return current_.begin + position - start_;
  }

 private:
  Global<const PathSegment> segment_;
  PathSegment current_;
  int start_ = 0;
};

// The key rows at positions [first, first + kCols), -1 from `longest` on.
template <int kCols, int kThreads>
__device__ __forceinline__ void list_path_keys(Shared<int32_t> keys, PathWalk& walk, int first,
                                               int longest) {
  for (int i = static_cast<int>(threadIdx.x); i < kCols; i += kThreads) {
    store(keys + i, first + i < longest ? walk.key(first + i) : -1);
  }
}

// The (row, head) pairs of a group for one key/value head, counted from `first`.
struct Pairs {
  int query_begin;
  int first;
  int count;
  int share;
  int kv_head;
  __device__ bool has(int i) const { return first + i < count; }
  __device__ int row(int i) const { return query_begin + (first + i) / share; }
  __device__ int head(int i) const { return kv_head * share + (first + i) % share; }
  __device__ HeadRow place(int i) const {
    return has(i) ? HeadRow{row(i), head(i)} : HeadRow{-1, 0};
  }
};

__device__ __forceinline__ uint32_t bf16_pair(float a, float b) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

template <int kWidth, int kCols>
__device__ __forceinline__ void scores(float (&s)[kCols / 8][4], Shared<__nv_bfloat16> left,
                                       Shared<__nv_bfloat16> right) {
  constexpr int kPitch = kTilePitch<__nv_bfloat16, kWidth>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s[j][i] = 0;
  }
#pragma unroll
  for (int step = 0; step < kWidth / 16; ++step) {
    uint32_t a[4];
    ldmatrix<4, false>(a, left + (lane % 16 * kPitch + (step * 2 + lane / 16) * 8));
#pragma unroll
    for (int j = 0; j < kCols / 16; ++j) {
      uint32_t b[4];
      const int col = j * 16 + lane / 16 * 8 + lane % 8;
      ldmatrix<4, false>(b, right + (col * kPitch + (step * 2 + lane / 8 % 2) * 8));
      mma<__nv_bfloat16>(s[2 * j], a, {b[0], b[1]});
      mma<__nv_bfloat16>(s[2 * j + 1], a, {b[2], b[3]});
    }
  }
}

template <int kWidth, int kCols>
__device__ __forceinline__ void accumulate(float (&out)[kWidth / 8][4],
                                           const float (&p)[kCols / 8][4],
                                           Shared<__nv_bfloat16> right) {
  constexpr int kPitch = kTilePitch<__nv_bfloat16, kWidth>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int step = 0; step < kCols / 16; ++step) {
    // The sums of one product are laid out as the left side of the next.
    const auto& near = p[2 * step];
    const auto& far = p[2 * step + 1];
    const uint32_t a[4] = {bf16_pair(near[0], near[1]), bf16_pair(near[2], near[3]),
                           bf16_pair(far[0], far[1]), bf16_pair(far[2], far[3])};
#pragma unroll
    for (int j = 0; j < kWidth / 16; ++j) {
      uint32_t b[4];
      ldmatrix<4, true>(b, right + ((step * 16 + lane % 16) * kPitch + (j * 2 + lane / 16) * 8));
      mma<__nv_bfloat16>(out[2 * j], a, {b[0], b[1]});
      mma<__nv_bfloat16>(out[2 * j + 1], a, {b[2], b[3]});
    }
  }
}

template <int kWidth, int kCols>
__device__ __forceinline__ void scores(float (&s)[kCols / 8][4], Shared<float> left,
                                       Shared<float> right) {
  constexpr int kPitch = kTilePitch<float, kWidth>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) s[j][i] = 0;
  }
  // Two numbers at a time: with four, those of all columns do not fit into registers.
#pragma unroll 1
  for (int depth = 0; depth < kWidth; depth += 2) {
    const float2 top = load_as<float2>(left + (lane / 4 * kPitch + depth));
    const float2 low = load_as<float2>(left + ((lane / 4 + 8) * kPitch + depth));
#pragma unroll
    for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int col = j * 8 + lane % 4 * 2 + i;
        const float2 b = load_as<float2>(right + (col * kPitch + depth));
        s[j][i] = fmaf(top.y, b.y, fmaf(top.x, b.x, s[j][i]));
        s[j][2 + i] = fmaf(low.y, b.y, fmaf(low.x, b.x, s[j][2 + i]));
      }
    }
  }
}

// p goes through shared memory: registers cannot be asked for by a number that is not constant,
// and unrolled, this loop is some thousands of instructions. One warp of a block computes.
template <int kWidth, int kCols>
__device__ __forceinline__ void accumulate(float (&out)[kWidth / 8][4],
                                           const float (&p)[kCols / 8][4], Shared<float> right) {
  constexpr int kPitch = kTilePitch<float, kWidth>;
  constexpr int kFactorPitch = kCols + 8;
  const auto factors = static_shared<struct Factors, float, kAttentionRows * kFactorPitch>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  __syncwarp();
#pragma unroll
  for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = (lane / 4 + 8 * half) * kFactorPitch + j * 8 + lane % 4 * 2;
      store_as(factors + at, make_float2(p[j][2 * half], p[j][2 * half + 1]));
    }
  }
  __syncwarp();
#pragma unroll 1
  for (int k = 0; k < kCols; ++k) {
    const float top = load(factors + (lane / 4 * kFactorPitch + k));
    const float low = load(factors + ((lane / 4 + 8) * kFactorPitch + k));
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const float2 b = load_as<float2>(right + (k * kPitch + j * 8 + lane % 4 * 2));
      out[j][0] = fmaf(top, b.x, out[j][0]);
      out[j][1] = fmaf(top, b.y, out[j][1]);
      out[j][2] = fmaf(low, b.x, out[j][2]);
      out[j][3] = fmaf(low, b.y, out[j][3]);
    }
  }
}

// Heads of an output, [rows, heads * width] of float32.
struct HeadOutput {
  Rows<float> data;
  int width;
  bool paired;  // whether neighbours may be stored together

  // The part of `out` [16, W] that this lane has of row lane / 4 + 8 * half, times `factor`.
  template <int kWidth>
  __device__ __forceinline__ void store_row(HeadRow at, const float (&out)[kWidth / 8][4], int half,
                                            float factor) const {
    const Global<float> to = data.row(at.row) + at.head * width;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int j = 0; j < kWidth / 8; ++j) {
      const int col = j * 8 + lane % 4 * 2;
      const float a = out[j][2 * half] * factor, b = out[j][2 * half + 1] * factor;
      if (paired && col + 1 < width) {
        store_as(to + col, make_float2(a, b));
      } else {
        if (col < width) store(to + col, a);
        if (col + 1 < width) store(to + (col + 1), b);
      }
    }
  }
};

inline HeadOutput head_output(View view, const AttentionShape& shape) {
  const bool paired = reinterpret_cast<uintptr_t>(view.data) % 8 == 0 && shape.head_dim % 2 == 0 &&
                      (view.rows <= 1 || view.stride % 2 == 0);
  return {rows_of<float>(view), static_cast<int>(shape.head_dim), paired};
}

// body(std::integral_constant<int, W>()) with the narrowest W that holds the head.
template <typename Body>
void by_width(int64_t width, Body body) {
  if (width <= 16) {
    body(std::integral_constant<int, 16>());
  } else if (width <= 64) {
    body(std::integral_constant<int, 64>());
  } else if (width <= 128) {
    body(std::integral_constant<int, 128>());
  } else {
    throw Error(ErrorCode::kInvalidArgument, "attention: heads are " + std::to_string(width) +
                                                 " wide, the CUDA backend has at most 128");
  }
}

// body(T(), std::integral_constant<int, W>()).
template <typename Body>
void by_arithmetic(Compute compute, int64_t width, Body body) {
  by_width(width, [&](auto w) {
    if (compute == Compute::kBf16) {
      body(__nv_bfloat16(), w);
    } else {
      body(float(), w);
    }
  });
}

// Packs heads for PackedHeads: x [rows, heads * width] to [rows, heads, padded] of T, zeros from
// the width on.
template <typename T>
void pack_heads(T* packed, int64_t padded, View x, int64_t width, Stream stream);

}  // namespace valora::cuda
