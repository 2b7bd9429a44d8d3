// Model: the public face of the engine.
#include "model/model.h"

#include <utility>

#include "model/engine.h"
#include "model/trainer_impl.h"

namespace valora {

struct Model::Impl {
  Engine engine;
};

Model::Model(ModelConfig config, const std::vector<TensorSource>& tensors,
             const ModelOptions& options)
    : impl_(new Impl{Engine(std::move(config), tensors, options)}) {}
Model::~Model() = default;

const ModelConfig& Model::config() const { return impl_->engine.config(); }
const char* Model::isa() const { return impl_->engine.ops().name; }
int64_t Model::memory_bytes() const { return impl_->engine.memory_bytes(); }

Scores Model::score(const ForestInput& forest, CancelFlag cancel) {
  return impl_->engine.score(forest, cancel);
}

std::vector<float> Model::embed(const EmbeddingRequest& request, CancelFlag cancel) {
  return impl_->engine.embed(request, cancel);
}

std::vector<Generated> Model::generate(const GenerationRequest& request, CancelFlag cancel,
                                       const std::function<void(int64_t)>& on_progress) {
  return impl_->engine.generate(request, cancel, on_progress);
}

int32_t Model::create_adapter(const LoraSpec& spec) {
  return impl_->engine.add_adapter(Adapter::create(config(), spec));
}

int32_t Model::load_adapter(const std::vector<LoraModule>& modules) {
  return impl_->engine.add_adapter(Adapter::load(config(), modules));
}

std::vector<LoraModule> Model::export_adapter(int32_t handle) const {
  const std::shared_ptr<Adapter> adapter = impl_->engine.adapter(handle);
  return export_modules(adapter->layout(), adapter->values());
}

void Model::remove_adapter(int32_t handle) { impl_->engine.remove_adapter(handle); }

std::unique_ptr<Trainer> Model::create_trainer(int32_t handle, Recompute recompute) {
  auto impl = std::make_unique<Trainer::Impl>(impl_->engine, handle, recompute);
  return std::unique_ptr<Trainer>(new Trainer(std::move(impl)));
}

std::vector<float> Model::read_tensor(TensorRole role, LinearKind linear, int64_t layer,
                                      int64_t begin, int64_t count, int32_t handle) const {
  std::vector<float> rows = impl_->engine.weights().read_rows(role, linear, layer, begin, count);
  if (handle == 0) return rows;
  const std::shared_ptr<Adapter> adapter = impl_->engine.adapter(handle);
  if (role != TensorRole::kLinear) return rows;
  const AdapterModule* module = adapter->layout().find(layer, linear);
  if (module != nullptr) add_delta(*module, adapter->values(), begin, count, rows);
  return rows;
}

std::vector<OperationTime> Model::take_operation_times() {
  return impl_->engine.take_operation_times();
}

Plan Model::plan(const JobShape& shape) const { return impl_->engine.plan(shape); }

}  // namespace valora
