// convert_weight: to [R, P] of bfloat16 or float32 = from [R, C] of float32, float16 or bfloat16,
// rounded to nearest; zeros from C on. Once for each matrix, when it is uploaded.
#include "cuda/cuda.h"
#include "cuda/numbers.h"
#include "cuda/rowwise.h"

namespace valora::cuda {

namespace {

template <typename To, typename From>
__global__ void __launch_bounds__(kRowwiseBlock)
    convert_weight_kernel(Global<To> to, int64_t padded, Global<const From> from, int64_t cols,
                          int64_t blocks_a_row) {
  const Place at = rowwise_place(blocks_a_row);
  for (int64_t c = at.column; c < at.column + kQuad && c < padded; ++c) {
    const float value = c < cols ? to_float(load(from + (at.row * cols + c))) : 0.0f;
    store(to + (at.row * padded + c), from_float<To>(value));
  }
}

template <typename To, typename From>
void convert(void* to, const DeviceWeight& from, Stream stream) {
  const int64_t padded = padded_cols(from.cols);
  launch(convert_weight_kernel<To, From>,
         {"convert_weight", rowwise_grid(from.rows, padded), kRowwiseBlock, 0, stream},
         static_cast<To*>(to), padded, static_cast<const From*>(from.data), from.cols,
         blocks_a_row(padded));
}

template <typename To>
void convert_to(void* to, const DeviceWeight& from, Stream stream) {
  switch (from.dtype) {
    case Dtype::kF32:
      return convert<To, float>(to, from, stream);
    case Dtype::kF16:
      return convert<To, __half>(to, from, stream);
    case Dtype::kBF16:
      return convert<To, __nv_bfloat16>(to, from, stream);
    default:
      throw Error(ErrorCode::kInternal, "convert_weight: the weight's blocks were not expanded");
  }
}

}  // namespace

void convert_weight(void* to, Dtype dtype, const DeviceWeight& from, Stream stream) {
  if (dtype == Dtype::kF32) return convert_to<float>(to, from, stream);
  if (dtype == Dtype::kBF16) return convert_to<__nv_bfloat16>(to, from, stream);
  throw Error(ErrorCode::kInternal, "convert_weight: products are of bfloat16 or float32");
}

}  // namespace valora::cuda
