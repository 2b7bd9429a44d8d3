// attention_backward: with p = exp(scale q k^T - lse), delta = rowsum(dO o) and
// ds = p (dO v^T - delta): dq = scale ds k, dv = p^T dO, dk = scale ds^T q (FlashAttention-2: Dao
// 2023). Scores are computed again from lse; none leaves the multiprocessor.
//
//   q, o, dO, dq [Nq, H D], k, v, dk, dv [key rows, K D] float32, rows may lie apart; lse [Nq, H].
//   dq, dk, dv are overwritten
//
// Two kernels, so that every sum belongs to one warp and needs no atomic:
//  * dq: a block has up to 64 (row, head) pairs of a group, as in the forward, and goes through its
//    keys in path order;
//  * dk, dv: a block has up to 64 neighbouring keys and goes through the pairs that see them, group
//    by group, heads of a row together. Keys that no query sees get 0.
// Both take what they go through 32 at a time (wide heads' dk and dv 16: both sums and twice 32
// columns do not fit into registers) through two buffers: while one is multiplied the next is on
// its way. A masked pair adds exactly 0.
#include "cuda/attention_tiles.h"
#include "cuda/cuda.h"
#include "cuda/reduce.h"

namespace valora::cuda {

namespace {

constexpr int kKeyCols = 32;
template <int kWidth>
constexpr int kPairCols = kWidth > 64 ? 16 : 32;
constexpr int kStages = 2;
constexpr int kDeltaBlock = 256;

template <typename T>
constexpr int kRowWarps = std::is_same_v<T, float> ? 1 : 4;

template <typename T, int kWidth>
constexpr int kBackwardShared = (2 * kRowWarps<T> * kAttentionRows + 2 * kStages * kKeyCols) *
                                kTilePitch<T, kWidth>* static_cast<int>(sizeof(T));

// delta [Nq, H]: a warp for a row and head, a lane for four neighbours.
template <bool kAligned>
__global__ void __launch_bounds__(kDeltaBlock)
    attention_delta_kernel(Global<float> delta, Rows<const float> d_o, Rows<const float> o,
                           int width, int heads, int64_t count) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t unit = (int64_t{blockIdx.x} * kDeltaBlock + threadIdx.x) / kWarp;
  if (unit >= count) return;
  const int col = lane * kQuad;
  float sum = 0;
  if (col < width) {
    const int64_t row = unit / heads, at = unit % heads * width + col;
    const float4 a = load_quad<kAligned>(d_o.row(row) + at, width - col);
    const float4 b = load_quad<kAligned>(o.row(row) + at, width - col);
    sum = fmaf(a.w, b.w, fmaf(a.z, b.z, fmaf(a.y, b.y, a.x * b.x)));
  }
  sum = warp_sum(sum);
  if (lane == 0) store(delta + unit, sum);
}

__device__ __forceinline__ float probability(float score, float log2_scale, float lse) {
  return exp2f(fmaf(score, log2_scale, -lse * kLog2e));
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowWarps<T>* kWarp, kAttentionResident)
    attention_dq_kernel(HeadOutput dq, PackedHeads<T, kWidth> q, PackedHeads<T, kWidth> d_o,
                        PackedHeads<T, kWidth> k, PackedHeads<T, kWidth> v, Rows<const float> lse,
                        Global<const float> delta, Global<const QueryTile> tiles,
                        Global<const int32_t> longest_of, Global<const PathSegment> segments,
                        Global<const int32_t> positions, int share, float scale) {
  constexpr int kRows = kRowWarps<T> * kAttentionRows, kThreads = kRowWarps<T> * kWarp;
  constexpr int kCols = kKeyCols;
  constexpr int kPitch = kTilePitch<T, kWidth>, kStage = 2 * kCols * kPitch;
  const Shared<T> queries = dynamic_shared<T, kBackwardShared<T, kWidth>>();
  const Shared<T> gradients = queries + kRows * kPitch;
  const Shared<T> stages = gradients + kRows * kPitch;
  const auto lists = static_shared<struct KeyLists, int32_t, kStages * kCols>();

  const QueryTile tile = load(tiles + blockIdx.x);
  const int longest = load(longest_of + blockIdx.x);
  const int kv_head = static_cast<int>(blockIdx.y);
  const Pairs pairs{tile.query_begin, tile.first, tile.pairs, share, kv_head};
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int blocks = (longest + kCols - 1) / kCols;
  const float log2_scale = scale * kLog2e;

  PathWalk walk(segments + tile.segment_begin);
  const auto make_list = [&](int block) {
    if (block >= blocks) return;
    list_path_keys<kCols, kThreads>(lists + block % kStages * kCols, walk, block * kCols, longest);
  };
  const auto begin = [&](int block) {
    if (block < blocks) {
      const Shared<int32_t> list = lists + block % kStages * kCols;
      const Shared<T> keys = stages + block % kStages * kStage;
      const auto place = [&](int i) { return HeadRow{load(list + i), kv_head}; };
      k.template begin<kCols, kThreads>(keys, place);
      v.template begin<kCols, kThreads>(keys + kCols * kPitch, place);
    }
    cp_async_commit();
  };

  const int first_row = warp * kAttentionRows + lane / 4;
  int limit[2];
  float row_lse[2], row_delta[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = first_row + 8 * half;
    // Rows past the tile's see nothing.
    limit[half] = -1, row_lse[half] = 0, row_delta[half] = 0;
    if (!pairs.has(i)) continue;
    const int row = pairs.row(i), head = pairs.head(i);
    limit[half] = load(positions + row);
    row_lse[half] = load(lse.row(row) + head);
    row_delta[half] = load(delta + (int64_t{row} * q.heads + head));
  }
  float out[kWidth / 8][4] = {};

  make_list(0);
  __syncthreads();
  const auto place = [&](int i) { return pairs.place(i); };
  q.template begin<kRows, kThreads>(queries, place);
  d_o.template begin<kRows, kThreads>(gradients, place);
  begin(0);
  make_list(1);
  for (int block = 0; block < blocks; ++block) {
    cp_async_wait<0>();
    // The block and the next list are there for all, and all are done with the block before.
    __syncthreads();
    begin(block + 1);
    const Shared<T> keys = stages + block % kStages * kStage;
    float s[kCols / 8][4], dp[kCols / 8][4];
    scores<kWidth, kCols>(s, queries + warp * kAttentionRows * kPitch, keys);
    scores<kWidth, kCols>(dp, gradients + warp * kAttentionRows * kPitch, keys + kCols * kPitch);
#pragma unroll
    for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int position = block * kCols + j * 8 + lane % 4 * 2 + i % 2, half = i / 2;
        const float p = probability(s[j][i], log2_scale, row_lse[half]);
        s[j][i] = position <= limit[half] ? p * (dp[j][i] - row_delta[half]) : 0.0f;
      }
    }
    accumulate<kWidth, kCols>(out, s, keys);
    // The list of two blocks on takes the place of this block's, which begin() was done with
    // before the barrier.
    make_list(block + 2);
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = first_row + 8 * half;
    if (pairs.has(i)) dq.store_row<kWidth>(pairs.place(i), out, half, scale);
  }
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(kRowWarps<T>* kWarp, kAttentionResident)
    attention_dkv_kernel(HeadOutput dk, HeadOutput dv, PackedHeads<T, kWidth> q,
                         PackedHeads<T, kWidth> d_o, PackedHeads<T, kWidth> k,
                         PackedHeads<T, kWidth> v, Rows<const float> lse, Global<const float> delta,
                         Global<const KeyTile> tiles, Global<const KeyVisit> visits,
                         Global<const int32_t> positions, int share, float scale) {
  constexpr int kRows = kRowWarps<T> * kAttentionRows, kThreads = kRowWarps<T> * kWarp;
  constexpr int kCols = kPairCols<kWidth>;
  constexpr int kPitch = kTilePitch<T, kWidth>, kStage = 2 * kCols * kPitch;
  const Shared<T> keys = dynamic_shared<T, kBackwardShared<T, kWidth>>();
  const Shared<T> values = keys + kRows * kPitch;
  const Shared<T> stages = values + kRows * kPitch;
  // Of a stage's pairs: log-normalisers, deltas, positions.
  const auto lses = static_shared<struct Normalisers, float, kStages * kCols>();
  const auto deltas = static_shared<struct Deltas, float, kStages * kCols>();
  const auto limits = static_shared<struct Limits, int32_t, kStages * kCols>();

  const KeyTile tile = load(tiles + blockIdx.x);
  const int kv_head = static_cast<int>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const float log2_scale = scale * kLog2e;

  // The pairs come in blocks, none with two groups' pairs.
  struct Block {
    int visit;
    Pairs pairs;
    int position;  // of the tile's first key
  };
  const auto enter = [&](int visit) {
    Block block{visit, {0, 0, 0, share, kv_head}, 0};
    if (visit < tile.visit_count) {
      const KeyVisit at = load(visits + (tile.visit_begin + visit));
      block.pairs.query_begin = at.query_begin;
      block.pairs.first = at.first;
      block.pairs.count = at.pairs;
      block.position = at.position;
    }
    return block;
  };
  const auto after = [&](Block block) {
    if (block.pairs.has(kCols)) {
      block.pairs.first += kCols;
      return block;
    }
    return enter(block.visit + 1);
  };
  const auto begin = [&](const Block& block, int stage) {
    if (block.visit < tile.visit_count) {
      const Shared<T> queries = stages + stage * kStage;
      const auto place = [&](int i) { return block.pairs.place(i); };
      q.template begin<kCols, kThreads>(queries, place);
      d_o.template begin<kCols, kThreads>(queries + kCols * kPitch, place);
      const int i = static_cast<int>(threadIdx.x);
      if (i < kCols) {
        const bool has = block.pairs.has(i);
        const int row = has ? block.pairs.row(i) : 0, head = has ? block.pairs.head(i) : 0;
        const int at = stage * kCols + i;
        store(lses + at, load(lse.row(row) + head));
        store(deltas + at, load(delta + (int64_t{row} * q.heads + head)));
        store(limits + at, has ? load(positions + row) : -1);
      }
    }
    cp_async_commit();
  };

  float dk_sums[kWidth / 8][4] = {}, dv_sums[kWidth / 8][4] = {};
  const auto own = [&](int i) { return HeadRow{i < tile.count ? tile.begin + i : -1, kv_head}; };
  k.template begin<kRows, kThreads>(keys, own);
  v.template begin<kRows, kThreads>(values, own);
  Block block = enter(0);
  begin(block, 0);
  for (int stage = 0; block.visit < tile.visit_count; stage = 1 - stage) {
    cp_async_wait<0>();
    // The block is there for all, and all are done with the one before.
    __syncthreads();
    const Block next = after(block);
    begin(next, 1 - stage);
    const Shared<T> queries = stages + stage * kStage;
    const Shared<T> gradients = queries + kCols * kPitch;
    float p[kCols / 8][4], ds[kCols / 8][4];
    scores<kWidth, kCols>(p, keys + warp * kAttentionRows * kPitch, queries);
    scores<kWidth, kCols>(ds, values + warp * kAttentionRows * kPitch, gradients);
#pragma unroll
    for (int j = 0; j < kCols / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = stage * kCols + j * 8 + lane % 4 * 2 + i % 2;
        const int position = block.position + warp * kAttentionRows + lane / 4 + i / 2 * 8;
        const bool seen = position <= load(limits + at);
        p[j][i] = seen ? probability(p[j][i], log2_scale, load(lses + at)) : 0.0f;
        ds[j][i] = seen ? p[j][i] * (ds[j][i] - load(deltas + at)) : 0.0f;
      }
    }
    accumulate<kWidth, kCols>(dv_sums, p, gradients);
    accumulate<kWidth, kCols>(dk_sums, ds, queries);
    block = next;
  }
  cp_async_wait<0>();

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const HeadRow at = own(warp * kAttentionRows + lane / 4 + 8 * half);
    if (at.row < 0) continue;
    dk.store_row<kWidth>(at, dk_sums, half, scale);
    dv.store_row<kWidth>(at, dv_sums, half, 1);
  }
}

}  // namespace

int64_t attention_backward_bytes(int64_t queries, int64_t keys, const AttentionShape& shape,
                                 Compute compute) {
  int64_t bytes = 0;
  by_arithmetic(compute, shape.head_dim, [&](auto number, auto width) {
    bytes = 2 * (queries * shape.heads + keys * shape.kv_heads) * width *
            static_cast<int64_t>(sizeof number);
  });
  return bytes + queries * shape.heads * 4;
}

void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const DevicePaths& paths, const AttentionShape& shape,
                        Compute compute, void* scratch, Stream stream) {
  by_arithmetic(compute, shape.head_dim, [&](auto number, auto width) {
    using T = decltype(number);
    constexpr int kWidth = decltype(width)::value;
    constexpr int kThreads = kRowWarps<T> * kWarp;
    const auto heads = static_cast<int>(shape.heads), kv_heads = static_cast<int>(shape.kv_heads);
    T* next = static_cast<T*>(scratch);
    const auto pack = [&](View x, int count) {
      T* packed = next;
      if (!x.empty()) pack_heads(packed, kWidth, x, shape.head_dim, stream);
      next += x.rows * count * kWidth;
      return PackedHeads<T, kWidth>{packed, count};
    };
    const auto q_heads = pack(q, heads), d_o_heads = pack(d_o, heads);
    const auto k_heads = pack(k, kv_heads), v_heads = pack(v, kv_heads);
    auto* delta = reinterpret_cast<float*>(next);
    const int share = heads / kv_heads;

    if (paths.query_tile_count > 0) {
      const int64_t rows = q.rows * shape.heads;
      const dim3 rows_grid(static_cast<unsigned>((rows * kWarp + kDeltaBlock - 1) / kDeltaBlock));
      const bool aligned = quad_aligned(d_o, shape.head_dim) && quad_aligned(o, shape.head_dim);
      by_alignment(aligned, [&](auto is_aligned) {
        launch(attention_delta_kernel<is_aligned>,
               {"attention_delta", rows_grid, kDeltaBlock, 0, stream}, delta,
               rows_of<const float>(d_o), rows_of<const float>(o), static_cast<int>(shape.head_dim),
               heads, rows);
      });
      const dim3 grid(static_cast<unsigned>(paths.query_tile_count),
                      static_cast<unsigned>(kv_heads));
      launch(attention_dq_kernel<T, kWidth>,
             {"attention_dq", grid, kThreads, kBackwardShared<T, kWidth>, stream},
             head_output(dq, shape), q_heads, d_o_heads, k_heads, v_heads,
             rows_of<const float>(lse), delta, paths.query_tiles, paths.query_longest,
             paths.segments, paths.positions, share, shape.scale);
    }
    const dim3 grid(static_cast<unsigned>(paths.key_tile_count), static_cast<unsigned>(kv_heads));
    launch(attention_dkv_kernel<T, kWidth>,
           {"attention_dkv", grid, kThreads, kBackwardShared<T, kWidth>, stream},
           head_output(dk, shape), head_output(dv, shape), q_heads, d_o_heads, k_heads, v_heads,
           rows_of<const float>(lse), delta, paths.key_tiles, paths.visits, paths.positions, share,
           shape.scale);
  });
}

}  // namespace valora::cuda
