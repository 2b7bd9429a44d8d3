// rope: rotates each head's halves in place, (a, b) -> (a cos - b sin, b cos + a sin), by the
// angles of the row's position (Su et al. 2021); direction -1 rotates back.
//
//   x [N, heads D]         rows may lie apart; overwritten
//   table [positions, D]   D / 2 cosines, then D / 2 sines
//   positions [N]
//
// A thread owns four neighbouring pairs of one head; columns below count pairs, D / 2 a head.
#include "cuda/cuda.h"
#include "cuda/rowwise.h"

namespace valora::cuda {

namespace {

template <bool kAligned>
__global__ void __launch_bounds__(kRowwiseBlock)
    rope_kernel(Rows<float> x, Rows<const float> table, Global<const int32_t> positions,
                int64_t heads, int64_t half, float direction, int64_t blocks_a_row) {
  const Place at = rowwise_place(blocks_a_row);
  // Heads are rounded up to whole quads, so that no quad has pairs of two heads.
  const int64_t quads = (half + kQuad - 1) / kQuad;
  const int64_t head = at.column / kQuad / quads, i = at.column / kQuad % quads * kQuad;
  if (head >= heads) return;
  const int64_t left = half - i;
  const Global<float> first = x.row(at.row) + head * 2 * half + i;
  const Global<const float> cosines = table.row(load(positions + at.row)) + i;
  const float4 a = load_quad<kAligned>(first, left);
  const float4 b = load_quad<kAligned>(first + half, left);
  const float4 c = load_quad<kAligned>(cosines, left);
  float4 s = load_quad<kAligned>(cosines + half, left);
  s = make_float4(s.x * direction, s.y * direction, s.z * direction, s.w * direction);
  store_quad<kAligned>(first, left,
                       make_float4(a.x * c.x - b.x * s.x, a.y * c.y - b.y * s.y,
                                   a.z * c.z - b.z * s.z, a.w * c.w - b.w * s.w));
  store_quad<kAligned>(first + half, left,
                       make_float4(b.x * c.x + a.x * s.x, b.y * c.y + a.y * s.y,
                                   b.z * c.z + a.z * s.z, b.w * c.w + a.w * s.w));
}

}  // namespace

void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          Stream stream) {
  const int64_t half = head_dim / 2, heads = x.cols / head_dim;
  const int64_t padded = heads * ((half + kQuad - 1) / kQuad * kQuad);
  by_alignment(quad_aligned(x, half) && quad_aligned(table, half), [&](auto is_aligned) {
    launch(rope_kernel<is_aligned>,
           {"rope", rowwise_grid(x.rows, padded), kRowwiseBlock, 0, stream}, rows_of<float>(x),
           rows_of<const float>(table), positions, heads, half, static_cast<float>(direction),
           blocks_a_row(padded));
  });
}

}  // namespace valora::cuda
