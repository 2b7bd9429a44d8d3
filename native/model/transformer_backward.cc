// Transformer, backward: by the chain rule through each half of a layer, from its output to its
// input. Frozen matrices get no gradient. What is cheap (norms, silu) is computed again from what
// was stored.
#include "model/transformer.h"

namespace valora {

namespace {

bool has_module(const GradientSink& sink, int64_t layer, std::initializer_list<LinearKind> kinds) {
  for (const LinearKind kind : kinds) {
    if (sink.layout->find(layer, kind) != nullptr) return true;
  }
  return false;
}

}  // namespace

void Transformer::norm_backward(View dx, View dy, View x, const Numbers& weight,
                                Write write) const {
  ops::rmsnorm_backward(dx, dy, x, weight.view(), config_.norm_epsilon, write, context_);
}

void Transformer::final_norm_backward(View dx, View dhidden, View x) const {
  norm_backward(dx, dhidden, x, weights_.final_norm(), Write::kOverwrite);
}

void Transformer::linear_backward(int64_t layer, LinearKind kind, const BatchRows& rows, View dx,
                                  View dy, View x, View t, Write write,
                                  const GradientSink& sink) const {
  const ArenaScope scope(arena());
  const AdapterModule* module = sink.layout->find(layer, kind);
  if (dx.empty() && module == nullptr) return;
  const View dt = allocate_t(layer, kind, rows);
  ops::linear_backward(dx, dt, dy, *weights_.layer(layer).linear[static_cast<int>(kind)],
                       lora(layer, kind, rows), write, context_);
  if (module == nullptr) return;
  ops::lora_gradient(module->a(sink.values), module->b(sink.values), dy, x, t, dt, module->scale,
                     rows.trees.data(), static_cast<int64_t>(rows.trees.size()), context_);
}

// dx [rows, C] holds the gradient of the half's output and then that of its input x.
void Transformer::feed_forward_backward(int64_t layer, View dx, View x,
                                        const FeedForwardStore& store, const GradientSink& sink,
                                        bool first) const {
  const ArenaScope scope(arena());
  const LayerWeights& weights = weights_.layer(layer);
  const BatchRows& rows = rows_of(layer);
  const int64_t channels = config_.channels;

  View d_down = dx;
  if (!pre_norm()) {
    d_down = arena().matrix(rows.count, channels);
    norm_backward(d_down, dx, store.branch, weights.feed_forward_norm, Write::kOverwrite);
  }
  const bool trains_inputs = has_module(sink, layer, {LinearKind::kGate, LinearKind::kUp});
  const bool trains_attention =
      has_module(sink, layer, {LinearKind::kQ, LinearKind::kK, LinearKind::kV, LinearKind::kO});
  const bool input_needed = !first || trains_attention;
  View d_activated;
  if (input_needed || trains_inputs) d_activated = arena().matrix(rows.count, config_.feed_forward);
  {
    const ArenaScope inner(arena());
    View activated;
    if (has_module(sink, layer, {LinearKind::kDown})) {
      activated = arena().matrix(rows.count, config_.feed_forward);
      ops::swiglu_forward(activated, store.gate, store.up, context_);
    }
    linear_backward(layer, LinearKind::kDown, rows, d_activated, d_down, activated, store.t[6],
                    Write::kOverwrite, sink);
  }
  if (d_activated.empty()) return;

  const View d_gate = store.gate;
  const View d_up = store.up;
  ops::swiglu_backward(d_gate, d_up, d_activated, store.gate, store.up, context_);

  View input = x;
  View d_input = input_needed ? dx : View{};
  Write write = Write::kAdd;
  if (pre_norm()) {
    if (trains_inputs) {
      input = arena().matrix(rows.count, channels);
      norm(input, x, weights.feed_forward_norm);
    }
    if (input_needed) d_input = arena().matrix(rows.count, channels);
    write = Write::kOverwrite;
  }
  linear_backward(layer, LinearKind::kGate, rows, d_input, d_gate, input, store.t[4], write, sink);
  linear_backward(layer, LinearKind::kUp, rows, d_input, d_up, input, store.t[5], Write::kAdd,
                  sink);
  if (pre_norm() && input_needed) {
    norm_backward(dx, d_input, x, weights.feed_forward_norm, Write::kAdd);
  }
}

// dy [query rows, C] is the gradient of the half's output, dx [N, C] receives that of its input x.
void Transformer::attention_backward(int64_t layer, View dx, View dy, View x,
                                     const AttentionStore& store, const GradientSink& sink,
                                     bool first) const {
  const ArenaScope scope(arena());
  const LayerWeights& weights = weights_.layer(layer);
  const BatchRows& all = batch_.all;
  const BatchRows& queries = rows_of(layer);
  const int64_t channels = config_.channels;
  const bool trains_inputs =
      has_module(sink, layer, {LinearKind::kQ, LinearKind::kK, LinearKind::kV});

  View d_branch = dy;
  if (!pre_norm()) {
    d_branch = arena().matrix(queries.count, channels);
    norm_backward(d_branch, dy, store.branch, weights.attention_norm, Write::kOverwrite);
  }
  View d_o;
  if (!first || trains_inputs) d_o = arena().matrix(queries.count, store.o.cols);
  linear_backward(layer, LinearKind::kO, queries, d_o, d_branch, store.o, store.t[3],
                  Write::kOverwrite, sink);
  if (d_o.empty()) return;

  View d_q = arena().matrix(queries.count, store.q.cols);
  View d_k = arena().matrix(all.count, store.k.cols);
  const View d_v = arena().matrix(all.count, store.v.cols);
  ops::attention_backward(d_q, d_k, d_v, d_o, store.o, store.lse, store.q, store.k, store.v,
                          queries.paths, attention_shape(), context_);
  ops::rope(d_q, rope_, queries.paths.positions, config_.head_dim, -1, context_);
  ops::rope(d_k, rope_, all.paths.positions, config_.head_dim, -1, context_);
  if (config_.qk_norm != QkNorm::kNone) {
    const View d_q_raw = d_o;  // no longer needed, and of that shape
    const View d_k_raw = arena().matrix(all.count, store.k.cols);
    norm_backward(d_q_raw, d_q, store.q_raw, weights.q_norm, Write::kOverwrite);
    norm_backward(d_k_raw, d_k, store.k_raw, weights.k_norm, Write::kOverwrite);
    d_q = d_q_raw;
    d_k = d_k_raw;
  }

  View input = x;
  if (pre_norm() && trains_inputs) {
    input = arena().matrix(all.count, channels);
    norm(input, x, weights.attention_norm);
  }
  View query_input = input;
  if (narrows(layer) && has_module(sink, layer, {LinearKind::kQ})) {
    query_input = arena().matrix(queries.count, channels);
    ops::gather_rows(query_input, input, batch_.target_rows, context_);
  }

  if (first) {  // only the modules' own gradients are left to compute
    const View none;
    linear_backward(layer, LinearKind::kQ, queries, none, d_q, query_input, store.t[0],
                    Write::kOverwrite, sink);
    linear_backward(layer, LinearKind::kK, all, none, d_k, input, store.t[1], Write::kOverwrite,
                    sink);
    linear_backward(layer, LinearKind::kV, all, none, d_v, input, store.t[2], Write::kOverwrite,
                    sink);
    return;
  }

  // Below the last layer dx and dy are one buffer: the residual's gradient is there already.
  const bool narrow = narrows(layer);
  View d_input = dx;
  if (pre_norm()) d_input = arena().matrix(all.count, channels);
  const Write write = pre_norm() || narrow ? Write::kOverwrite : Write::kAdd;
  linear_backward(layer, LinearKind::kK, all, d_input, d_k, input, store.t[1], write, sink);
  linear_backward(layer, LinearKind::kV, all, d_input, d_v, input, store.t[2], Write::kAdd, sink);
  if (narrow) {
    const View d_query_input = arena().matrix(queries.count, channels);
    linear_backward(layer, LinearKind::kQ, queries, d_query_input, d_q, query_input, store.t[0],
                    Write::kOverwrite, sink);
    ops::scatter_rows(d_input, d_query_input, batch_.target_rows, Write::kAdd, context_);
  } else {
    linear_backward(layer, LinearKind::kQ, queries, d_input, d_q, query_input, store.t[0],
                    Write::kAdd, sink);
  }
  if (pre_norm()) {
    norm_backward(dx, d_input, x, weights.attention_norm, narrow ? Write::kOverwrite : Write::kAdd);
  }
  if (narrow) ops::scatter_rows(dx, dy, batch_.target_rows, Write::kAdd, context_);
}

void Transformer::layer_backward(int64_t layer, View dx, View dy, View x, const LayerStore& store,
                                 const GradientSink& sink, bool first) const {
  feed_forward_backward(layer, dy, store.middle, store.feed_forward, sink, first);
  if (first &&
      !has_module(sink, layer, {LinearKind::kQ, LinearKind::kK, LinearKind::kV, LinearKind::kO})) {
    return;
  }
  attention_backward(layer, dx, dy, x, store.attention, sink, first);
}

}  // namespace valora
