// Adapter: layout, initialisation, and the way in and out as separate modules.
#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/random.h"
#include "model/weights.h"

namespace valora {

namespace {

constexpr int64_t kLargestRank = 1 << 16;  // keeps every size far from overflow

[[noreturn]] void fail(int64_t layer, LinearKind kind, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument,
              "adapter: layer " + std::to_string(layer) + " " + linear_name(kind) + " " + what);
}

}  // namespace

AdapterLayout::AdapterLayout(const ModelConfig& config, std::vector<Entry> entries)
    : index_(config.layers * kLinearKinds, -1) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.layer != b.layer ? a.layer < b.layer : a.kind < b.kind;
  });
  for (const Entry& entry : entries) {
    const int kind = static_cast<int>(entry.kind);
    if (kind < 0 || kind >= kLinearKinds) fail(entry.layer, entry.kind, "is no linear layer");
    if (entry.layer < 0 || entry.layer >= config.layers) {
      fail(entry.layer, entry.kind,
           "does not exist: the model has " + std::to_string(config.layers) + " layers");
    }
    if (entry.rank < 1 || entry.rank > kLargestRank) {
      fail(entry.layer, entry.kind,
           "has rank " + std::to_string(entry.rank) + ", expected 1 to " +
               std::to_string(kLargestRank));
    }
    if (!std::isfinite(entry.scale))
      fail(entry.layer, entry.kind, "has a scale that is not finite");
    int32_t& index = index_[entry.layer * kLinearKinds + kind];
    if (index >= 0) fail(entry.layer, entry.kind, "is there twice");
    index = static_cast<int32_t>(modules_.size());

    const MatrixShape shape = linear_shape(config, entry.kind);
    AdapterModule module;
    module.layer = entry.layer;
    module.kind = entry.kind;
    module.rank = entry.rank;
    module.scale = entry.scale;
    module.outputs = shape.outputs;
    module.inputs = shape.inputs;
    module.a_offset = size_;
    module.b_offset = size_ + entry.rank * shape.inputs;
    size_ = module.b_offset + shape.outputs * entry.rank;
    max_rank_ = std::max(max_rank_, entry.rank);
    modules_.push_back(module);
  }
  if (modules_.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "adapter: it changes no matrix of the model");
  }
}

Adapter Adapter::create(const ModelConfig& config, const LoraSpec& spec) {
  std::vector<AdapterLayout::Entry> entries;
  for (int64_t l = 0; l < config.layers; ++l) {
    for (const LinearKind kind : spec.kinds) entries.push_back({l, kind, spec.rank, spec.scale});
  }
  AdapterLayout layout(config, std::move(entries));
  std::vector<float> values(layout.size());
  for (const AdapterModule& module : layout.modules()) {
    const uint64_t stream =
        static_cast<uint64_t>(module.layer * kLinearKinds + static_cast<int>(module.kind));
    const double bound = 1.0 / std::sqrt(static_cast<double>(module.inputs));
    float* a = values.data() + module.a_offset;
    for (int64_t i = 0; i < module.rank * module.inputs; ++i) {
      const double uniform = random_uniform(spec.seed, stream, static_cast<uint64_t>(i));
      a[i] = static_cast<float>(bound * (2.0 * uniform - 1.0));
    }
  }
  return Adapter(std::move(layout), std::move(values));
}

Adapter Adapter::load(const ModelConfig& config, const std::vector<LoraModule>& modules) {
  std::vector<AdapterLayout::Entry> entries;
  for (const LoraModule& module : modules) {
    entries.push_back({module.layer, module.kind, module.rank, module.scale});
  }
  AdapterLayout layout(config, std::move(entries));
  std::vector<float> values(layout.size());
  for (const LoraModule& from : modules) {
    const AdapterModule& to = *layout.find(from.layer, from.kind);
    const auto copy = [&](const char* name, const std::vector<float>& matrix, int64_t rows,
                          int64_t cols, int64_t offset) {
      if (static_cast<int64_t>(matrix.size()) != rows * cols) {
        fail(from.layer, from.kind,
             std::string("has a matrix ") + name + " of " + std::to_string(matrix.size()) +
                 " numbers, the model asks for [" + std::to_string(rows) + ", " +
                 std::to_string(cols) + "]");
      }
      std::copy(matrix.begin(), matrix.end(), values.begin() + offset);
    };
    copy("A", from.a, to.rank, to.inputs, to.a_offset);
    copy("B", from.b, to.outputs, to.rank, to.b_offset);
  }
  return Adapter(std::move(layout), std::move(values));
}

void Adapter::move_to(Device* device) {
  if (device != nullptr) values_ = Numbers(device, values_.read());
}

std::vector<LoraModule> export_modules(const AdapterLayout& layout, const Numbers& values) {
  std::vector<LoraModule> result;
  for (const AdapterModule& from : layout.modules()) {
    LoraModule module;
    module.layer = from.layer;
    module.kind = from.kind;
    module.rank = from.rank;
    module.scale = from.scale;
    module.a = values.read(from.a_offset, from.rank * from.inputs);
    module.b = values.read(from.b_offset, from.outputs * from.rank);
    result.push_back(std::move(module));
  }
  return result;
}

void add_delta(const AdapterModule& module, const Numbers& values, int64_t begin, int64_t count,
               std::vector<float>& rows) {
  // B's rows from `begin` on.
  const std::vector<float> a = values.read(module.a_offset, module.rank * module.inputs);
  const std::vector<float> b =
      values.read(module.b_offset + begin * module.rank, count * module.rank);
  std::vector<double> delta(module.inputs);
  for (int64_t o = 0; o < count; ++o) {
    std::fill(delta.begin(), delta.end(), 0.0);
    for (int64_t r = 0; r < module.rank; ++r) {
      const double factor = b[o * module.rank + r];
      const float* a_row = a.data() + r * module.inputs;
      for (int64_t i = 0; i < module.inputs; ++i) delta[i] += factor * a_row[i];
    }
    float* row = rows.data() + o * module.inputs;
    for (int64_t i = 0; i < module.inputs; ++i) {
      row[i] = static_cast<float>(row[i] + module.scale * delta[i]);
    }
  }
}

}  // namespace valora
