// The passes of the engine over a batch - score, embed, train, generate - as sequences of layers
// and heads. Each takes all its memory from the context's arena in one order, whether it computes
// or counts: run over the counting backend it is the plan of itself.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/transformer.h"

namespace valora {

// What a pass runs on.
struct PassModel {
  const ModelConfig& config;
  const ModelWeights& weights;
  View rope;
};

// The head's answers, in host memory.
struct HeadOutputs {
  std::vector<double> normaliser;   // [target rows]
  std::vector<int32_t> argmax;      // [target rows]
  std::vector<float> target_logit;  // [targets]

  HeadOutputs(int64_t rows, int64_t targets)
      : normaliser(rows), argmax(rows), target_logit(targets) {}
  HeadResult result() { return {normaliser.data(), argmax.data(), target_logit.data()}; }
  double logprob(const std::vector<HeadTarget>& targets, size_t i) const {
    return target_logit[i] - normaliser[targets[i].row];
  }
};

// The forest's targets as the head counts rows.
std::vector<HeadTarget> head_targets(const Forest& forest);

void score_pass(const PassModel& model, const Batch& batch, const std::vector<HeadTarget>& targets,
                HeadOutputs& outputs, const Context& context);

// The residual stream of the target rows after the first `layers` layers (0: the embedding), before
// the final norm: `read` is given it, [targets, C]. Of all `layers`, the model's number needs most
// memory.
struct EmbeddingPass {
  const Batch& batch;
  int64_t layers;
  std::function<void(View states)> read;
};

void embedding_pass(const PassModel& model, const EmbeddingPass& pass, const Context& context);

struct TrainingPass {
  const Batch& batch;
  const std::vector<HeadTarget>& targets;
  bool recompute;
  GradientSink sink;
  // From the head's answers: what each target's log-probability is to be moved by (d loss / d log
  // p), [targets], or null to end here, without gradients.
  std::function<const float*(const HeadOutputs&)> coefficients;
};

// Layers below the adapter's first module keep nothing. The others keep what their backward needs,
// or, with `recompute`, only their input, from which the rest is computed once more, to the same
// bits.
void training_pass(const PassModel& model, const TrainingPass& pass, const Context& context);

// One generation step: a row a sequence, and where its key and value go.
struct StepBatch {
  Batch batch;
  const int32_t* cache_rows;
};

struct GenerationPass {
  const Batch& prompts;
  int64_t sequences;
  int64_t cache_rows;
  const int32_t* prompt_of;  // [sequences] which target row of `prompts` a sequence follows
  SampleParameters sampling;
  // [rows] random numbers for the rows about to be sampled.
  std::function<const float*()> uniforms;
  // Given the sampled tokens and their log-probabilities, the next step; null at the end.
  std::function<const StepBatch*(const int32_t* tokens, const double* logprobs)> next;
};

void generation_pass(const PassModel& model, const GenerationPass& pass, const Context& context);

// What generation_pass takes from the arena for the cache.
int64_t cache_bytes(const ModelConfig& config, int64_t cache_rows);

}  // namespace valora
