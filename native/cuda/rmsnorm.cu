// rmsnorm: y = x r w with r = 1 / sqrt(mean(x^2) + eps) over groups of neighbours of a row (Zhang &
// Sennrich 2019), and its gradient by x.
//
//   x, y, dy, dx [N, C]   rows may lie apart; y overwritten, dx overwritten or added to
//   weight [1, group]     group divides C: C itself (Llama), q or k whole (OLMo-2), a head (Qwen3)
//
// A group of up to kWarpGroup numbers belongs to a warp, a longer one to a block. Its threads keep
// what they read of it in registers, kHeld quads each, so each number crosses the memory once; what
// does not fit is read again. Number i belongs to thread i / 4 % threads whatever the alignment:
// the sum is one fixed tree that depends on the group's width alone.
#include "cuda/cuda.h"
#include "cuda/quad.h"
#include "cuda/reduce.h"

namespace valora::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kWarpGroup = 1024;
constexpr int kHeld = 8;

// Where this thread's group is.
struct Group {
  int64_t row;
  int64_t begin;  // column
  int thread;     // of the group's
  bool present;   // the last block may have warps without a group
};

template <int kThreads>
__device__ __forceinline__ Group find_group(int64_t groups, int64_t groups_a_row, int width) {
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t group = int64_t{blockIdx.x} * (kBlock / kThreads) + thread / kThreads;
  return {group / groups_a_row, group % groups_a_row * width, thread % kThreads, group < groups};
}

template <int kThreads>
__device__ __forceinline__ float group_sum(float value, Shared<float> partial) {
  if constexpr (kThreads == kWarp) return warp_sum(value);
  return block_sum<kThreads>(value, partial);
}

__device__ __forceinline__ float dot(float4 a, float4 b, float sum) {
  return fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, fmaf(a.x, b.x, sum))));
}

__device__ __forceinline__ float4 multiply(float4 a, float4 b) {
  return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

__device__ __forceinline__ float inverse_rms(float squares, int width, float eps) {
  return 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
}

template <bool kAligned, int kThreads>
__global__ void __launch_bounds__(kBlock)
    rmsnorm_forward_kernel(Rows<float> y, Rows<const float> x, Global<const float> weight,
                           int64_t groups, int64_t groups_a_row, int width, float eps) {
  const Group group = find_group<kThreads>(groups, groups_a_row, width);
  // Whole warps, or the whole block: no barrier is missed.
  if (!group.present) return;
  const Global<const float> in = x.row(group.row) + group.begin;
  const Global<float> out = y.row(group.row) + group.begin;
  const int first = group.thread * kQuad;
  constexpr int kStep = kThreads * kQuad;

  float4 held[kHeld];
  float squares = 0;
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int i = first + j * kStep;
    if (i < width) {
      held[j] = load_quad<kAligned>(in + i, width - i);
      squares = dot(held[j], held[j], squares);
    }
  }
  for (int i = first + kHeld * kStep; i < width; i += kStep) {
    const float4 v = load_quad<kAligned>(in + i, width - i);
    squares = dot(v, v, squares);
  }
  squares = group_sum<kThreads>(squares, static_shared<struct Squares, float, kBlock / kWarp>());
  const float r = inverse_rms(squares, width, eps);

  const auto scale = [&](float4 v, int i) {
    const float4 w = load_quad<kAligned>(weight + i, width - i);
    store_quad<kAligned>(out + i, width - i,
                         make_float4(v.x * r * w.x, v.y * r * w.y, v.z * r * w.z, v.w * r * w.w));
  };
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int i = first + j * kStep;
    if (i < width) {
      scale(held[j], i);
    }
  }
  for (int i = first + kHeld * kStep; i < width; i += kStep) {
    scale(load_quad<kAligned>(in + i, width - i), i);
  }
}

// dx = r w dy - x r^3 / width * sum(w dy x).
template <bool kAligned, int kThreads, bool kAdd>
__global__ void __launch_bounds__(kBlock)
    rmsnorm_backward_kernel(Rows<float> dx, Rows<const float> dy, Rows<const float> x,
                            Global<const float> weight, int64_t groups, int64_t groups_a_row,
                            int width, float eps) {
  const Group group = find_group<kThreads>(groups, groups_a_row, width);
  if (!group.present) return;
  const Global<const float> in = x.row(group.row) + group.begin;
  const Global<const float> gradient = dy.row(group.row) + group.begin;
  const Global<float> out = dx.row(group.row) + group.begin;
  const int first = group.thread * kQuad;
  constexpr int kStep = kThreads * kQuad;

  float4 held[kHeld], weighted[kHeld];  // x and w dy
  float squares = 0, product = 0;
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int i = first + j * kStep;
    if (i < width) {
      held[j] = load_quad<kAligned>(in + i, width - i);
      weighted[j] = multiply(load_quad<kAligned>(weight + i, width - i),
                             load_quad<kAligned>(gradient + i, width - i));
      squares = dot(held[j], held[j], squares);
      product = dot(weighted[j], held[j], product);
    }
  }
  for (int i = first + kHeld * kStep; i < width; i += kStep) {
    const float4 v = load_quad<kAligned>(in + i, width - i);
    const float4 g = multiply(load_quad<kAligned>(weight + i, width - i),
                              load_quad<kAligned>(gradient + i, width - i));
    squares = dot(v, v, squares);
    product = dot(g, v, product);
  }
  squares = group_sum<kThreads>(squares, static_shared<struct Squares, float, kBlock / kWarp>());
  product = group_sum<kThreads>(product, static_shared<struct Product, float, kBlock / kWarp>());
  const float r = inverse_rms(squares, width, eps);
  const float pull = product * r * r * r / static_cast<float>(width);

  const auto finish = [&](float4 v, float4 g, int i) {
    const auto one = [&](float x_i, float g_i) { return r * g_i - x_i * pull; };
    float4 result = map(one, v, g);
    if constexpr (kAdd) {
      const float4 before = load_quad<kAligned>(out + i, width - i);
      result = map([](float a, float b) { return a + b; }, before, result);
    }
    store_quad<kAligned>(out + i, width - i, result);
  };
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int i = first + j * kStep;
    if (i < width) {
      finish(held[j], weighted[j], i);
    }
  }
  for (int i = first + kHeld * kStep; i < width; i += kStep) {
    const float4 g = multiply(load_quad<kAligned>(weight + i, width - i),
                              load_quad<kAligned>(gradient + i, width - i));
    finish(load_quad<kAligned>(in + i, width - i), g, i);
  }
}

// Calls body(std::integral_constant) with the threads that a group of this width is given.
template <typename Body>
void by_threads(int width, Body body) {
  if (width <= kWarpGroup) {
    body(std::integral_constant<int, kWarp>());
  } else {
    body(std::integral_constant<int, kBlock>());
  }
}

dim3 grid_for(int64_t groups, int threads) {
  const int64_t groups_a_block = kBlock / threads;
  return dim3(static_cast<unsigned>((groups + groups_a_block - 1) / groups_a_block));
}

}  // namespace

void rmsnorm_forward(View y, View x, View weight, float eps, Stream stream) {
  const auto width = static_cast<int>(weight.cols);
  const int64_t groups_a_row = x.cols / width, groups = x.rows * groups_a_row;
  const bool aligned =
      quad_aligned(y, width) && quad_aligned(x, width) && quad_aligned(weight, width);
  by_alignment(aligned, [&](auto is_aligned) {
    by_threads(width, [&](auto threads) {
      launch(rmsnorm_forward_kernel<is_aligned, threads>,
             {"rmsnorm_forward", grid_for(groups, threads), kBlock, 0, stream}, rows_of<float>(y),
             rows_of<const float>(x), weight.data, groups, groups_a_row, width, eps);
    });
  });
}

void rmsnorm_backward(View dx, View dy, View x, View weight, float eps, Write write,
                      Stream stream) {
  const auto width = static_cast<int>(weight.cols);
  const int64_t groups_a_row = x.cols / width, groups = x.rows * groups_a_row;
  const bool aligned = quad_aligned(dx, width) && quad_aligned(dy, width) &&
                       quad_aligned(x, width) && quad_aligned(weight, width);
  by_alignment(aligned, [&](auto is_aligned) {
    by_threads(width, [&](auto threads) {
      const auto kernel = write == Write::kAdd
                              ? rmsnorm_backward_kernel<is_aligned, threads, true>
                              : rmsnorm_backward_kernel<is_aligned, threads, false>;
      launch(kernel, {"rmsnorm_backward", grid_for(groups, threads), kBlock, 0, stream},
             rows_of<float>(dx), rows_of<const float>(dy), rows_of<const float>(x), weight.data,
             groups, groups_a_row, width, eps);
    });
  });
}

}  // namespace valora::cuda
