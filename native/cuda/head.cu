// head: the log of the softmax's normaliser, the largest logit and the targets' logits for x [N, C]
// and w [V, padded_cols(C)], and expected [N, C] = sum over the vocabulary of p w; the gradient of
// targets' log-probabilities by x.
//
// The vocabulary is walked once, `step` entries at a time: a product gives their logits [N, step];
// one kernel takes them into each row's state (largest, sum in double, arg max), and turns them
// into weights exp(logit - largest) in w's numbers; a second product adds weights times rows of w
// to `expected`, which is first rescaled by what the largest logit's move asks for. The last step's
// product divides by the total besides. Neither logits nor probabilities of more than a step are
// kept.
//
//   normaliser, argmax [N], target_logit [targets], expected, dx [N, C]   overwritten
#include <algorithm>
#include <cmath>

#include "core/scalar_math.h"
#include "cuda/head.h"
#include "cuda/lora.h"
#include "cuda/numbers.h"
#include "cuda/product.h"

namespace valora::cuda {

namespace {

constexpr int kBlock = 256;
constexpr int kWarps = kBlock / kWarp;

struct Best {
  float value;
  int32_t index;
};

__device__ __forceinline__ Best better(Best a, Best b) {
  const bool first = a.value > b.value || (a.value == b.value && a.index < b.index);
  return first ? a : b;
}

// Over the block, for all threads; `values` and `indices` have kWarps entries of their own.
__device__ __forceinline__ Best block_best(Best best, Shared<float> values,
                                           Shared<int32_t> indices) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) {
    best = better(best, {__shfl_xor_sync(kAllLanes, best.value, bits),
                         __shfl_xor_sync(kAllLanes, best.index, bits)});
  }
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % kWarp == 0) {
    store(values + thread / kWarp, best.value);
    store(indices + thread / kWarp, best.index);
  }
  __syncthreads();
  best = {load(values), load(indices)};
  for (int warp = 1; warp < kWarps; ++warp) {
    best = better(best, {load(values + warp), load(indices + warp)});
  }
  return best;
}

__device__ __forceinline__ double block_sum(double sum, Shared<double> partial) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bits);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % kWarp == 0) store(partial + thread / kWarp, sum);
  __syncthreads();
  sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += load(partial + warp);
  return sum;
}

// weights [rows, pitch] = exp(logit - largest) of the part (one step then), zeros up to
// padded_cols, and factors [rows] for the product with them; both null where nothing is expected.
template <typename T>
struct Weights {
  Global<T> data;
  int64_t pitch;
  Global<float2> factors;
  bool last;
};

// A block a row. The two reductions of a step use memory apart, so that one's barrier frees the
// other's.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    take_in_kernel(Global<HeadState> states, Rows<const float> logits, int64_t begin, int64_t end,
                   int64_t step, Weights<T> weights) {
  const auto values = static_shared<struct Values, float, kWarps>();
  const auto indices = static_shared<struct Indices, int32_t, kWarps>();
  const auto partial = static_shared<struct Sums, double, kWarps>();
  const int64_t row = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  HeadState state{0, -INFINITY, 0};
  if (begin > 0) state = load_as<HeadState>(states + row);
  for (int64_t first = begin; first < end; first += step) {
    const int64_t left = end - first;
    const auto count = static_cast<int>(left < step ? left : step);
    const Global<const float> in = logits.row(row) + (first - begin);
    Best best{-INFINITY, 0x7fffffff};
    for (int i = thread; i < count; i += kBlock) {
      const float logit = load(in + i);
      if (logit > best.value) best = {logit, static_cast<int32_t>(first + i)};
    }
    best = block_best(best, values, indices);
    double rescale = 1;
    if (best.value > state.largest) {
      rescale = exp(static_cast<double>(state.largest) - static_cast<double>(best.value));
      state.largest = best.value;
      state.argmax = best.index;
    }
    double sum = 0;
    for (int i = thread; i < count; i += kBlock) {
      const float weight = exp_scalar(load(in + i) - state.largest);
      sum += static_cast<double>(weight);
      if (weights.data) store(weights.data + (row * weights.pitch + i), from_float<T>(weight));
    }
    if (weights.data && thread < kLinearPad && count + thread < padded_cols(count)) {
      store(weights.data + (row * weights.pitch + count + thread), from_float<T>(0.0f));
    }
    state.total = state.total * rescale + block_sum(sum, partial);
    if (weights.data && thread == 0) {
      const double divide = weights.last ? state.total : 1.0;
      store_as(weights.factors + row,
               make_float2(static_cast<float>(rescale / divide), static_cast<float>(1 / divide)));
    }
  }
  if (thread == 0) store_as(states + row, state);
}

template <typename T>
void start_take_in(HeadState* states, const HeadPart& part, const Weights<T>& weights,
                   Stream stream) {
  launch(take_in_kernel<T>,
         {"head_take_in", dim3(static_cast<unsigned>(part.logits.rows)), kBlock, 0, stream}, states,
         Rows<const float>{part.logits.data, part.logits.stride}, part.begin, part.end, part.step,
         weights);
}

// HeadTargets as kernels read them: row, token, row, token ...
static_assert(sizeof(HeadTarget) == 2 * sizeof(int32_t));
const int32_t* numbers_of(const HeadTarget* targets) {
  return reinterpret_cast<const int32_t*>(targets);
}

__global__ void __launch_bounds__(kBlock)
    target_logits_kernel(Global<float> target_logit, Global<const int32_t> targets, int64_t count,
                         Rows<const float> logits, int64_t begin, int64_t end) {
  const int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (i >= count) return;
  const int32_t row = load(targets + 2 * i), token = load(targets + (2 * i + 1));
  if (token < begin || token >= end) return;
  store(target_logit + i, load(logits.row(row) + (token - begin)));
}

__global__ void __launch_bounds__(kBlock)
    head_finish_kernel(Global<double> normaliser, Global<int32_t> argmax,
                       Global<const HeadState> states, int64_t rows) {
  const int64_t row = int64_t{blockIdx.x} * kBlock + threadIdx.x;
  if (row >= rows) return;
  const auto state = load_as<HeadState>(states + row);
  store(normaliser + row, static_cast<double>(state.largest) + log(state.total));
  store(argmax + row, state.argmax);
}

dim3 blocks_for(int64_t count) {
  return dim3(static_cast<unsigned>((count + kBlock - 1) / kBlock));
}

// head_forward's scratch.
struct Room {
  void* copy;     // x in w's numbers
  float* logits;  // [rows, step]
  void* weights;  // [rows, step] in w's numbers
  HeadState* states;
  float2* factors;
  int64_t bytes;

  Room(void* scratch, int64_t rows, const DeviceWeight& w, int64_t step) {
    ScratchParts parts(scratch);
    copy = parts.take<void>(padded_bytes(w.dtype, rows, w.cols));
    logits = parts.take<float>(rows * step * 4);
    weights = parts.take<void>(padded_bytes(w.dtype, rows, step));
    states = parts.take<HeadState>(rows * int64_t{sizeof(HeadState)});
    factors = parts.take<float2>(rows * int64_t{sizeof(float2)});
    bytes = parts.bytes();
  }
};

template <typename T>
void forward(const HeadResult& result, View expected, View x, const DeviceWeight& w,
             const HeadTarget* targets, int64_t target_count, const Room& room, int64_t step,
             Stream stream) {
  prepare_rows(w.dtype, room.copy, {}, x, {}, LoraSide::kA, stream);
  for (int64_t begin = 0; begin < w.rows; begin += step) {
    const int64_t end = std::min(w.rows, begin + step);
    const T* rows_of_w = static_cast<const T*>(w.data) + begin * w.cols;
    const View logits{room.logits, x.rows, end - begin, step, x.space};
    multiply("head_logits",
             {.out = logits,
              .left = room.copy,
              .left_pitch = padded_cols(x.cols),
              .right = rows_of_w,
              .right_pitch = w.cols,
              .depth = x.cols,
              .dtype = w.dtype},
             stream);
    Weights<T> weights{};
    if (!expected.empty()) {
      weights = {static_cast<T*>(room.weights), step, room.factors, end == w.rows};
    }
    start_take_in<T>(room.states, {logits, begin, end, step}, weights, stream);
    if (target_count > 0) {
      launch(target_logits_kernel,
             {"head_target_logits", blocks_for(target_count), kBlock, 0, stream},
             result.target_logit, numbers_of(targets), target_count,
             Rows<const float>{logits.data, logits.stride}, begin, end);
    }
    if (expected.empty()) continue;
    multiply("head_expected",
             {.out = expected,
              .left = room.weights,
              .left_pitch = step,
              .right = rows_of_w,
              .right_pitch = w.cols,
              .depth = end - begin,
              .dtype = w.dtype,
              .order = Product::Right::kByDepth,
              .factors = room.factors,
              .write = begin == 0 ? Write::kOverwrite : Write::kAdd},
             stream);
  }
  launch(head_finish_kernel, {"head_finish", blocks_for(x.rows), kBlock, 0, stream},
         result.normaliser, result.argmax, room.states, x.rows);
}

// dx[n] = sum over n's targets, in order, of coefficient (w[token] - expected[n]): a warp for
// kStrip columns of a row, which looks through the targets for the row's, 32 at a time.
constexpr int kLaneCols = 16;
constexpr int kStrip = kLaneCols * kWarp;

template <typename T>
__global__ void __launch_bounds__(kBlock)
    head_backward_kernel(Rows<float> dx, Rows<const float> expected, Global<const T> w,
                         int64_t pitch, Global<const int32_t> targets,
                         Global<const float> coefficients, int64_t target_count, int64_t rows,
                         int64_t cols) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t strips = (cols + kStrip - 1) / kStrip;
  const int64_t job = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  const int64_t row = job / strips, first = job % strips * kStrip + lane;
  if (row >= rows) return;
  float mean[kLaneCols], sums[kLaneCols] = {};
#pragma unroll
  for (int j = 0; j < kLaneCols; ++j) {
    const int64_t c = first + j * kWarp;
    mean[j] = c < cols ? load(expected.row(row) + c) : 0.0f;
  }
  for (int64_t base = 0; base < target_count; base += kWarp) {
    const bool there = base + lane < target_count;
    unsigned mine = __ballot_sync(kAllLanes, there && load(targets + 2 * (base + lane)) == row);
    while (mine != 0) {
      const int64_t i = base + (__ffs(static_cast<int>(mine)) - 1);
      mine &= mine - 1;
      const Global<const T> token = w + load(targets + (2 * i + 1)) * pitch;
      const float coefficient = load(coefficients + i);
#pragma unroll
      for (int j = 0; j < kLaneCols; ++j) {
        const int64_t c = first + j * kWarp;
        if (c < cols) sums[j] = fmaf(coefficient, to_float(load(token + c)) - mean[j], sums[j]);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kLaneCols; ++j) {
    const int64_t c = first + j * kWarp;
    if (c < cols) store(dx.row(row) + c, sums[j]);
  }
}

template <typename T>
void backward(View dx, View expected, const DeviceWeight& w, const HeadTarget* targets,
              const float* coefficients, int64_t target_count, Stream stream) {
  const int64_t jobs = dx.rows * ((dx.cols + kStrip - 1) / kStrip);
  launch(head_backward_kernel<T>,
         {"head_backward", dim3(static_cast<unsigned>((jobs + kWarps - 1) / kWarps)), kBlock, 0,
          stream},
         Rows<float>{dx.data, dx.stride}, Rows<const float>{expected.data, expected.stride},
         static_cast<const T*>(w.data), w.cols, numbers_of(targets), coefficients, target_count,
         dx.rows, dx.cols);
}

}  // namespace

void take_in(HeadState* states, const HeadPart& part, Stream stream) {
  start_take_in<float>(states, part, {}, stream);
}

int64_t head_forward_bytes(int64_t rows, const DeviceWeight& w, int64_t step) {
  return Room(nullptr, rows, w, step).bytes;
}

void head_forward(const HeadResult& result, View expected, View x, const DeviceWeight& w,
                  const HeadTarget* targets, int64_t target_count, void* scratch, Stream stream,
                  int64_t step) {
  const Room room(scratch, x.rows, w, step);
  const auto by_number = w.dtype == Dtype::kF32 ? forward<float> : forward<__nv_bfloat16>;
  by_number(result, expected, x, w, targets, target_count, room, step, stream);
}

void head_backward(View dx, View expected, const DeviceWeight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, Stream stream) {
  const auto by_number = w.dtype == Dtype::kF32 ? backward<float> : backward<__nv_bfloat16>;
  by_number(dx, expected, w, targets, coefficients, target_count, stream);
}

}  // namespace valora::cuda
