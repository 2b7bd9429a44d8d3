// attention: o = softmax(scale q k^T) v along paths, in one pass over the keys (online softmax:
// Milakov & Gimelshein 2018; FlashAttention-2: Dao 2023). No score leaves the multiprocessor.
//
//   q, o [Nq, H D], k, v [key rows, K D] float32, rows may lie apart; lse [Nq, H]
//
// A block has one key/value head and up to 64 (row, head) pairs of a group, sixteen a warp. Keys
// come in path order, 64 at a time, aligned to the path position, gathered from the path's
// segments; past the tile's longest path nothing is read. While scores are computed the values are
// on their way, while values are added the next keys are. Masked keys weigh exactly 0, so a row's
// result follows from its path alone.
//
// In bfloat16 q, k and v are first rounded into scratch, [rows, heads, W] each, once for all
// blocks. Few queries (a generation's step) read k and v as they are: four warps fetch, and the
// first multiplies. A row's sums are the same either way.
#include "cuda/attention_tiles.h"
#include "cuda/cuda.h"

namespace valora::cuda {

namespace {

constexpr int kPackBlock = 256;
constexpr int kFewThreads = 128;

template <typename T, bool kAligned>
__global__ void __launch_bounds__(kPackBlock)
    pack_heads_kernel(Global<T> packed, int padded, Rows<const float> x, int width, int heads,
                      int64_t count) {
  const int64_t number = (int64_t{blockIdx.x} * kPackBlock + threadIdx.x) * kQuad;
  if (number >= count) return;
  const int col = static_cast<int>(number % padded);
  const int64_t unit = number / padded;
  const int head = static_cast<int>(unit % heads);
  float4 v = make_float4(0, 0, 0, 0);
  if (col < width) {
    v = load_quad<kAligned>(x.row(unit / heads) + (head * width + col), width - col);
  }
  if constexpr (std::is_same_v<T, float>) {
    store_as(packed + number, v);
  } else {
    store_as(packed + number, bf16_quad(v));
  }
}

template <typename T, int kWidth, int kRowWarps>
constexpr int kForwardShared = (kRowWarps * kAttentionRows + 2 * kAttentionBlock) *
                               kTilePitch<T, kWidth>* static_cast<int>(sizeof(T));

template <typename T, int kWidth, int kRowWarps, int kThreads, typename Heads>
__global__ void __launch_bounds__(kThreads, kAttentionResident)
    attention_forward_kernel(HeadOutput o, Rows<float> lse, Heads q, Heads k, Heads v,
                             Global<const QueryTile> tiles, Global<const int32_t> longest_of,
                             Global<const PathSegment> segments, Global<const int32_t> positions,
                             int share, float scale) {
  constexpr int kRows = kRowWarps * kAttentionRows;
  constexpr int kPitch = kTilePitch<T, kWidth>;
  const Shared<T> queries = dynamic_shared<T, kForwardShared<T, kWidth, kRowWarps>>();
  const Shared<T> keys = queries + kRows * kPitch;
  const Shared<T> values = keys + kAttentionBlock * kPitch;
  const auto lists = static_shared<struct KeyLists, int32_t, 2 * kAttentionBlock>();
  const auto list = [&](int block) { return lists + block % 2 * kAttentionBlock; };

  const QueryTile tile = load(tiles + blockIdx.x);
  const int longest = load(longest_of + blockIdx.x);
  const int kv_head = static_cast<int>(blockIdx.y);
  const Pairs pairs{tile.query_begin, tile.first, tile.pairs, share, kv_head};
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int blocks = (longest + kAttentionBlock - 1) / kAttentionBlock;
  const float log2_scale = scale * kLog2e;

  PathWalk walk(segments + tile.segment_begin);
  const auto make_list = [&](int block) {
    list_path_keys<kAttentionBlock, kThreads>(list(block), walk, block * kAttentionBlock, longest);
  };
  const auto begin = [&](Shared<T> to, const Heads& from, int block) {
    const Shared<int32_t> rows = list(block);
    from.template begin<kAttentionBlock, kThreads>(to, [&](int i) {
      return HeadRow{load(rows + i), kv_head};
    });
    cp_async_commit();
  };

  // This lane's two rows, and the positions they see; rows past the tile's see one key.
  const int first_row = warp * kAttentionRows + lane / 4;
  int limit[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = first_row + 8 * half;
    limit[half] = warp < kRowWarps && pairs.has(i) ? load(positions + pairs.row(i)) : 0;
  }
  // The running maximum is kept times scale and log2 e, for powers of 2.
  float largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  float out[kWidth / 8][4] = {};

  make_list(0);
  __syncthreads();
  q.template begin<kRows, kThreads>(queries, [&](int i) { return pairs.place(i); });
  begin(keys, k, 0);
  for (int block = 0; block < blocks; ++block) {
    cp_async_wait<0>();
    // The keys are there for all, and all are done with the values before.
    __syncthreads();
    begin(values, v, block);
    if (block + 1 < blocks) make_list(block + 1);
    float p[kAttentionBlock / 8][4];
    if (warp < kRowWarps) {
      scores<kWidth, kAttentionBlock>(p, queries + warp * kAttentionRows * kPitch, keys);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float top = -INFINITY;
#pragma unroll
        for (int j = 0; j < kAttentionBlock / 8; ++j) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float& score = p[j][2 * half + i];
            const int position = block * kAttentionBlock + j * 8 + lane % 4 * 2 + i;
            if (position > limit[half]) score = -INFINITY;
            top = fmaxf(top, score);
          }
        }
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
        top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
        top = fmaxf(largest[half], top * log2_scale);
        const float shrink = exp2f(largest[half] - top);
        float sum = 0;
#pragma unroll
        for (int j = 0; j < kAttentionBlock / 8; ++j) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float& score = p[j][2 * half + i];
            score = exp2f(fmaf(score, log2_scale, -top));
            sum += score;
          }
        }
        sum += __shfl_xor_sync(kAllLanes, sum, 1);
        sum += __shfl_xor_sync(kAllLanes, sum, 2);
        total[half] = fmaf(total[half], shrink, sum);
        largest[half] = top;
#pragma unroll
        for (int j = 0; j < kWidth / 8; ++j) {
          out[j][2 * half] *= shrink;
          out[j][2 * half + 1] *= shrink;
        }
      }
    }
    cp_async_wait<0>();
    // The values and the next list are there for all, and all are done with the keys.
    __syncthreads();
    if (block + 1 < blocks) begin(keys, k, block + 1);
    if (warp < kRowWarps) accumulate<kWidth, kAttentionBlock>(out, p, values);
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = first_row + 8 * half;
    if (warp >= kRowWarps || !pairs.has(i)) continue;
    o.store_row<kWidth>(pairs.place(i), out, half, 1 / total[half]);
    if (lane % 4 == 0) {
      store(lse.row(pairs.row(i)) + pairs.head(i), (largest[half] + log2f(total[half])) * kLn2);
    }
  }
}

template <typename T, int kWidth, int kRowWarps, int kThreads, typename Heads>
void start(View o, View lse, const Heads& q, const Heads& k, const Heads& v,
           const DevicePaths& paths, const AttentionShape& shape, Stream stream) {
  const dim3 grid(static_cast<unsigned>(paths.query_tile_count),
                  static_cast<unsigned>(shape.kv_heads));
  launch(attention_forward_kernel<T, kWidth, kRowWarps, kThreads, Heads>,
         {"attention_forward", grid, kThreads, kForwardShared<T, kWidth, kRowWarps>, stream},
         head_output(o, shape), rows_of<float>(lse), q, k, v, paths.query_tiles,
         paths.query_longest, paths.segments, paths.positions,
         static_cast<int>(shape.heads / shape.kv_heads), shape.scale);
}

}  // namespace

template <typename T>
void pack_heads(T* packed, int64_t padded, View x, int64_t width, Stream stream) {
  const int64_t heads = x.cols / width, count = x.rows * heads * padded;
  const int64_t threads = count / kQuad;
  const dim3 grid(static_cast<unsigned>((threads + kPackBlock - 1) / kPackBlock));
  by_alignment(quad_aligned(x, width), [&](auto is_aligned) {
    launch(pack_heads_kernel<T, is_aligned>, {"attention_pack", grid, kPackBlock, 0, stream},
           packed, static_cast<int>(padded), rows_of<const float>(x), static_cast<int>(width),
           static_cast<int>(heads), count);
  });
}
template void pack_heads(float*, int64_t, View, int64_t, Stream);
template void pack_heads(__nv_bfloat16*, int64_t, View, int64_t, Stream);

int64_t attention_forward_bytes(int64_t queries, int64_t keys, const AttentionShape& shape,
                                Compute compute) {
  int64_t bytes = 0;
  by_arithmetic(compute, shape.head_dim, [&](auto number, auto width) {
    bytes = (queries * shape.heads + 2 * keys * shape.kv_heads) * width *
            static_cast<int64_t>(sizeof number);
  });
  return bytes;
}

void attention_forward(View o, View lse, View q, View k, View v, const DevicePaths& paths,
                       const AttentionShape& shape, Compute compute, void* scratch, Stream stream) {
  if (paths.query_tile_count == 0) return;
  by_arithmetic(compute, shape.head_dim, [&](auto number, auto width) {
    using T = decltype(number);
    constexpr int kWidth = decltype(width)::value;
    if constexpr (std::is_same_v<T, __nv_bfloat16>) {
      if (paths.few) {
        const auto heads = [&](View x) {
          return PlainHeads<T, kWidth>{rows_of<const float>(x), static_cast<int>(shape.head_dim),
                                       quad_aligned(x, shape.head_dim)};
        };
        start<T, kWidth, 1, kFewThreads>(o, lse, heads(q), heads(k), heads(v), paths, shape,
                                         stream);
        return;
      }
    }
    T* next = static_cast<T*>(scratch);
    const auto heads = [&](View x) {
      T* packed = next;
      pack_heads(packed, kWidth, x, shape.head_dim, stream);
      next += x.rows * x.cols / shape.head_dim * kWidth;
      return PackedHeads<T, kWidth>{packed, static_cast<int>(x.cols / shape.head_dim)};
    };
    const auto q_heads = heads(q), k_heads = heads(k), v_heads = heads(v);
    constexpr int kWarps = std::is_same_v<T, float> ? 1 : 4;
    start<T, kWidth, kWarps, kWarps * kWarp>(o, lse, q_heads, k_heads, v_heads, paths, shape,
                                             stream);
  });
}

}  // namespace valora::cuda
