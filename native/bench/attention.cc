// Attention forward and backward over one tree of spans.
#include <cmath>

#include "bench/kernel.h"
#include "core/forest.h"

namespace valora::bench {

namespace {

Forest tree_of(const std::vector<int32_t>& lengths) {
  ForestInput input;
  int32_t rows = 0;
  for (const int32_t length : lengths) {
    input.spans.push_back({input.spans.empty() ? -1 : 0, rows, length});
    rows += length;
  }
  input.tokens.assign(static_cast<size_t>(rows), 0);
  input.adapters = {0};
  return Forest(std::move(input), 1, rows);
}

// Tensors of one attention; q, o and their gradients [N, H*D], k, v and theirs [N, K*D], lse [N,
// H].
struct Tensors {
  View o, lse, q, k, v, d_o, dq, dk, dv;
};

class Attention : public Kernel {
 public:
  Attention(const KernelSpec& spec, Random& random)
      : backward_(spec.op == "attention_backward"),
        forest_(tree_of(spec.spans)),
        paths_(forest_.all_paths()),
        shape_{spec.heads, spec.kv_heads, spec.head_dim,
               static_cast<float>(1 / std::sqrt(static_cast<double>(spec.head_dim)))} {
    const int64_t rows = forest_.rows();
    const int64_t wide = spec.heads * spec.head_dim;
    const int64_t narrow = spec.kv_heads * spec.head_dim;
    q_ = Matrix(random, rows, wide);
    k_ = Matrix(random, rows, narrow);
    v_ = Matrix(random, rows, narrow);
    o_ = Matrix(rows, wide);
    lse_ = Matrix(rows, spec.heads);
    if (backward_) {
      d_o_ = Matrix(random, rows, wide);
      dq_ = Matrix(rows, wide);
      dk_ = Matrix(rows, narrow);
      dv_ = Matrix(rows, narrow);
    }
    double keys = 0;  // seen by all queries together
    for (const int32_t position : forest_.positions()) keys += position + 1;
    // Two products of width D for each query and key, and five in the backward.
    flops = (backward_ ? 10.0 : 4.0) * static_cast<double>(wide) * keys;
    bytes = q_.bytes() + k_.bytes() + v_.bytes() + o_.bytes() + lse_.bytes() + d_o_.bytes() +
            dq_.bytes() + dk_.bytes() + dv_.bytes();
    const double share = static_cast<double>(spec.heads / spec.kv_heads);
    depth = static_cast<double>(spec.head_dim) +
            (backward_ ? static_cast<double>(rows) * share : static_cast<double>(paths_.longest));
  }

  void run(const Context& context) override {
    // The backward needs the forward's results: they are made once.
    if (!backward_ || !has_forward_) {
      forward(all(), shape_, context);
      has_forward_ = true;
    }
    if (backward_) backward(all(), shape_, context);
  }

  // A key/value head and the query heads that share it depend on no other: the first and the last
  // are enough.
  void compare(const Context& context, const Context& reference, Comparison& results) override {
    run(context);
    compare_head(0, reference, results);
    if (shape_.kv_heads > 1) compare_head(shape_.kv_heads - 1, reference, results);
  }

  ScratchSize scratch(Compute) const override {
    return backward_ ? attention_backward_scratch(shape_) : attention_forward_scratch(shape_);
  }

 private:
  Tensors all() const { return {o_, lse_, q_, k_, v_, d_o_, dq_, dk_, dv_}; }

  void forward(const Tensors& t, const AttentionShape& shape, const Context& context) {
    ops::attention_forward(t.o, t.lse, t.q, t.k, t.v, paths_, shape, context);
  }
  void backward(const Tensors& t, const AttentionShape& shape, const Context& context) {
    ops::attention_backward(t.dq, t.dk, t.dv, t.d_o, t.o, t.lse, t.q, t.k, t.v, paths_, shape,
                            context);
  }

  void compare_head(int64_t head, const Context& reference, Comparison& results) {
    const int64_t share = shape_.heads / shape_.kv_heads;
    const int64_t width = shape_.head_dim;
    const auto queries = [&](View view) {
      return view.empty() ? view : slice_cols(view, head * share * width, share * width);
    };
    const auto keys = [&](View view) {
      return view.empty() ? view : slice_cols(view, head * width, width);
    };
    const View got_lse = slice_cols(lse_, head * share, share);
    const int64_t rows = forest_.rows();
    const Matrix o(rows, share * width), lse(rows, share), dq(rows, share * width);
    const Matrix dk(rows, width), dv(rows, width);
    const Tensors want = {o, lse, queries(q_), keys(k_), keys(v_), queries(d_o_), dq, dk, dv};
    const AttentionShape shape = {share, 1, width, shape_.scale};
    forward(want, shape, reference);
    results.add("o", queries(o_), o);
    results.add("lse", got_lse, lse);
    if (!backward_) return;
    backward(want, shape, reference);
    results.add("dq", queries(dq_), dq);
    results.add("dk", keys(dk_), dk);
    results.add("dv", keys(dv_), dv);
  }

  bool backward_;
  bool has_forward_ = false;
  Forest forest_;
  PathsView paths_;
  AttentionShape shape_;
  Matrix q_, k_, v_, o_, lse_;
  Matrix d_o_, dq_, dk_, dv_;
};

}  // namespace

std::unique_ptr<Kernel> make_attention_kernel(const KernelSpec& spec, Random& random) {
  if (spec.op != "attention_forward" && spec.op != "attention_backward") return nullptr;
  return std::make_unique<Attention>(spec, random);
}

}  // namespace valora::bench
