// Transformer, forward.
#include "model/transformer.h"

#include <algorithm>
#include <cmath>

namespace valora {

AttentionShape Transformer::attention_shape() const {
  const double scale = 1.0 / std::sqrt(static_cast<double>(config_.head_dim));
  return {config_.heads, config_.kv_heads, config_.head_dim, static_cast<float>(scale)};
}

// The adapters of `rows` that have this matrix.
LoraView Transformer::lora(int64_t layer, LinearKind kind, const BatchRows& rows) const {
  lora_groups_.clear();
  LoraView view;
  for (const AdapterRows& group : rows.adapters) {
    const AdapterModule* module = group.layout->find(layer, kind);
    if (module == nullptr) continue;
    lora_groups_.push_back({group.begin, group.count, module->a(group.values),
                            module->b(group.values), module->scale});
    view.max_rank = std::max(view.max_rank, module->rank);
  }
  view.groups = lora_groups_.data();
  view.count = static_cast<int64_t>(lora_groups_.size());
  return view;
}

View Transformer::allocate_t(int64_t layer, LinearKind kind, const BatchRows& rows) const {
  const int64_t rank = lora(layer, kind, rows).max_rank;
  return rank == 0 ? View{} : arena().matrix(rows.count, rank);
}

AttentionStore Transformer::allocate_attention(int64_t layer) const {
  const BatchRows& all = batch_.all;
  const BatchRows& queries = rows_of(layer);
  const int64_t q_cols = config_.heads * config_.head_dim;
  const int64_t k_cols = config_.kv_heads * config_.head_dim;
  AttentionStore store;
  if (config_.qk_norm != QkNorm::kNone) {
    store.q_raw = arena().matrix(queries.count, q_cols);
    store.k_raw = arena().matrix(all.count, k_cols);
  }
  store.q = arena().matrix(queries.count, q_cols);
  store.k = arena().matrix(all.count, k_cols);
  store.v = arena().matrix(all.count, k_cols);
  store.o = arena().matrix(queries.count, q_cols);
  store.lse = arena().matrix(queries.count, config_.heads);
  if (!pre_norm()) store.branch = arena().matrix(queries.count, config_.channels);
  for (const LinearKind kind : {LinearKind::kQ, LinearKind::kK, LinearKind::kV, LinearKind::kO}) {
    const bool keys = kind == LinearKind::kK || kind == LinearKind::kV;
    store.t[static_cast<int>(kind)] = allocate_t(layer, kind, keys ? all : queries);
  }
  return store;
}

FeedForwardStore Transformer::allocate_feed_forward(int64_t layer) const {
  const BatchRows& rows = rows_of(layer);
  FeedForwardStore store;
  store.gate = arena().matrix(rows.count, config_.feed_forward);
  store.up = arena().matrix(rows.count, config_.feed_forward);
  if (!pre_norm()) store.branch = arena().matrix(rows.count, config_.channels);
  for (const LinearKind kind : {LinearKind::kGate, LinearKind::kUp, LinearKind::kDown}) {
    store.t[static_cast<int>(kind)] = allocate_t(layer, kind, rows);
  }
  return store;
}

LayerStore Transformer::allocate_store(int64_t layer) const {
  LayerStore store;
  store.attention = allocate_attention(layer);
  store.middle = arena().matrix(rows_after(layer), config_.channels);
  store.feed_forward = allocate_feed_forward(layer);
  return store;
}

void Transformer::embed(View x) const {
  ops::embed_forward(x, weights_.embedding(), batch_.tokens, context_);
}

void Transformer::linear(int64_t layer, LinearKind kind, const BatchRows& rows, View y, View t,
                         View x) const {
  const LayerWeights& weights = weights_.layer(layer);
  const int index = static_cast<int>(kind);
  ops::linear_forward(y, t, x, *weights.linear[index], weights.bias[index].view(),
                      lora(layer, kind, rows), context_);
}

void Transformer::norm(View y, View x, const Numbers& weight) const {
  ops::rmsnorm_forward(y, x, weight.view(), config_.norm_epsilon, context_);
}

void Transformer::attention_half(int64_t layer, View x, View y, const AttentionStore& store,
                                 const KeyValueCache* cache) const {
  const ArenaScope scope(arena());
  const LayerWeights& weights = weights_.layer(layer);
  const BatchRows& all = batch_.all;
  const BatchRows& queries = rows_of(layer);
  const int64_t channels = config_.channels;

  View input = x;
  if (pre_norm()) {
    input = arena().matrix(all.count, channels);
    norm(input, x, weights.attention_norm);
  }
  View query_input = input;
  View residual = x;
  if (narrows(layer)) {
    residual = arena().matrix(queries.count, channels);
    ops::gather_rows(residual, x, batch_.target_rows, context_);
    query_input = residual;
    if (pre_norm()) {
      query_input = arena().matrix(queries.count, channels);
      ops::gather_rows(query_input, input, batch_.target_rows, context_);
    }
  }

  // While the prompts are read, keys and values are made where the cache keeps them.
  const bool in_place = cache != nullptr && cache->rows == nullptr;
  const View k = in_place ? cache->keys[layer].slice_rows(0, all.count) : store.k;
  const View v = in_place ? cache->values[layer].slice_rows(0, all.count) : store.v;
  const bool qk_norm = config_.qk_norm != QkNorm::kNone;
  linear(layer, LinearKind::kQ, queries, qk_norm ? store.q_raw : store.q, store.t[0], query_input);
  linear(layer, LinearKind::kK, all, qk_norm ? store.k_raw : k, store.t[1], input);
  linear(layer, LinearKind::kV, all, v, store.t[2], input);
  if (qk_norm) {
    norm(store.q, store.q_raw, weights.q_norm);
    norm(k, store.k_raw, weights.k_norm);
  }
  ops::rope(store.q, rope_, queries.paths.positions, config_.head_dim, 1, context_);
  ops::rope(k, rope_, all.paths.positions, config_.head_dim, 1, context_);

  View keys = k;
  View values = v;
  if (cache != nullptr && !in_place) {
    keys = cache->keys[layer];
    values = cache->values[layer];
    ops::scatter_rows(keys, k, cache->rows, Write::kOverwrite, context_);
    ops::scatter_rows(values, v, cache->rows, Write::kOverwrite, context_);
  }
  ops::attention_forward(store.o, store.lse, store.q, keys, values, queries.paths,
                         attention_shape(), context_);

  if (pre_norm()) {
    linear(layer, LinearKind::kO, queries, y, store.t[3], store.o);
  } else {
    linear(layer, LinearKind::kO, queries, store.branch, store.t[3], store.o);
    norm(y, store.branch, weights.attention_norm);
  }
  ops::add(y, residual, context_);
}

void Transformer::feed_forward_half(int64_t layer, View x, View y, const FeedForwardStore& store,
                                    View activated) const {
  const ArenaScope scope(arena());
  const LayerWeights& weights = weights_.layer(layer);
  const BatchRows& rows = rows_of(layer);
  View input = x;
  if (pre_norm()) {
    input = arena().matrix(rows.count, config_.channels);
    norm(input, x, weights.feed_forward_norm);
  }
  linear(layer, LinearKind::kGate, rows, store.gate, store.t[4], input);
  linear(layer, LinearKind::kUp, rows, store.up, store.t[5], input);
  ops::swiglu_forward(activated, store.gate, store.up, context_);
  if (pre_norm()) {
    linear(layer, LinearKind::kDown, rows, y, store.t[6], activated);
  } else {
    linear(layer, LinearKind::kDown, rows, store.branch, store.t[6], activated);
    norm(y, store.branch, weights.feed_forward_norm);
  }
  ops::add(y, x, context_);
}

void Transformer::layer_forward(int64_t layer, View x, View y, const KeyValueCache* cache) const {
  const ArenaScope scope(arena());
  const View middle = arena().matrix(rows_after(layer), config_.channels);
  {
    const ArenaScope half(arena());
    attention_half(layer, x, middle, allocate_attention(layer), cache);
  }
  const FeedForwardStore store = allocate_feed_forward(layer);
  feed_forward_half(layer, middle, y, store, store.gate);
}

void Transformer::layer_forward_storing(int64_t layer, View x, View y,
                                        const LayerStore& store) const {
  attention_half(layer, x, store.middle, store.attention, nullptr);
  const ArenaScope scope(arena());
  const View activated = arena().matrix(rows_after(layer), config_.feed_forward);
  feed_forward_half(layer, store.middle, y, store.feed_forward, activated);
}

void Transformer::final_norm_forward(View hidden, View x) const {
  norm(hidden, x, weights_.final_norm());
}

View residual_forward(const Transformer& transformer, int64_t layers, View x,
                      const KeyValueCache* cache) {
  transformer.embed(x);
  View out = x;
  for (int64_t l = 0; l < layers; ++l) {
    out = x.slice_rows(0, transformer.rows_after(l));
    transformer.layer_forward(l, x, out, cache);
  }
  return out;
}

void hidden_forward(const Transformer& transformer, int64_t layers, View hidden, View x,
                    const KeyValueCache* cache) {
  transformer.final_norm_forward(hidden, residual_forward(transformer, layers, x, cache));
}

}  // namespace valora
