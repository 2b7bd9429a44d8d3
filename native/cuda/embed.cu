// embed: y[N, C] = row ids[n] of table [V, C], rows of it table.cols apart, of float32, float16 or
// bfloat16; y overwritten.
#include "cuda/cuda.h"
#include "cuda/numbers.h"
#include "cuda/rowwise.h"

namespace valora::cuda {

namespace {

// Four numbers of the table as one access.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T x, y, z, w;
};

template <bool kAligned, typename T>
__global__ void __launch_bounds__(kRowwiseBlock)
    embed_forward_kernel(Rows<float> y, Global<const T> table, Global<const int32_t> ids,
                         int64_t cols, int64_t pitch, int64_t blocks_a_row) {
  const Place at = rowwise_place(blocks_a_row);
  const int64_t left = cols - at.column;
  if (left <= 0) return;
  const Global<const T> in = table + load(ids + at.row) * pitch + at.column;
  float4 v = make_float4(0, 0, 0, 0);
  if constexpr (kAligned) {
    const auto four = load_as<Four<T>>(in);
    v = make_float4(to_float(four.x), to_float(four.y), to_float(four.z), to_float(four.w));
  } else {
    v.x = to_float(load(in));
    if (left > 1) v.y = to_float(load(in + 1));
    if (left > 2) v.z = to_float(load(in + 2));
    if (left > 3) v.w = to_float(load(in + 3));
  }
  store_quad<kAligned>(y.row(at.row) + at.column, left, v);
}

template <typename T>
void embed(View y, const DeviceWeight& table, const int32_t* ids, Stream stream) {
  const bool aligned = quad_aligned(y, y.cols) && table.cols % kQuad == 0 &&
                       reinterpret_cast<uintptr_t>(table.data) % sizeof(Four<T>) == 0;
  by_alignment(aligned, [&](auto is_aligned) {
    launch(embed_forward_kernel<is_aligned, T>,
           {"embed_forward", rowwise_grid(y.rows, y.cols), kRowwiseBlock, 0, stream},
           rows_of<float>(y), static_cast<const T*>(table.data), ids, y.cols, table.cols,
           blocks_a_row(y.cols));
  });
}

}  // namespace

void embed_forward(View y, const DeviceWeight& table, const int32_t* ids, Stream stream) {
  switch (table.dtype) {
    case Dtype::kF32:
      return embed<float>(y, table, ids, stream);
    case Dtype::kF16:
      return embed<__half>(y, table, ids, stream);
    case Dtype::kBF16:
      return embed<__nv_bfloat16>(y, table, ids, stream);
    default:
      throw Error(ErrorCode::kInternal, "embed_forward: the table's blocks were not expanded");
  }
}

}  // namespace valora::cuda
