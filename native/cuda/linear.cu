// linear: y = x w^T + bias + LoRA, and its gradient by x. Two launches each: one pass over the
// input that rounds it to the weight's numbers and makes its low-rank products (lora.cu), then one
// product that ends with the rest of the low-rank terms (product.cu).
//
//   x [N, I], y, dy [N, O], dx [N, I]   float32, rows may lie apart; dx overwritten or added to
//   w [O, padded_cols(I)]               bfloat16 or float32
//   t, dt [N, max_rank]                 overwritten
#include "cuda/lora.h"
#include "cuda/product.h"

namespace valora::cuda {

LoraGroup lora_group(const LoraRows& rows) {
  return {rows.begin,
          rows.count,
          rows.a.data,
          rows.b.data,
          static_cast<int32_t>(rows.a.stride),
          static_cast<int32_t>(rows.b.stride),
          static_cast<int32_t>(rows.a.rows),
          rows.scale};
}

void linear_forward(View y, View t, void* copy, View x, const DeviceWeight& w, View bias,
                    const DeviceLora& lora, Stream stream) {
  prepare_rows(w.dtype, copy, t, x, lora, LoraSide::kA, stream);
  multiply("linear_forward",
           {.out = y,
            .left = copy,
            .left_pitch = padded_cols(x.cols),
            .right = w.data,
            .right_pitch = w.cols,
            .depth = x.cols,
            .dtype = w.dtype,
            .bias = bias.empty() ? nullptr : bias.data,
            .low = t,
            .lora = lora},
           stream);
}

void linear_backward(View dx, View dt, void* copy, View dy, const DeviceWeight& w,
                     const DeviceLora& lora, Write write, Stream stream) {
  prepare_rows(w.dtype, dx.empty() ? nullptr : copy, dt, dy, lora, LoraSide::kB, stream);
  if (dx.empty()) return;
  multiply("linear_backward",
           {.out = dx,
            .left = copy,
            .left_pitch = padded_cols(dy.cols),
            .right = w.data,
            .right_pitch = w.cols,
            .depth = dy.cols,
            .dtype = w.dtype,
            .order = Product::Right::kByDepth,
            .low = dt,
            .lora = lora,
            .write = write},
           stream);
}

}  // namespace valora::cuda
