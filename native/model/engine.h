// Engine: what stands behind Model - weights, adapters, threads, and the one arena that every job
// works in. Used from one thread, except plan().
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/operation_times.h"
#include "core/thread_pool.h"
#include "model/adapter.h"
#include "model/passes.h"
#include "model/weights.h"

namespace valora {

// Cosines and sines of every position's angles, [positions, D]: D/2 cosines, then D/2 sines.
class RopeTable {
 public:
  explicit RopeTable(Device* device) : device_(device) {}
  // The first `positions` rows, computed in double where they are not there yet.
  View rows(const ModelConfig& config, int64_t positions);

 private:
  Device* device_;
  std::vector<float> values_;
  Numbers placed_;  // the same on the device, if there is one
};

class Engine {
 public:
  Engine(ModelConfig config, const std::vector<TensorSource>& tensors, const ModelOptions& options);

  const ModelConfig& config() const { return config_; }
  const ModelWeights& weights() const { return weights_; }
  const Ops& ops() const { return ops_; }
  int64_t memory_bytes() const { return memory_bytes_; }
  // The arena of the last job; null before the first.
  const Arena* arena() const { return arena_.get(); }

  Scores score(const ForestInput& forest, CancelFlag cancel);
  std::vector<float> embed(const EmbeddingRequest& request, CancelFlag cancel);
  std::vector<Generated> generate(const GenerationRequest& request, CancelFlag cancel,
                                  const std::function<void(int64_t)>& on_progress);

  int32_t add_adapter(Adapter adapter);
  // Throws Error{kInvalidArgument} where there is no such adapter.
  std::shared_ptr<Adapter> adapter(int32_t handle) const;
  void remove_adapter(int32_t handle);

  Plan plan(const JobShape& shape) const;

  // A job: what it is called in errors, what of its arena is key/value cache, and the passes it
  // makes, which are run once over the counting backend and then in earnest.
  struct Job {
    const char* name;
    int64_t cache = 0;
    std::function<void(const Context&)> body;
  };
  // Bytes that the job takes from the arena.
  int64_t count(const std::function<void(const Context&)>& body) const;
  // Whether a job that takes `arena_bytes` stays within the limit.
  bool fits(int64_t arena_bytes) const;
  // Throws Error{kOutOfMemory} naming the terms where the job would exceed the limit.
  void run(const Job& job, CancelFlag cancel);
  PassModel pass_model(int64_t positions) {
    return {config_, weights_, rope_.rows(config_, positions)};
  }
  // A context without an arena or cancellation, for operations on whole buffers.
  Context context() { return context(nullptr, nullptr); }
  Device* device() const { return device_.get(); }

  // What operations took since the last call; the first call begins to measure and has nothing to
  // say.
  std::vector<OperationTime> take_operation_times();

 private:
  OperationTimes* times() { return measuring_ ? &times_ : nullptr; }
  Context context(Arena* arena, CancelFlag cancel) {
    return {&ops_, arena, &pool_, cancel, compute_, times(), device_.get()};
  }
  friend class OptimiserBytes;
  void add_optimiser_bytes(int64_t bytes);
  void remove_optimiser_bytes(int64_t bytes);
  Plan memory_now() const;
  void check_limit(const std::string& name, const Plan& plan) const;
  Arena& reserve(const Job& job, int64_t bytes);
  FindAdapter finder() const;

  const std::shared_ptr<Device> device_;  // outlives all that lies on it
  const ModelConfig config_;
  const Ops& ops_;
  const Ops counting_;  // for plans of this backend
  const int64_t memory_bytes_;
  Compute compute_;
  const ModelWeights weights_;
  ThreadPool pool_;
  RopeTable rope_;
  std::unique_ptr<Arena> arena_;
  OperationTimes times_;
  bool measuring_ = false;
  int32_t next_handle_ = 1;

  mutable std::mutex mutex_;  // what follows is read by plan(), from any thread
  std::map<int32_t, std::shared_ptr<Adapter>> adapters_;
  int64_t optimiser_bytes_ = 0;
};

// A trainer's share of the memory limit, for as long as it lives. Throws Error{kOutOfMemory} past
// the limit.
class OptimiserBytes {
 public:
  OptimiserBytes(Engine& engine, int64_t bytes) : engine_(engine), bytes_(bytes) {
    engine_.add_optimiser_bytes(bytes_);
  }
  ~OptimiserBytes() { engine_.remove_optimiser_bytes(bytes_); }
  OptimiserBytes(const OptimiserBytes&) = delete;
  OptimiserBytes& operator=(const OptimiserBytes&) = delete;

 private:
  Engine& engine_;
  const int64_t bytes_;
};

// Buffers of the adapter's size that a trainer keeps: gradients, the copy that a step in progress
// adds to, and AdamW's two moments.
inline constexpr int64_t kTrainerBuffers = 4;

}  // namespace valora
