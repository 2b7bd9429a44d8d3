// add: y += x. gather_rows: y[i] = x[rows[i]]. scatter_rows: y[rows[i]] = or += x[i], no row twice.
//
//   x, y   rows may lie apart; rows [rows of the one that is dense]
#include "cuda/cuda.h"
#include "cuda/rowwise.h"

namespace valora::cuda {

namespace {

// y[to(n)] = x[from(n)], or += it, with an empty list for to(n) = n or from(n) = n.
template <bool kAligned, bool kAdd>
__global__ void __launch_bounds__(kRowwiseBlock)
    move_rows_kernel(Rows<float> y, Global<const int32_t> to, Rows<const float> x,
                     Global<const int32_t> from, int64_t cols, int64_t blocks_a_row) {
  const Place at = rowwise_place(blocks_a_row);
  const int64_t left = cols - at.column;
  if (left <= 0) return;
  const int64_t source = from ? load(from + at.row) : at.row;
  const int64_t target = to ? load(to + at.row) : at.row;
  float4 v = load_quad<kAligned>(x.row(source) + at.column, left);
  const Global<float> out = y.row(target) + at.column;
  if constexpr (kAdd) {
    const float4 before = load_quad<kAligned>(out, left);
    v = map([](float a, float b) { return a + b; }, before, v);
  }
  store_quad<kAligned>(out, left, v);
}

void move_rows(const char* name, View y, const int32_t* to, View x, const int32_t* from,
               int64_t rows, Write write, Stream stream) {
  by_alignment(quad_aligned(y, x.cols) && quad_aligned(x, x.cols), [&](auto is_aligned) {
    const auto kernel = write == Write::kAdd ? move_rows_kernel<is_aligned, true>
                                             : move_rows_kernel<is_aligned, false>;
    launch(kernel, {name, rowwise_grid(rows, x.cols), kRowwiseBlock, 0, stream}, rows_of<float>(y),
           to, rows_of<const float>(x), from, x.cols, blocks_a_row(x.cols));
  });
}

}  // namespace

void add(View y, View x, Stream stream) {
  move_rows("add", y, nullptr, x, nullptr, x.rows, Write::kAdd, stream);
}

void gather_rows(View y, View x, const int32_t* rows, Stream stream) {
  move_rows("gather_rows", y, nullptr, x, rows, y.rows, Write::kOverwrite, stream);
}

void scatter_rows(View y, View x, const int32_t* rows, Write write, Stream stream) {
  move_rows("scatter_rows", y, rows, x, nullptr, x.rows, write, stream);
}

}  // namespace valora::cuda
