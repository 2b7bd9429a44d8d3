// The passes: score, embed, train, generate.
#include "model/passes.h"

#include "core/scratch.h"

namespace valora {

std::vector<HeadTarget> head_targets(const Forest& forest) {
  std::vector<HeadTarget> result(forest.targets().size());
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = {forest.target_index()[i], forest.targets()[i].token};
  }
  return result;
}

void score_pass(const PassModel& model, const Batch& batch, const std::vector<HeadTarget>& targets,
                HeadOutputs& outputs, const Context& context) {
  const ArenaScope scope(*context.arena);
  const Transformer transformer(model.config, model.weights, model.rope, batch, context);
  const View hidden = context.arena->matrix(batch.targets.count, model.config.channels);
  {
    const ArenaScope layers(*context.arena);
    const View x = context.arena->matrix(batch.all.count, model.config.channels);
    hidden_forward(transformer, model.config.layers, hidden, x, nullptr);
  }
  ops::head_forward(outputs.result(), View{}, hidden, model.weights.head(), targets.data(),
                    static_cast<int64_t>(targets.size()), context);
}

void embedding_pass(const PassModel& model, const EmbeddingPass& pass, const Context& context) {
  Arena& arena = *context.arena;
  const ArenaScope scope(arena);
  const Batch& batch = pass.batch;
  const Transformer transformer(model.config, model.weights, model.rope, batch, context);
  const View gathered = arena.matrix(batch.targets.count, model.config.channels);
  const View x = arena.matrix(batch.all.count, model.config.channels);
  const View out = residual_forward(transformer, pass.layers, x, nullptr);
  if (pass.layers == model.config.layers) {
    pass.read(out);
    return;
  }
  ops::gather_rows(gathered, out, batch.target_rows, context);
  pass.read(gathered);
}

void training_pass(const PassModel& model, const TrainingPass& pass, const Context& context) {
  Arena& arena = *context.arena;
  const ArenaScope scope(arena);
  const Transformer transformer(model.config, model.weights, model.rope, pass.batch, context);
  const Weight& head = model.weights.head();
  const int64_t channels = model.config.channels;
  const int64_t rows = pass.batch.all.count;
  const int64_t target_rows = pass.batch.targets.count;
  const int64_t target_count = static_cast<int64_t>(pass.targets.size());
  const int64_t last = model.config.layers - 1;
  const int64_t first = pass.sink.layout->modules().front().layer;

  std::vector<View> inputs(model.config.layers);
  for (int64_t l = first; l <= last; ++l) inputs[l] = arena.matrix(rows, channels);
  const View out = arena.matrix(target_rows, channels);
  const View hidden = arena.matrix(target_rows, channels);
  const View expected = arena.matrix(target_rows, channels);
  const View d_out = arena.matrix(target_rows, channels);
  const View dx = first < last ? arena.matrix(rows, channels) : View{};
  std::vector<LayerStore> stores(model.config.layers);
  for (int64_t l = first; l < last && !pass.recompute; ++l) {
    stores[l] = transformer.allocate_store(l);
  }

  {
    // The last layer is kept either way: its backward comes at once.
    const ArenaScope top(arena);
    stores[last] = transformer.allocate_store(last);
    transformer.embed(inputs[first]);
    for (int64_t l = 0; l < first; ++l) {
      transformer.layer_forward(l, inputs[first], inputs[first], nullptr);
    }
    for (int64_t l = first; l < last; ++l) {
      if (pass.recompute) {
        transformer.layer_forward(l, inputs[l], inputs[l + 1], nullptr);
      } else {
        transformer.layer_forward_storing(l, inputs[l], inputs[l + 1], stores[l]);
      }
    }
    transformer.layer_forward_storing(last, inputs[last], out, stores[last]);
    transformer.final_norm_forward(hidden, out);

    HeadOutputs outputs(target_rows, target_count);
    ops::head_forward(outputs.result(), expected, hidden, head, pass.targets.data(), target_count,
                      context);
    const float* coefficients = pass.coefficients(outputs);
    if (coefficients == nullptr) return;
    const View d_hidden = hidden;
    ops::head_backward(d_hidden, expected, head, pass.targets.data(), coefficients, target_count,
                       context);
    transformer.final_norm_backward(d_out, d_hidden, out);
    transformer.layer_backward(last, dx, d_out, inputs[last], stores[last], pass.sink,
                               first == last);
  }

  for (int64_t l = last - 1; l >= first; --l) {
    const ArenaScope layer(arena);
    if (pass.recompute) {
      stores[l] = transformer.allocate_store(l);
      // The next layer's input, of no more use there, receives the output again.
      transformer.layer_forward_storing(l, inputs[l], inputs[l + 1], stores[l]);
    }
    transformer.layer_backward(l, dx, dx, inputs[l], stores[l], pass.sink, l == first);
  }
}

int64_t cache_bytes(const ModelConfig& config, int64_t cache_rows) {
  const int64_t view = cache_rows * config.kv_heads * config.head_dim * 4;
  return 2 * config.layers * round_up(view, kScratchAlignment);
}

void generation_pass(const PassModel& model, const GenerationPass& pass, const Context& context) {
  Arena& arena = *context.arena;
  const ArenaScope scope(arena);
  const ModelConfig& config = model.config;

  KeyValueCache cache;
  for (int64_t l = 0; l < config.layers; ++l) {
    cache.keys.push_back(arena.matrix(pass.cache_rows, config.kv_heads * config.head_dim));
    cache.values.push_back(arena.matrix(pass.cache_rows, config.kv_heads * config.head_dim));
  }
  const View hidden = arena.matrix(pass.sequences, config.channels);
  {
    const ArenaScope reading(arena);
    const View prompt_hidden = arena.matrix(pass.prompts.targets.count, config.channels);
    const View x = arena.matrix(pass.prompts.all.count, config.channels);
    const Transformer transformer(config, model.weights, model.rope, pass.prompts, context);
    hidden_forward(transformer, config.layers, prompt_hidden, x, &cache);
    ops::gather_rows(hidden, prompt_hidden, pass.prompt_of, context);
  }

  std::vector<int32_t> tokens(pass.sequences);
  std::vector<double> logprobs(pass.sequences);
  int64_t active = pass.sequences;
  while (true) {
    ops::sample(tokens.data(), logprobs.data(), hidden.slice_rows(0, active), model.weights.head(),
                pass.sampling, pass.uniforms(), context);
    const StepBatch* step = pass.next(tokens.data(), logprobs.data());
    if (step == nullptr) return;
    active = step->batch.all.count;
    cache.rows = step->cache_rows;
    const ArenaScope stepping(arena);
    const View x = arena.matrix(active, config.channels);
    const Transformer transformer(config, model.weights, model.rope, step->batch, context);
    hidden_forward(transformer, config.layers, hidden.slice_rows(0, active), x, &cache);
  }
}

}  // namespace valora
