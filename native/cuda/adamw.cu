// adamw: decoupled weight decay (Loshchilov & Hutter 2019) in torch.optim.AdamW's order.
// sum_of_squares: in double, for the gradient's norm.
//
//   parameters, m, v [N, C]   updated; gradient [N, C] read; rows may lie apart
//   result [1], partial [kSumPartials] of double, overwritten
#include <cmath>

#include "cuda/cuda.h"
#include "cuda/rowwise.h"

namespace valora::cuda {

namespace {

struct Update {
  float beta1, beta2, rest1, rest2;  // rest = 1 - beta
  float step_size, correction, epsilon, decay, gradient_scale;
};

__device__ __forceinline__ void update_one(float* p, float* m, float* v, float gradient,
                                           const Update& u) {
  const float g = gradient * u.gradient_scale;
  *m = fmaf(u.beta1, *m, u.rest1 * g);
  *v = fmaf(u.beta2, *v, u.rest2 * g * g);
  *p = fmaf(*p, u.decay, -(u.step_size * *m / (sqrtf(*v) / u.correction + u.epsilon)));
}

template <bool kAligned>
__global__ void __launch_bounds__(kRowwiseBlock)
    adamw_kernel(Rows<float> parameters, Rows<float> m, Rows<float> v, Rows<const float> gradient,
                 int64_t cols, int64_t blocks_a_row, Update update) {
  const Place at = rowwise_place(blocks_a_row);
  const int64_t left = cols - at.column;
  if (left <= 0) return;
  float4 p4 = load_quad<kAligned>(parameters.row(at.row) + at.column, left);
  float4 m4 = load_quad<kAligned>(m.row(at.row) + at.column, left);
  float4 v4 = load_quad<kAligned>(v.row(at.row) + at.column, left);
  const float4 g4 = load_quad<kAligned>(gradient.row(at.row) + at.column, left);
  update_one(&p4.x, &m4.x, &v4.x, g4.x, update);
  update_one(&p4.y, &m4.y, &v4.y, g4.y, update);
  update_one(&p4.z, &m4.z, &v4.z, g4.z, update);
  update_one(&p4.w, &m4.w, &v4.w, g4.w, update);
  store_quad<kAligned>(parameters.row(at.row) + at.column, left, p4);
  store_quad<kAligned>(m.row(at.row) + at.column, left, m4);
  store_quad<kAligned>(v.row(at.row) + at.column, left, v4);
}

constexpr int kSumBlock = 256;

// The block's sum, in thread 0: halves folded onto each other, 128, 64, ... 1.
__device__ __forceinline__ double fold(double sum) {
  const Shared<double> sums = static_shared<struct Sums, double, kSumBlock>();
  const int thread = static_cast<int>(threadIdx.x);
  store(sums + thread, sum);
  for (int half = kSumBlock / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) store(sums + thread, load(sums + thread) + load(sums + thread + half));
  }
  return thread == 0 ? load(sums) : 0.0;
}

// partial[b] = the sum over quads b 256 + thread, and every kSumPartials 256 quads on. One grid for
// all sizes, so that the order of the sum is a matter of the shape alone.
template <bool kAligned>
__global__ void __launch_bounds__(kSumBlock)
    squares_kernel(Global<double> partial, Rows<const float> x, int64_t rows, int64_t cols) {
  const int64_t quads_a_row = (cols + kQuad - 1) / kQuad;
  const int64_t first = int64_t{blockIdx.x} * kSumBlock;
  if (first >= rows * quads_a_row) {
    if (threadIdx.x == 0) store(partial + blockIdx.x, 0.0);
    return;
  }
  double sum = 0;
  for (int64_t quad = first + threadIdx.x; quad < rows * quads_a_row;
       quad += int64_t{kSumPartials} * kSumBlock) {
    const int64_t column = quad % quads_a_row * kQuad;
    const float4 v = load_quad<kAligned>(x.row(quad / quads_a_row) + column, cols - column);
    sum += double{v.x} * v.x + double{v.y} * v.y + double{v.z} * v.z + double{v.w} * v.w;
  }
  sum = fold(sum);
  if (threadIdx.x == 0) store(partial + blockIdx.x, sum);
}

__global__ void __launch_bounds__(kSumBlock)
    sum_kernel(Global<double> result, Global<const double> partial) {
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < kSumPartials; i += kSumBlock) {
    sum += load(partial + i);
  }
  sum = fold(sum);
  if (threadIdx.x == 0) store(result, sum);
}

}  // namespace

void adamw(View parameters, View m, View v, View gradient, const AdamwParameters& options,
           Stream stream) {
  const double beta1 = options.beta1, beta2 = options.beta2;
  const auto step = static_cast<double>(options.step);
  const Update update{
      .beta1 = options.beta1,
      .beta2 = options.beta2,
      .rest1 = static_cast<float>(1 - beta1),
      .rest2 = static_cast<float>(1 - beta2),
      .step_size = static_cast<float>(options.learning_rate / (1 - std::pow(beta1, step))),
      .correction = static_cast<float>(std::sqrt(1 - std::pow(beta2, step))),
      .epsilon = options.epsilon,
      .decay = static_cast<float>(1 - double{options.learning_rate} * options.weight_decay),
      .gradient_scale = options.gradient_scale};
  bool aligned = true;
  for (const View& view : {parameters, m, v, gradient}) aligned &= quad_aligned(view, view.cols);
  by_alignment(aligned, [&](auto is_aligned) {
    launch(adamw_kernel<is_aligned>,
           {"adamw", rowwise_grid(m.rows, m.cols), kRowwiseBlock, 0, stream},
           rows_of<float>(parameters), rows_of<float>(m), rows_of<float>(v),
           rows_of<const float>(gradient), m.cols, blocks_a_row(m.cols), update);
  });
}

void sum_of_squares(double* result, double* partial, View x, Stream stream) {
  by_alignment(quad_aligned(x, x.cols), [&](auto is_aligned) {
    launch(squares_kernel<is_aligned>, {"sum_of_squares", kSumPartials, kSumBlock, 0, stream},
           partial, rows_of<const float>(x), x.rows, x.cols);
  });
  launch(sum_kernel, {"sum_of_squares", 1, kSumBlock, 0, stream}, result, partial);
}

}  // namespace valora::cuda
