// Model: the transformer in terms of ops.h - what the addon calls. Everything here runs on one
// thread (the engine thread); nothing here knows Node.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/forest.h"
#include "core/mapped_file.h"
#include "core/operation_times.h"
#include "core/ops.h"
#include "model/config.h"

namespace valora {

enum class TensorRole {
  kEmbedding,
  kHead,
  kFinalNorm,
  kAttentionNorm,
  kFeedForwardNorm,
  kQNorm,
  kKNorm,
  kLinear,  // with `linear`
  kBias,    // with `linear`: q, k, v, o
};

struct TensorSource {
  TensorRole role;
  LinearKind linear = LinearKind::kQ;
  int64_t layer = -1;
  std::string file;
  int64_t offset = 0;
  int64_t bytes = 0;
  Dtype dtype = Dtype::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t interleaved_heads = 0;
};

struct ModelOptions {
  const Ops* ops = nullptr;
  int threads = 1;
  int64_t memory_bytes = 0;
  Compute compute = Compute::kFloat32;
  std::shared_ptr<Device> device = nullptr;  // of a backend that computes on one
};

// One matrix's low-rank pair. a [R, I], b [O, R], row-major.
struct LoraModule {
  int64_t layer = 0;
  LinearKind kind = LinearKind::kQ;
  int64_t rank = 0;
  float scale = 0;
  std::vector<float> a;
  std::vector<float> b;
};

struct LoraSpec {
  std::vector<LinearKind> kinds;
  int64_t rank = 0;
  float scale = 0;
  uint64_t seed = 0;
};

struct Scores {
  std::vector<double> logprobs;  // [targets]
  std::vector<uint8_t> greedy;   // [targets]
};

// Means of hidden states. A group is a text whose rows' states are averaged.
struct EmbeddingRequest {
  ForestInput forest;           // its targets say which rows count; their tokens say nothing
  std::vector<int32_t> groups;  // [targets] 0 to the number of groups - 1, each at least once
  int64_t layer = 0;            // after how many layers; 0 = the embedding
};

enum class LossKind { kSigmoid, kIpo, kHinge, kRobust, kSft };

struct LossOptions {
  LossKind kind = LossKind::kSigmoid;
  double beta = 0.1;
  double label_smoothing = 0;
  double rpo_alpha = 0;
};

// See NativePairs in lib/native.ts.
struct PairBatch {
  ForestInput forest;
  std::vector<int32_t> responses;  // [targets]
  std::vector<double> reference;   // [pairs * 2]
  double pair_weight = 1;
};

struct PairResults {
  std::vector<double> loss, chosen, rejected;  // [pairs]
};

struct AdamwOptions {
  double learning_rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0, clip = 0;
};

struct OptimizerState {
  int64_t step = 0;
  std::vector<float> m, v;
};

enum class Recompute { kAuto, kAlways, kNever };

struct GenerationRequest {
  std::vector<std::vector<int32_t>> prompts;
  std::vector<int32_t> adapters;  // [prompts]
  int64_t samples = 1;
  int64_t max_new_tokens = 0;
  SampleParameters sampling{0, 0, 1};
  uint64_t seed = 0;
  std::vector<int32_t> streams;  // [prompts]
  std::vector<int32_t> stop_tokens;
};

struct Generated {
  std::vector<int32_t> tokens;
  std::vector<double> logprobs;
  bool stopped = false;
};

struct JobShape {
  enum class Job { kScore, kTrain, kGenerate, kEmbed } job = Job::kScore;
  int64_t rows = 0, target_rows = 0, trees = 0, longest_path = 0;
  bool recompute = false;
  int64_t sequences = 0, cache_rows = 0;
};

struct Plan {
  int64_t weights = 0, adapters = 0, optimiser = 0, activations = 0, cache = 0;
  int64_t total() const { return weights + adapters + optimiser + activations + cache; }
};

using CancelFlag = const std::atomic<bool>*;

class Adapter;  // model/adapter.h
class Trainer;  // model/trainer.h

class Model {
 public:
  // Maps and checks every tensor; throws Error{kFile} or {kInvalidArgument} naming the one at
  // fault.
  Model(ModelConfig config, const std::vector<TensorSource>& tensors, const ModelOptions& options);
  ~Model();

  const ModelConfig& config() const;
  const char* isa() const;
  int64_t memory_bytes() const;

  Scores score(const ForestInput& forest, CancelFlag cancel);
  // [groups, C]: the mean over a group's rows of the residual stream after `layer` layers, before
  // the final norm, summed in double in row order.
  std::vector<float> embed(const EmbeddingRequest& request, CancelFlag cancel);
  std::vector<Generated> generate(const GenerationRequest& request, CancelFlag cancel,
                                  const std::function<void(int64_t)>& on_progress);

  // Handles start at 1.
  int32_t create_adapter(const LoraSpec& spec);
  int32_t load_adapter(const std::vector<LoraModule>& modules);
  std::vector<LoraModule> export_adapter(int32_t handle) const;
  void remove_adapter(int32_t handle);

  // What operations took since the last call (Engine::take_operation_times).
  std::vector<OperationTime> take_operation_times();

  // The trainer keeps its adapter alive; the model must outlive the trainer.
  std::unique_ptr<Trainer> create_trainer(int32_t handle, Recompute recompute);

  std::vector<float> read_tensor(TensorRole role, LinearKind linear, int64_t layer, int64_t begin,
                                 int64_t count, int32_t adapter) const;
  // Computed by running the very model code over the counting backend. Does not touch the model's
  // state: may be called from any thread while the engine works.
  Plan plan(const JobShape& shape) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace valora
