// swiglu: h = silu(gate) up with silu(g) = g / (1 + e^-g) (Shazeer 2020), and its gradients.
//
//   gate, up, h, dh, dgate, dup [N, F]   rows may lie apart; h may be gate's memory, dgate and dup
//                                        gate's and up's: each number is read before it is written
#include "core/scalar_math.h"
#include "cuda/cuda.h"
#include "cuda/rowwise.h"

namespace valora::cuda {

namespace {

template <bool kAligned>
__global__ void __launch_bounds__(kRowwiseBlock)
    swiglu_forward_kernel(Rows<float> h, Rows<const float> gate, Rows<const float> up, int64_t cols,
                          int64_t blocks_a_row) {
  const Place at = rowwise_place(blocks_a_row);
  const int64_t left = cols - at.column;
  if (left <= 0) return;
  const float4 g = load_quad<kAligned>(gate.row(at.row) + at.column, left);
  const float4 u = load_quad<kAligned>(up.row(at.row) + at.column, left);
  const auto one = [](float a, float b) { return silu_scalar(a) * b; };
  store_quad<kAligned>(h.row(at.row) + at.column, left, map(one, g, u));
}

// dup = dh silu(g), dgate = dh up s (1 + g (1 - s)) with s = 1 / (1 + e^-g).
template <bool kAligned>
__global__ void __launch_bounds__(kRowwiseBlock)
    swiglu_backward_kernel(Rows<float> dgate, Rows<float> dup, Rows<const float> dh,
                           Rows<const float> gate, Rows<const float> up, int64_t cols,
                           int64_t blocks_a_row) {
  const Place at = rowwise_place(blocks_a_row);
  const int64_t left = cols - at.column;
  if (left <= 0) return;
  const float4 d = load_quad<kAligned>(dh.row(at.row) + at.column, left);
  const float4 g = load_quad<kAligned>(gate.row(at.row) + at.column, left);
  const float4 u = load_quad<kAligned>(up.row(at.row) + at.column, left);
  const auto times = [](float a, float b) { return a * b; };
  const auto slope = [](float a, float b) {
    const float s = 1.0f / (1.0f + exp_scalar(-a));
    return b * s * fmaf(a, 1.0f - s, 1.0f);
  };
  const auto by_up = [](float a, float b) { return silu_scalar(a) * b; };
  store_quad<kAligned>(dgate.row(at.row) + at.column, left, map(slope, g, map(times, d, u)));
  store_quad<kAligned>(dup.row(at.row) + at.column, left, map(by_up, g, d));
}

}  // namespace

void swiglu_forward(View h, View gate, View up, Stream stream) {
  const bool aligned =
      quad_aligned(h, h.cols) && quad_aligned(gate, h.cols) && quad_aligned(up, h.cols);
  by_alignment(aligned, [&](auto is_aligned) {
    launch(swiglu_forward_kernel<is_aligned>,
           {"swiglu_forward", rowwise_grid(h.rows, h.cols), kRowwiseBlock, 0, stream},
           rows_of<float>(h), rows_of<const float>(gate), rows_of<const float>(up), h.cols,
           blocks_a_row(h.cols));
  });
}

void swiglu_backward(View dgate, View dup, View dh, View gate, View up, Stream stream) {
  bool aligned = true;
  for (const View& view : {dgate, dup, dh, gate, up}) aligned &= quad_aligned(view, dh.cols);
  by_alignment(aligned, [&](auto is_aligned) {
    launch(swiglu_backward_kernel<is_aligned>,
           {"swiglu_backward", rowwise_grid(dh.rows, dh.cols), kRowwiseBlock, 0, stream},
           rows_of<float>(dgate), rows_of<float>(dup), rows_of<const float>(dh),
           rows_of<const float>(gate), rows_of<const float>(up), dh.cols, blocks_a_row(dh.cols));
  });
}

}  // namespace valora::cuda
