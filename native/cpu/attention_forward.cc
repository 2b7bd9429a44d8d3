// attention_forward: softmax(scale q k^T) v along paths, without a matrix of all scores (Dao et al.
// 2022). Per query and block of keys: scores by chains over d, their maximum and sum, the earlier
// sums rescaled where the maximum grew, then o's chain over the keys continued: o = fma(p, v, o).
#include "cpu/attention.h"

namespace valora::VALORA_ISA {

namespace {

// A worker's scratch, for one chunk of rows and key/value head. T = Heads::queries, W =
// Heads::width.
struct Work {
  float* q;         // [T, W]
  float* o;         // [T, W] sums of p v
  float* scores;    // [T, kBlock]
  float* gathered;  // [kBlock, W]
  float* keys;      // K transposed: panels of W rows, kBlock columns
  float* values;    // panels of kBlock rows, W columns
  float* largest;   // [T] running maximum of the scores
  float* total;     // [T] running sum of exp(score - largest)
};

Work work_of(const Scratch& scratch, int worker, const Heads& heads) {
  Carver carver = {static_cast<float*>(scratch.of(worker))};
  Work work;
  work.q = carver.take(heads.queries * heads.width);
  work.o = carver.take(heads.queries * heads.width);
  work.scores = carver.take(heads.queries * kBlock);
  work.gathered = carver.take(kBlock * heads.width);
  work.keys = carver.take_panels(heads.width, kBlock);
  work.values = carver.take_panels(kBlock, heads.width);
  work.largest = carver.take(heads.queries);
  work.total = carver.take(heads.queries);
  return work;
}

// Queries [first, first + live), at most 16: scores become exp(scale * score - largest), 0 where
// the key is not seen; the running maximum and sum take the block in; o is rescaled to the new
// maximum. seen(i) is how many keys of the block query i sees.
template <typename Seen>
void take_in(const Work& work, int64_t first, int64_t live, int64_t width, float scale, bool start,
             const Seen& seen) {
  alignas(64) float rows[kVector * kVector];
  alignas(64) float lanes[kVector * kVector];  // of the same, transposed: lane r belongs to query r
  const F16 factor = broadcast(scale);
  const F16 nothing = broadcast(-INFINITY);
  for (int64_t r = 0; r < kVector; ++r) {
    if (r >= live) {
      store(rows + r * kVector, zero());
      continue;
    }
    float* score = work.scores + (first + r) * kBlock;
    F16 best = nothing;
    for (int64_t v = 0; v < kBlockVectors; ++v) {
      const F16 x = keep_first(mul(load(score + v * kVector), factor), v, seen(first + r), nothing);
      store(score + v * kVector, x);
      best = max(best, x);
    }
    store(rows + r * kVector, best);
  }
  transpose(rows, kVector, lanes, kVector);
  const F16 before = start ? nothing : load_some(work.largest + first, live);
  F16 largest = before;
  for (int64_t l = 0; l < kVector; ++l) largest = max(load(lanes + l * kVector), largest);
  const F16 rescale = exp(sub(before, largest));
  store_some(work.largest + first, largest, live);

  for (int64_t r = 0; r < live; ++r) {
    float* score = work.scores + (first + r) * kBlock;
    const F16 shift = broadcast(work.largest[first + r]);
    F16 sums = zero();
    for (int64_t v = 0; v < kBlockVectors; ++v) {
      const F16 p = exp(sub(load(score + v * kVector), shift));
      store(score + v * kVector, p);
      sums = add(sums, p);
    }
    store(rows + r * kVector, sums);
  }
  transpose(rows, kVector, lanes, kVector);
  for (int64_t half = kVector / 2; half > 0; half /= 2) {
    for (int64_t l = 0; l < half; ++l) {
      const F16 other = load(lanes + (l + half) * kVector);
      store(lanes + l * kVector, add(load(lanes + l * kVector), other));
    }
  }
  const F16 total = start ? zero() : load_some(work.total + first, live);
  store_some(work.total + first, fma(total, rescale, load(lanes)), live);

  if (start) return;
  float factors[kVector];
  store(factors, rescale);
  for (int64_t r = 0; r < live; ++r) {
    if (factors[r] == 1.0f) continue;
    float* o = work.o + (first + r) * width;
    const F16 shrink = broadcast(factors[r]);
    for (int64_t d = 0; d < width; d += kVector) store(o + d, mul(load(o + d), shrink));
  }
}

// o and lse of rows [begin, begin + count). A zero's sign could tell whether keys that the row
// doesn't see were multiplied by 0, so adding 0 takes it away.
void finish(const Work& work, View o, View lse, int64_t begin, int64_t count, const Heads& heads,
            int64_t kv_head) {
  for (int64_t i = 0; i < count * heads.share; ++i) {
    const int64_t n = begin + i / heads.share;
    const int64_t head = kv_head * heads.share + i % heads.share;
    const F16 total = broadcast(work.total[i]);
    float* out = o.row(n) + head * heads.head_dim;
    for (int64_t d = 0; d < heads.head_dim; d += kVector) {
      const F16 mean = div(load(work.o + i * heads.width + d), total);
      store_some(out + d, add(mean, zero()), lanes_left(d, heads.head_dim));
    }
    lse.row(n)[head] = static_cast<float>(static_cast<double>(work.largest[i]) +
                                          __builtin_log(static_cast<double>(work.total[i])));
  }
}

// One group's rows of a chunk, on their way along its path.
struct Walker {
  GroupRows rows;
  int64_t keys;  // that some of the rows sees
  PathWalk walk;

  // Keys of the block at `begin`, at most kBlock; 0 or less past the path's end.
  int64_t block_keys(int64_t begin) const { return min_of(kBlock, keys - begin); }

  // Passes the block at `begin` if its keys are these.
  bool follows(int64_t begin, const int32_t* block, int64_t count) {
    if (block_keys(begin) != count) return false;
    int32_t own[kBlock];
    PathWalk ahead = walk;
    ahead.take(count, own);
    if (std::memcmp(own, block, count * sizeof *own) != 0) return false;
    walk = ahead;
    return true;
  }
};

// One call's arguments, and its work on a chunk of rows.
struct Forward {
  View o, lse, q, k, v;
  const PathsView& paths;
  float scale;
  Heads heads;

  // Rows [begin, end) of all queries. Neighbouring groups whose paths have a block in common, as
  // branches have their prompt, visit it together.
  void run(const Work& work, int64_t begin, int64_t end, int64_t kv_head) const {
    Walker walkers[kAttentionQueries];
    int64_t groups = 0;
    int64_t longest = 0;
    for_groups(paths, begin, end, [&](const GroupRows& rows) {
      const int64_t keys = keys_seen(paths, rows);
      walkers[groups++] = {rows, keys, walk_of(paths, *rows.group)};
      longest = max_of(longest, keys);
    });
    gather_queries(q, begin, end - begin, heads, kv_head, work.q);
    for (int64_t position = 0; position < longest; position += kBlock) {
      for (int64_t g = 0; g < groups;) {
        const int64_t first = walkers[g].rows.begin;
        const int64_t count = walkers[g].block_keys(position);
        if (count <= 0) {
          ++g;
          continue;
        }
        int32_t keys[kBlock];
        walkers[g++].walk.take(count, keys);
        while (g < groups && walkers[g].follows(position, keys, count)) ++g;
        const int64_t last = walkers[g - 1].rows.begin + walkers[g - 1].rows.count;
        gather_keys(k, keys, count, heads, kv_head, work.gathered);
        pack_transposed(work.gathered, count, heads.width, work.keys);
        gather_keys(v, keys, count, heads, kv_head, work.gathered);
        pack_rows(work.gathered, count, heads.width, kBlock, work.values);
        visit(work, begin, (first - begin) * heads.share, (last - begin) * heads.share, position,
              count);
      }
    }
    finish(work, o, lse, begin, end - begin, heads, kv_head);
  }

 private:
  // Queries [first, last) of the chunk that begins at row `begin` meet the `count` keys in `work`,
  // at path positions `position` and on.
  void visit(const Work& work, int64_t begin, int64_t first, int64_t last, int64_t position,
             int64_t count) const {
    const auto seen = [&](int64_t i) {
      return paths.positions[begin + i / heads.share] + 1 - position;
    };
    const bool start = position == 0;
    while (seen(first) <= 0) ++first;  // these see nothing of this block
    multiply(work.q + first * heads.width, heads.width, last - first, work.keys, heads.width,
             heads.head_dim, count, work.scores + first * kBlock, kBlock, true);
    for (int64_t i = first; i < last; i += kVector) {
      take_in(work, i, lanes_left(i, last), heads.width, scale, start, seen);
    }
    multiply(work.scores + first * kBlock, kBlock, last - first, work.values, kBlock, count,
             heads.head_dim, work.o + first * heads.width, heads.width, start);
  }
};

}  // namespace

void attention_forward(View o, View lse, View q, View k, View v, const PathsView& paths,
                       const AttentionShape& shape, const Scratch& scratch,
                       const Context& context) {
  const Heads heads = heads_of(shape);
  const Forward forward = {o, lse, q, k, v, paths, shape.scale, heads};
  for_chunks(shape, q.rows, context, [&](int64_t begin, int64_t end, int64_t kv_head, int worker) {
    forward.run(work_of(scratch, worker, heads), begin, end, kv_head);
  });
}

}  // namespace valora::VALORA_ISA
