// What attention's forward and backward share: which queries and keys a worker looks at together,
// and the products between them.
//
// A query is a (row, head) pair. Within one key/value head, queries count through rows and, within
// a row, through the G = H / K heads that share the keys: query i of a chunk is row i / G, head i %
// G. The keys of a path come in blocks of kAttentionBlock positions, gathered from the path's
// segments. How many queries a chunk has can't be seen in a result: each is a row of every product
// and has its own sums.
#pragma once

#include "core/scratch.h"
#include "cpu/cpu.h"
#include "cpu/gemm.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

inline constexpr int64_t kBlock = kAttentionBlock;
inline constexpr int64_t kBlockVectors = kBlock / kVector;

// Sizes that follow from the shape. Matrices of D columns have rows `width` apart in scratch.
struct Heads {
  int64_t share;       // G
  int64_t head_dim;    // D
  int64_t width;       // D in whole vectors
  int64_t chunk_rows;  // rows of a chunk at most
  int64_t queries;     // chunk_rows * G in whole vectors
};

VALORA_INLINE Heads heads_of(const AttentionShape& shape) {
  const int64_t share = shape.heads / shape.kv_heads;
  const int64_t chunk_rows = max_of(1, kAttentionQueries / share);
  return {share, shape.head_dim, padded(shape.head_dim, kVector), chunk_rows,
          padded(chunk_rows * share, kVector)};
}

// Hands out the parts of a worker's scratch, each whole vectors long.
struct Carver {
  float* next;

  float* take(int64_t floats) {
    float* part = next;
    next += floats;
    return part;
  }
  // A right-hand side of `depth` rows and `cols` columns in panels.
  float* take_panels(int64_t depth, int64_t cols) { return take(depth * padded(cols, kPanel)); }
};

// Rows [begin, begin + count) of the batch's queries, all of one group.
struct GroupRows {
  const QueryGroup* group;
  int64_t begin;
  int64_t count;
};

// The group that row n is in; groups cover the rows in order.
static inline const QueryGroup* group_of_row(const PathsView& paths, int64_t n) {
  int64_t low = 0;
  int64_t high = paths.group_count;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    if (paths.groups[middle].query_begin <= n) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return paths.groups + low;
}

// part(GroupRows) for each group's share of rows [begin, end).
template <typename Part>
static inline void for_groups(const PathsView& paths, int64_t begin, int64_t end,
                              const Part& part) {
  const QueryGroup* group = group_of_row(paths, begin);
  for (int64_t n = begin; n < end; ++group) {
    const int64_t count = min_of(end, group->query_begin + group->query_count) - n;
    part(GroupRows{group, n, count});
    n += count;
  }
}

// Keys that some query of these rows sees.
static inline int64_t keys_seen(const PathsView& paths, const GroupRows& part) {
  int64_t seen = 0;
  for (int64_t i = 0; i < part.count; ++i) {
    seen = max_of(seen, paths.positions[part.begin + i] + 1);
  }
  return seen;
}

// Walks a group's path block by block.
struct PathWalk {
  const PathSegment* segment = nullptr;
  int32_t offset = 0;  // keys of the segment already passed

  // The key rows of the next `count` positions.
  void take(int64_t count, int32_t* rows) {
    for (int64_t j = 0; j < count; ++j) {
      if (offset == segment->length) {
        ++segment;
        offset = 0;
      }
      rows[j] = segment->begin + offset++;
    }
  }
  void skip(int64_t count) {
    while (count > segment->length - offset) {
      count -= segment->length - offset;
      ++segment;
      offset = 0;
    }
    offset += static_cast<int32_t>(count);
  }
};

static inline PathWalk walk_of(const PathsView& paths, const QueryGroup& group) {
  return {paths.segments + group.segment_begin};
}

// out[queries, width] = the queries of rows [begin, begin + count) of `from`, 0 past D.
static inline void gather_queries(View from, int64_t begin, int64_t count, const Heads& heads,
                                  int64_t kv_head, float* out) {
  for (int64_t n = begin; n < begin + count; ++n) {
    const float* row = from.row(n) + kv_head * heads.share * heads.head_dim;
    for (int64_t h = 0; h < heads.share; ++h, out += heads.width, row += heads.head_dim) {
      for (int64_t d = 0; d < heads.head_dim; d += kVector) {
        store(out + d, load_some(row + d, lanes_left(d, heads.head_dim)));
      }
    }
  }
}

// out[count, width] = rows of k or v, columns of kv_head. Columns past D are 0, as are rows past
// `count` up to a whole vector of them.
static inline void gather_keys(View from, const int32_t* rows, int64_t count, const Heads& heads,
                               int64_t kv_head, float* out) {
  constexpr int64_t kAhead =
      8;  // rows are far apart: the hardware does not see the next one coming
  for (int64_t j = 0; j < padded(count, kVector); ++j, out += heads.width) {
    if (j >= count) {
      std::memset(out, 0, heads.width * 4);
      continue;
    }
    const float* row = from.row(rows[j]) + kv_head * heads.head_dim;
    const float* later = from.row(rows[min_of(j + kAhead, count - 1)]) + kv_head * heads.head_dim;
    for (int64_t d = 0; d < heads.head_dim; d += kVector) {
      __builtin_prefetch(later + d);
      store(out + d, load_some(row + d, lanes_left(d, heads.head_dim)));
    }
  }
}

// The rows [count, width] of `matrix` as panels: panel p, row j holds columns p * kPanel .. of row
// j. Panels are `depth` rows long.
static inline void pack_rows(const float* matrix, int64_t count, int64_t width, int64_t depth,
                             float* panels) {
  for (int64_t j = 0; j < count; ++j, matrix += width) {
    for (int64_t d = 0; d < width; d += kVector) {
      store(panels + (d / kPanel * depth + j) * kPanel + d % kPanel, load(matrix + d));
    }
  }
}

// The rows [count, width] of `matrix` transposed, as panels of `width` rows; count in whole
// vectors.
static inline void pack_transposed(const float* matrix, int64_t count, int64_t width,
                                   float* panels) {
  for (int64_t j = 0; j < count; j += kVector) {
    float* out = panels + j / kPanel * width * kPanel + j % kPanel;
    for (int64_t d = 0; d < width; d += kVector) {
      transpose(matrix + j * width + d, width, out + d * kPanel, kPanel);
    }
  }
}

// c[rows, cols] = (first ? 0 : c) + a[rows, depth] b, b the first `depth` rows of panels that are
// panel_rows long; c with room for cols in whole vectors.
static inline void multiply(const float* a, int64_t a_stride, int64_t rows, const float* b,
                            int64_t panel_rows, int64_t depth, int64_t cols, float* c,
                            int64_t c_stride, bool first) {
  multiply_blocks<FloatKernels>(a, a_stride, rows, b, panel_rows * kPanel, depth, cols, c, c_stride,
                                first);
}

// Lanes of vector v of a block that lie before `count`: x there, `other` elsewhere.
VALORA_INLINE F16 keep_first(F16 x, int64_t v, int64_t count, F16 other) {
  alignas(64) static constexpr float kLane[kVector] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                       8, 9, 10, 11, 12, 13, 14, 15};
  if (count >= (v + 1) * kVector) return x;
  return select_less(load(kLane), broadcast(static_cast<float>(count - v * kVector)), x, other);
}

// body(begin, end, kv_head, worker) for chunks of rows, at most Heads::chunk_rows, that cover all
// query rows, for every key/value head. Late rows, which tend to see the most keys, come first.
template <typename Body>
static inline void for_chunks(const AttentionShape& shape, int64_t rows, const Context& context,
                              const Body& body) {
  constexpr int64_t kTasksPerThread = 4;
  const int64_t wanted = kTasksPerThread * context.threads();
  const int64_t per_task =
      max_of(1, min_of(heads_of(shape).chunk_rows, rows * shape.kv_heads / wanted));
  const int64_t chunks = (rows + per_task - 1) / per_task;
  parallel_for(context, chunks * shape.kv_heads, [&](int64_t index, int worker) {
    const int64_t begin = (chunks - 1 - index / shape.kv_heads) * per_task;
    body(begin, min_of(rows, begin + per_task), index % shape.kv_heads, worker);
  });
}

}  // namespace valora::VALORA_ISA
