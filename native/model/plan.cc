// Memory plans: what a job of some shape takes, found by running its passes over the counting
// backend, and the check of a plan against the limit.
#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/error.h"
#include "model/engine.h"

namespace valora {

namespace {

// "84.2 MiB", "3.1 GiB".
std::string bytes_text(int64_t bytes) {
  static const char* const kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

// The adapter that a plan of training assumes where none is loaded.
AdapterLayout assumed_layout(const ModelConfig& config) {
  constexpr int64_t kAssumedRank = 16;
  std::vector<AdapterLayout::Entry> entries;
  for (int64_t l = 0; l < config.layers; ++l) {
    for (int kind = 0; kind < kLinearKinds; ++kind) {
      entries.push_back({l, static_cast<LinearKind>(kind), kAssumedRank, 1.0f});
    }
  }
  return AdapterLayout(config, std::move(entries));
}

void check_shape(const JobShape& shape) {
  const auto check = [](const char* name, int64_t value) {
    if (value < 0 || value > int64_t{1} << 31) {
      throw Error(ErrorCode::kInvalidArgument, std::string("plan: ") + name + " is " +
                                                   std::to_string(value) +
                                                   ", expected 0 to 2147483648");
    }
  };
  check("rows", shape.rows);
  check("target rows", shape.target_rows);
  check("trees", shape.trees);
  check("longest path", shape.longest_path);
  check("sequences", shape.sequences);
  check("cache rows", shape.cache_rows);
}

int64_t planned_score(const Engine& engine, const PassModel& model, const JobShape& shape,
                      const AdapterLayout* layout) {
  const Batch batch =
      make_planned_batch(shape.rows, shape.target_rows, shape.trees, shape.longest_path, layout);
  HeadOutputs outputs(shape.target_rows, 0);
  return engine.count(
      [&](const Context& context) { score_pass(model, batch, {}, outputs, context); });
}

int64_t planned_embedding(const Engine& engine, const PassModel& model, const JobShape& shape,
                          const AdapterLayout* layout) {
  const Batch batch =
      make_planned_batch(shape.rows, shape.target_rows, shape.trees, shape.longest_path, layout);
  const EmbeddingPass pass{batch, model.config.layers, [](View) {}};
  return engine.count([&](const Context& context) { embedding_pass(model, pass, context); });
}

int64_t planned_training(const Engine& engine, const PassModel& model, const JobShape& shape,
                         const AdapterLayout& layout) {
  const Batch batch =
      make_planned_batch(shape.rows, shape.target_rows, shape.trees, shape.longest_path, &layout);
  const std::vector<HeadTarget> targets;
  static const float kNoCoefficient = 0;
  const TrainingPass pass{
      batch, targets, shape.recompute, {&layout, View{}}, [](const HeadOutputs&) {
        return &kNoCoefficient;
      }};
  return engine.count([&](const Context& context) { training_pass(model, pass, context); });
}

int64_t planned_generation(const Engine& engine, const PassModel& model, const JobShape& shape,
                           const AdapterLayout* layout) {
  // Rows that a sequence adds to the cache, and with them the longest prompt.
  const int64_t own = (shape.cache_rows - shape.rows) / shape.sequences;
  const Batch prompts =
      make_planned_batch(shape.rows, shape.trees, shape.trees, shape.longest_path - own, layout);
  const StepBatch step{make_planned_batch(shape.sequences, shape.sequences, shape.sequences,
                                          shape.longest_path, layout),
                       nullptr};
  const StepBatch* next = own > 0 ? &step : nullptr;
  const GenerationPass pass{
      prompts,
      shape.sequences,
      shape.cache_rows,
      nullptr,
      {0, 0, 1},
      [] { return nullptr; },
      [&](const int32_t*, const double*) { return std::exchange(next, nullptr); }};
  return engine.count([&](const Context& context) { generation_pass(model, pass, context); });
}

}  // namespace

Plan Engine::plan(const JobShape& shape) const {
  check_shape(shape);
  Plan plan = memory_now();
  std::shared_ptr<Adapter> largest;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [handle, adapter] : adapters_) {
      const auto size = [](const Adapter& a) {
        return std::make_pair(a.layout().max_rank(), a.layout().size());
      };
      if (largest == nullptr || size(*adapter) > size(*largest)) largest = adapter;
    }
  }
  const AdapterLayout* layout = largest == nullptr ? nullptr : &largest->layout();
  const PassModel model{config_, weights_,
                        make_view(nullptr, shape.longest_path, config_.head_dim)};
  if (shape.rows == 0) return plan;
  switch (shape.job) {
    case JobShape::Job::kScore:
      if (shape.target_rows > 0) plan.activations = planned_score(*this, model, shape, layout);
      break;
    case JobShape::Job::kEmbed:
      if (shape.target_rows > 0) plan.activations = planned_embedding(*this, model, shape, layout);
      break;
    case JobShape::Job::kTrain: {
      const AdapterLayout trained = layout == nullptr ? assumed_layout(config_) : *layout;
      if (layout == nullptr) plan.adapters += trained.bytes();
      plan.optimiser = std::max(plan.optimiser, kTrainerBuffers * trained.bytes());
      if (shape.target_rows > 0) plan.activations = planned_training(*this, model, shape, trained);
      break;
    }
    case JobShape::Job::kGenerate:
      if (shape.sequences > 0) {
        if (shape.cache_rows < shape.rows) {
          throw Error(ErrorCode::kInvalidArgument,
                      "plan: a cache of " + std::to_string(shape.cache_rows) +
                          " rows does not hold the " + std::to_string(shape.rows) +
                          " rows of the prompts");
        }
        plan.cache = cache_bytes(config_, shape.cache_rows);
        plan.activations = planned_generation(*this, model, shape, layout) - plan.cache;
      }
      break;
  }
  return plan;
}

Plan Engine::memory_now() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Plan plan;
  plan.weights = weights_.bytes();
  for (const auto& [handle, adapter] : adapters_) plan.adapters += adapter->layout().bytes();
  plan.optimiser = optimiser_bytes_;
  return plan;
}

bool Engine::fits(int64_t arena_bytes) const {
  return memory_bytes_ <= 0 || memory_now().total() + arena_bytes <= memory_bytes_;
}

void Engine::check_limit(const std::string& name, const Plan& plan) const {
  if (memory_bytes_ <= 0 || plan.total() <= memory_bytes_) return;
  std::string terms = "weights " + bytes_text(plan.weights);
  const auto add = [&](const char* term, int64_t bytes) {
    if (bytes > 0) terms += std::string(", ") + term + " " + bytes_text(bytes);
  };
  add("adapters", plan.adapters);
  add("optimiser", plan.optimiser);
  add("activations", plan.activations);
  add("key/value cache", plan.cache);
  throw Error(ErrorCode::kOutOfMemory, name + " needs " + bytes_text(plan.total()) + " (" + terms +
                                           "), the limit is " + bytes_text(memory_bytes_));
}

}  // namespace valora
