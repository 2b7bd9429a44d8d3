// Transformer: the layers of a decoder-only model over one batch, forward and backward, in terms of
// ops.h alone. It owns no memory: everything comes from the context's arena, so that the same code
// over the counting backend is the memory plan.
//
// A layer has two halves. Attention adds to the residual stream x [N, C] what the rows see on their
// paths; feed-forward adds what each row makes of itself. With pre-norm (Llama, Mistral, Qwen) a
// half is x + f(norm(x)); with post-norm (OLMo-2) it is x + norm(f(x)). In the last layer only
// target rows are queries and go on from there; keys and values are needed of all rows.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/ops.h"
#include "model/batch.h"
#include "model/weights.h"

namespace valora {

// Keys and values of generation, layer by layer: [cache rows, K*D]. `rows` says which cache row
// each batch row's key goes to; null while the prompts are read, whose batch rows are the cache
// rows.
struct KeyValueCache {
  std::vector<View> keys;
  std::vector<View> values;
  const int32_t* rows = nullptr;
};

// What the attention half keeps for its backward.
struct AttentionStore {
  View q_raw, k_raw;  // before the q/k norm; empty without one
  View q, k, v;       // as attention takes them
  View o, lse;
  View branch;  // post-norm: what the norm was applied to; else empty
  std::array<View, kLinearKinds> t;
};

struct FeedForwardStore {
  View gate, up;
  View branch;
  std::array<View, kLinearKinds> t;
};

struct LayerStore {
  AttentionStore attention;
  View middle;  // the residual stream between the halves
  FeedForwardStore feed_forward;
};

// Where gradients go: a flat buffer in the adapter's layout, to which each tree's sum is added in
// order.
struct GradientSink {
  const AdapterLayout* layout = nullptr;
  View values;
};

class Transformer {
 public:
  // `rope` [positions, D] as ops::rope wants it. All references must outlive the transformer.
  Transformer(const ModelConfig& config, const ModelWeights& weights, View rope, const Batch& batch,
              const Context& context)
      : config_(config), weights_(weights), rope_(rope), batch_(batch), context_(context) {}

  Arena& arena() const { return *context_.arena; }
  const Batch& batch() const { return batch_; }
  // Rows of the layer's output, and of everything in it after keys and values.
  int64_t rows_after(int64_t layer) const { return rows_of(layer).count; }

  void embed(View x) const;
  // y = layer(x), keeping nothing. y [rows_after(layer), C] may be x or its first rows.
  void layer_forward(int64_t layer, View x, View y, const KeyValueCache* cache) const;
  // The same, keeping in `store` (from allocate_store) what layer_backward needs.
  LayerStore allocate_store(int64_t layer) const;
  void layer_forward_storing(int64_t layer, View x, View y, const LayerStore& store) const;
  // hidden = final norm of x, both [targets, C].
  void final_norm_forward(View hidden, View x) const;

  // Of the gradients of the layer's output dy [rows_after(layer), C] makes those of its input, dx
  // [N, C], and of its adapter modules. dx and dy are one view except in the last layer. `first`
  // marks the first layer that has modules: nothing that comes before its first module is computed,
  // nor is dx. Overwrites dy and parts of the store.
  void layer_backward(int64_t layer, View dx, View dy, View x, const LayerStore& store,
                      const GradientSink& sink, bool first) const;
  void final_norm_backward(View dx, View dhidden, View x) const;

 private:
  bool pre_norm() const { return config_.norm_placement == NormPlacement::kPre; }
  // Whether the layer goes on with the target rows alone. The last does so even where all rows are
  // targets, so that the order of additions never depends on what else is in the batch.
  bool narrows(int64_t layer) const { return layer == config_.layers - 1; }
  const BatchRows& rows_of(int64_t layer) const {
    return narrows(layer) ? batch_.targets : batch_.all;
  }
  AttentionShape attention_shape() const;

  LoraView lora(int64_t layer, LinearKind kind, const BatchRows& rows) const;
  View allocate_t(int64_t layer, LinearKind kind, const BatchRows& rows) const;
  AttentionStore allocate_attention(int64_t layer) const;
  FeedForwardStore allocate_feed_forward(int64_t layer) const;

  void linear(int64_t layer, LinearKind kind, const BatchRows& rows, View y, View t, View x) const;
  void norm(View y, View x, const Numbers& weight) const;
  void attention_half(int64_t layer, View x, View y, const AttentionStore& store,
                      const KeyValueCache* cache) const;
  // `activated` [rows, F] receives silu(gate) * up; it may be the store's gate where nothing is
  // kept.
  void feed_forward_half(int64_t layer, View x, View y, const FeedForwardStore& store,
                         View activated) const;

  // dx = or += dy through one matrix; the pair's gradients, from its input x, to the sink.
  void linear_backward(int64_t layer, LinearKind kind, const BatchRows& rows, View dx, View dy,
                       View x, View t, Write write, const GradientSink& sink) const;
  void norm_backward(View dx, View dy, View x, const Numbers& weight, Write) const;
  void attention_backward(int64_t layer, View dx, View dy, View x, const AttentionStore& store,
                          const GradientSink& sink, bool first) const;
  void feed_forward_backward(int64_t layer, View dx, View x, const FeedForwardStore& store,
                             const GradientSink& sink, bool first) const;

  const ModelConfig& config_;
  const ModelWeights& weights_;
  const View rope_;
  const Batch& batch_;
  const Context& context_;
  mutable std::vector<LoraRows> lora_groups_;  // what the last lora() pointed to
};

// The embedding and the first `layers` layers, nothing kept. x [N, C] is working memory; returns
// the view of it that holds the residual stream: all rows, or after the model's last layer the
// target rows alone.
View residual_forward(const Transformer& transformer, int64_t layers, View x,
                      const KeyValueCache* cache);

// Layers up to and including the last, nothing kept, then the final norm: hidden [targets, C]. x
// [N, C] is working memory.
void hidden_forward(const Transformer& transformer, int64_t layers, View hidden, View x,
                    const KeyValueCache* cache);

}  // namespace valora
