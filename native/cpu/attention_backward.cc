// attention_backward: with p = exp(scale q k^T - lse), dp = dO v^T and ds = scale p (dp - sum(dO
// o)): dv = p^T dO, dq = ds k, dk = ds^T q; p is computed again block by block (Dao et al. 2022).
//
// Every element is one fma chain: dq's over the keys in path order; dk's and dv's over the queries
// that see the key, in the order of the batch's rows and of the heads within a row.
#include "cpu/attention.h"
#include "cpu/rows.h"

namespace valora::VALORA_ISA {

namespace {

// A worker's scratch, for one chunk and key/value head. T = Heads::queries, W = Heads::width.
struct Work {
  float* q;         // [T, W]
  float* d_o;       // [T, W]
  float* q_panels;  // both again, as panels of T rows
  float* d_o_panels;
  float* dq;                 // [T, W]
  float* p;                  // [T, kBlock]
  float* ds;                 // [T, kBlock]
  float* p_transposed;       // [kBlock, T]
  float* ds_transposed;      // [kBlock, T]
  float* lse;                // [T]
  float* delta;              // [T] sum(dO o)
  float* gathered;           // [kBlock, W]
  float* keys;               // panels of kBlock rows, W columns
  float* keys_transposed;    // panels of W rows, kBlock columns
  float* values_transposed;  // panels of W rows, kBlock columns
  float* dk;                 // [kBlock, W]
  float* dv;                 // [kBlock, W]
};

Work work_of(const Scratch& scratch, int worker, const Heads& heads) {
  Carver carver = {static_cast<float*>(scratch.of(worker))};
  Work work;
  work.q = carver.take(heads.queries * heads.width);
  work.d_o = carver.take(heads.queries * heads.width);
  work.q_panels = carver.take_panels(heads.queries, heads.width);
  work.d_o_panels = carver.take_panels(heads.queries, heads.width);
  work.dq = carver.take(heads.queries * heads.width);
  work.p = carver.take(heads.queries * kBlock);
  work.ds = carver.take(heads.queries * kBlock);
  work.p_transposed = carver.take(heads.queries * kBlock);
  work.ds_transposed = carver.take(heads.queries * kBlock);
  work.lse = carver.take(heads.queries);
  work.delta = carver.take(heads.queries);
  work.gathered = carver.take(kBlock * heads.width);
  work.keys = carver.take_panels(kBlock, heads.width);
  work.keys_transposed = carver.take_panels(heads.width, kBlock);
  work.values_transposed = carver.take_panels(heads.width, kBlock);
  work.dk = carver.take(kBlock * heads.width);
  work.dv = carver.take(kBlock * heads.width);
  return work;
}

// One call's arguments, and its work in pieces.
class Backward {
 public:
  Backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k, View v,
           const PathsView& paths, const AttentionShape& shape)
      : dq_(dq),
        dk_(dk),
        dv_(dv),
        d_o_(d_o),
        o_(o),
        lse_(lse),
        q_(q),
        k_(k),
        v_(v),
        paths_(paths),
        scale_(shape.scale),
        heads_(heads_of(shape)) {}

  // Everything a tree's queries say of one key/value head.
  void whole_tree(const Work& work, int64_t tree, int64_t kv_head) const {
    chunks_of_tree(tree, [&](const GroupRows& chunk) {
      load_chunk(work, chunk, kv_head, true);
      const int64_t keys = keys_seen(paths_, chunk);
      PathWalk walk = walk_of(paths_, *chunk.group);
      for (int64_t begin = 0; begin < keys; begin += kBlock) {
        block(work, chunk, kv_head, begin, keys, &walk, true, true);
      }
      finish_queries(work, chunk, kv_head);
    });
  }

  // dq of a chunk.
  void queries_only(const Work& work, const GroupRows& chunk, int64_t kv_head) const {
    load_chunk(work, chunk, kv_head, false);
    const int64_t keys = keys_seen(paths_, chunk);
    PathWalk walk = walk_of(paths_, *chunk.group);
    for (int64_t begin = 0; begin < keys; begin += kBlock) {
      block(work, chunk, kv_head, begin, keys, &walk, true, false);
    }
    finish_queries(work, chunk, kv_head);
  }

  // dk and dv of a tree's keys at path positions begin .. begin + kBlock.
  void keys_only(const Work& work, int64_t tree, int64_t kv_head, int64_t begin) const {
    chunks_of_tree(tree, [&](const GroupRows& chunk) {
      const int64_t keys = keys_seen(paths_, chunk);
      if (keys <= begin) return;
      load_chunk(work, chunk, kv_head, true);
      PathWalk walk = walk_of(paths_, *chunk.group);
      walk.skip(begin);
      block(work, chunk, kv_head, begin, keys, &walk, false, true);
    });
  }

 private:
  template <typename Body>
  void chunks_of_tree(int64_t tree, const Body& body) const {
    int64_t low = 0;  // the tree's first group
    for (int64_t high = paths_.group_count; low < high;) {
      const int64_t middle = (low + high) / 2;
      if (paths_.groups[middle].tree < tree) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    for (; low < paths_.group_count && paths_.groups[low].tree == tree; ++low) {
      const QueryGroup& group = paths_.groups[low];
      for (int64_t i = 0; i < group.query_count; i += heads_.chunk_rows) {
        const int64_t rows = min_of(heads_.chunk_rows, group.query_count - i);
        body(GroupRows{&group, group.query_begin + i, rows});
      }
    }
  }

  void load_chunk(const Work& work, const GroupRows& chunk, int64_t kv_head, bool panels) const {
    const int64_t queries = chunk.count * heads_.share;
    gather_queries(q_, chunk.begin, chunk.count, heads_, kv_head, work.q);
    gather_queries(d_o_, chunk.begin, chunk.count, heads_, kv_head, work.d_o);
    if (panels) {
      pack_rows(work.q, queries, heads_.width, heads_.queries, work.q_panels);
      pack_rows(work.d_o, queries, heads_.width, heads_.queries, work.d_o_panels);
    }
    for (int64_t i = 0; i < queries; ++i) {
      const int64_t n = chunk.begin + i / heads_.share;
      const int64_t head = kv_head * heads_.share + i % heads_.share;
      const float* out = o_.row(n) + head * heads_.head_dim;
      F16 sums = zero();
      for (int64_t d = 0; d < heads_.head_dim; d += kVector) {
        const F16 value = load_some(out + d, lanes_left(d, heads_.head_dim));
        sums = fma(load(work.d_o + i * heads_.width + d), value, sums);
      }
      work.delta[i] = sum_lanes(sums);
      work.lse[i] = lse_.row(n)[head];
    }
  }

  // The keys at path positions begin .. , of which the chunk sees those before `keys`; the walk
  // stands at `begin`.
  void block(const Work& work, const GroupRows& chunk, int64_t kv_head, int64_t begin, int64_t keys,
             PathWalk* walk, bool with_dq, bool with_dkv) const {
    const int64_t width = heads_.width;
    const int64_t head_dim = heads_.head_dim;
    const int64_t queries = chunk.count * heads_.share;
    const int64_t count = min_of(kBlock, keys - begin);
    int32_t rows[kBlock];
    walk->take(count, rows);
    gather_keys(k_, rows, count, heads_, kv_head, work.gathered);
    pack_transposed(work.gathered, count, width, work.keys_transposed);
    if (with_dq) pack_rows(work.gathered, count, width, kBlock, work.keys);
    gather_keys(v_, rows, count, heads_, kv_head, work.gathered);
    pack_transposed(work.gathered, count, width, work.values_transposed);

    const int32_t* positions = paths_.positions + chunk.begin;
    const auto seen = [&](int64_t i) { return positions[i / heads_.share] + 1 - begin; };
    int64_t first = 0;  // leading queries see nothing of this block
    while (seen(first) <= 0) ++first;
    const int64_t active = queries - first;
    multiply(work.q + first * width, width, active, work.keys_transposed, width, head_dim, count,
             work.p + first * kBlock, kBlock, true);
    multiply(work.d_o + first * width, width, active, work.values_transposed, width, head_dim,
             count, work.ds + first * kBlock, kBlock, true);
    for (int64_t i = first; i < queries; ++i) differentiate(work, i, seen(i), count);
    if (with_dq) {
      multiply(work.ds + first * kBlock, kBlock, active, work.keys, kBlock, count, head_dim,
               work.dq + first * width, width, begin == 0);
    }
    if (!with_dkv) return;
    const int64_t stride = heads_.queries;
    for (int64_t i = first / kVector * kVector; i < queries; i += kVector) {
      for (int64_t j = 0; j < count; j += kVector) {
        transpose(work.p + i * kBlock + j, kBlock, work.p_transposed + j * stride + i, stride);
        transpose(work.ds + i * kBlock + j, kBlock, work.ds_transposed + j * stride + i, stride);
      }
    }
    gather_keys(dv_, rows, count, heads_, kv_head, work.dv);
    multiply(work.p_transposed + first, stride, count, work.d_o_panels + first * kPanel, stride,
             active, head_dim, work.dv, width, false);
    scatter_keys(work.dv, rows, count, kv_head, dv_);
    gather_keys(dk_, rows, count, heads_, kv_head, work.dk);
    multiply(work.ds_transposed + first, stride, count, work.q_panels + first * kPanel, stride,
             active, head_dim, work.dk, width, false);
    scatter_keys(work.dk, rows, count, kv_head, dk_);
  }

  // Of query i: scores in p become probabilities, dp in ds becomes ds; both 0 where the key is not
  // seen.
  void differentiate(const Work& work, int64_t i, int64_t seen, int64_t count) const {
    const F16 scale = broadcast(scale_);
    const F16 lse = broadcast(work.lse[i]);
    const F16 delta = broadcast(work.delta[i]);
    for (int64_t v = 0; v * kVector < count; ++v) {
      float* score = work.p + i * kBlock + v * kVector;
      float* slope = work.ds + i * kBlock + v * kVector;
      const F16 p = keep_first(exp(sub(mul(load(score), scale), lse)), v, seen, zero());
      store(score, p);
      const F16 ds = mul(mul(p, sub(load(slope), delta)), scale);
      store(slope, keep_first(ds, v, seen, zero()));
    }
  }

  void scatter_keys(const float* from, const int32_t* rows, int64_t count, int64_t kv_head,
                    View to) const {
    for (int64_t j = 0; j < count; ++j) {
      float* out = to.row(rows[j]) + kv_head * heads_.head_dim;
      std::memcpy(out, from + j * heads_.width, heads_.head_dim * 4);
    }
  }

  // Adding 0 takes a zero's sign away, which could tell what the query's neighbours see.
  void finish_queries(const Work& work, const GroupRows& chunk, int64_t kv_head) const {
    for (int64_t i = 0; i < chunk.count * heads_.share; ++i) {
      const int64_t head = kv_head * heads_.share + i % heads_.share;
      float* out = dq_.row(chunk.begin + i / heads_.share) + head * heads_.head_dim;
      for (int64_t d = 0; d < heads_.head_dim; d += kVector) {
        const F16 sum = load(work.dq + i * heads_.width + d);
        store_some(out + d, add(sum, zero()), lanes_left(d, heads_.head_dim));
      }
    }
  }

  View dq_, dk_, dv_, d_o_, o_, lse_, q_, k_, v_;
  const PathsView& paths_;
  float scale_;
  Heads heads_;
};

}  // namespace

// No two tasks add to the same element. A (tree, key/value head) is a task where that occupies the
// threads. Else dq and dk, dv are computed apart: queries in chunks, then keys in blocks of path
// positions (a key has one position in its tree). That takes 7 products where 5 would do, and gives
// the same bits.
void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const PathsView& paths, const AttentionShape& shape,
                        const Scratch& scratch, const Context& context) {
  for_rows(context, dk.rows, 2 * dk.cols, [&](int64_t m) {
    std::memset(dk.row(m), 0, dk.cols * 4);
    std::memset(dv.row(m), 0, dv.cols * 4);
  });
  const Backward backward(dq, dk, dv, d_o, o, lse, q, k, v, paths, shape);
  const Heads heads = heads_of(shape);
  const int64_t trees = paths.tree_count;
  const int64_t tasks = trees * shape.kv_heads;
  const int64_t rounds = (tasks + context.threads() - 1) / context.threads();
  if (7 * tasks >= 5 * rounds * context.threads()) {
    parallel_for(context, tasks, [&](int64_t task, int worker) {
      backward.whole_tree(work_of(scratch, worker, heads), task / shape.kv_heads,
                          task % shape.kv_heads);
    });
    return;
  }
  for_chunks(shape, q.rows, context, [&](int64_t begin, int64_t end, int64_t kv_head, int worker) {
    for_groups(paths, begin, end, [&](const GroupRows& chunk) {
      backward.queries_only(work_of(scratch, worker, heads), chunk, kv_head);
    });
  });
  const int64_t blocks = (paths.longest + kBlock - 1) / kBlock;
  parallel_for(context, tasks * blocks, [&](int64_t index, int worker) {
    const int64_t task = index / blocks;
    backward.keys_only(work_of(scratch, worker, heads), task / shape.kv_heads,
                       task % shape.kv_heads, index % blocks * kBlock);
  });
}

}  // namespace valora::VALORA_ISA
