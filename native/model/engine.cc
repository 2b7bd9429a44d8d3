// Engine: adapters, the arena, and scoring. Embedding is in embed.cc, generation in generate.cc,
// plans in plan.cc.
#include "model/engine.h"

#include <cmath>

#include "core/error.h"

namespace valora {

namespace {

const ModelConfig& checked(const ModelConfig& config) {
  check_config(config);
  return config;
}

const Ops& checked(const ModelOptions& options) {
  if (options.ops == nullptr) {
    throw Error(ErrorCode::kInvalidArgument, "the model was given no backend");
  }
  if ((options.ops->space == Space::kDevice) != (options.device != nullptr)) {
    throw Error(ErrorCode::kInvalidArgument, "the model was given a backend without its device");
  }
  return *options.ops;
}

Ops counting_for(const Ops& ops) {
  Ops counting = counting_ops();
  counting.scratch = ops.scratch;
  return counting;
}

}  // namespace

View RopeTable::rows(const ModelConfig& config, int64_t positions) {
  const int64_t half = config.head_dim / 2;
  const int64_t known = static_cast<int64_t>(values_.size()) / config.head_dim;
  if (known < positions) {
    values_.resize(positions * config.head_dim);
    for (int64_t p = known; p < positions; ++p) {
      float* row = values_.data() + p * config.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(p) * config.inverse_frequencies[i];
        row[i] = static_cast<float>(std::cos(angle));
        row[half + i] = static_cast<float>(std::sin(angle));
      }
    }
  }
  if (device_ == nullptr) return make_view(values_.data(), positions, config.head_dim);
  if (placed_.size() != static_cast<int64_t>(values_.size())) placed_ = Numbers(device_, values_);
  return make_view(placed_.view().data, positions, config.head_dim, Space::kDevice);
}

Engine::Engine(ModelConfig config, const std::vector<TensorSource>& tensors,
               const ModelOptions& options)
    : device_(options.device),
      config_(checked(config)),
      ops_(checked(options)),
      counting_(counting_for(ops_)),
      memory_bytes_(options.memory_bytes),
      compute_(options.compute),
      weights_(config_, tensors, {.ops = &ops_, .compute = compute_, .device = device_.get()}),
      pool_(options.threads),
      rope_(device_.get()) {
  check_limit("the model", memory_now());
}

Scores Engine::score(const ForestInput& input, CancelFlag cancel) {
  const Forest forest(input, config_.vocabulary, config_.max_positions);
  const Batch batch = make_batch(forest, finder());
  const std::vector<HeadTarget> targets = head_targets(forest);
  Scores scores;
  if (targets.empty()) return scores;

  const PassModel model = pass_model(batch.longest);
  HeadOutputs outputs(batch.targets.count, static_cast<int64_t>(targets.size()));
  run({"scoring", 0,
       [&](const Context& context) { score_pass(model, batch, targets, outputs, context); }},
      cancel);
  for (size_t i = 0; i < targets.size(); ++i) {
    scores.logprobs.push_back(outputs.logprob(targets, i));
    scores.greedy.push_back(outputs.argmax[targets[i].row] == targets[i].token);
  }
  return scores;
}

std::vector<OperationTime> Engine::take_operation_times() {
  measuring_ = true;
  pool_.measure(true);
  return times_.take();
}

int32_t Engine::add_adapter(Adapter adapter) {
  Plan plan = memory_now();
  plan.adapters += adapter.layout().bytes();
  check_limit("another adapter", plan);
  adapter.move_to(device_.get());
  const std::lock_guard<std::mutex> lock(mutex_);
  adapters_.emplace(next_handle_, std::make_shared<Adapter>(std::move(adapter)));
  return next_handle_++;
}

std::shared_ptr<Adapter> Engine::adapter(int32_t handle) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = adapters_.find(handle);
  if (found == adapters_.end()) {
    throw Error(ErrorCode::kInvalidArgument,
                "there is no adapter with handle " + std::to_string(handle));
  }
  return found->second;
}

void Engine::remove_adapter(int32_t handle) {
  adapter(handle);
  const std::lock_guard<std::mutex> lock(mutex_);
  adapters_.erase(handle);
}

FindAdapter Engine::finder() const {
  // The registry keeps the adapter alive: it changes on this thread alone.
  return [this](int32_t handle) { return handle == 0 ? nullptr : adapter(handle).get(); };
}

int64_t Engine::count(const std::function<void(const Context&)>& body) const {
  Arena counting;
  body({&counting_, &counting, const_cast<ThreadPool*>(&pool_), nullptr, compute_});
  return static_cast<int64_t>(counting.peak());
}

void Engine::run(const Job& job, CancelFlag cancel) {
  Arena& arena = reserve(job, count(job.body));
  arena.reset_peak();
  job.body(context(&arena, cancel));
}

Arena& Engine::reserve(const Job& job, int64_t bytes) {
  Plan plan = memory_now();
  plan.activations += bytes - job.cache;
  plan.cache += job.cache;
  check_limit(job.name, plan);
  // Kept from job to job, and only ever grows, unless what it grew to would break the limit now.
  const int64_t capacity = arena_ == nullptr ? 0 : static_cast<int64_t>(arena_->capacity());
  if (arena_ == nullptr || capacity < bytes || !fits(capacity)) {
    arena_.reset();
    arena_ = std::make_unique<Arena>(static_cast<size_t>(bytes), device_.get());
  }
  return *arena_;
}

void Engine::add_optimiser_bytes(int64_t bytes) {
  Plan plan = memory_now();
  plan.optimiser += bytes;
  check_limit("a trainer", plan);
  const std::lock_guard<std::mutex> lock(mutex_);
  optimiser_bytes_ += bytes;
}

void Engine::remove_optimiser_bytes(int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  optimiser_bytes_ -= bytes;
}

}  // namespace valora
