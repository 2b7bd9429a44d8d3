// Adapter: the low-rank pairs that are trained. All parameters of an adapter lie in one flat buffer
// (by layer, then kind, A before B), so that gradients and moments are buffers of the same layout
// and AdamW is one call.
#pragma once

#include <cstdint>
#include <vector>

#include "core/numbers.h"
#include "core/view.h"
#include "model/model.h"

namespace valora {

// Where one pair lies in the flat buffer: A [rank, inputs] at a_offset, B [outputs, rank] at
// b_offset.
class AdapterModule {
 public:
  int64_t layer = 0;
  LinearKind kind = LinearKind::kQ;
  int64_t rank = 0;
  float scale = 0;
  int64_t outputs = 0;
  int64_t inputs = 0;
  int64_t a_offset = 0;
  int64_t b_offset = 0;

  // The views into a flat buffer of this layout; shapes alone where there is no buffer (a plan has
  // none).
  View a(View flat) const { return view(flat, a_offset, rank, inputs); }
  View b(View flat) const { return view(flat, b_offset, outputs, rank); }

 private:
  static View view(View flat, int64_t offset, int64_t rows, int64_t cols) {
    return make_view(flat.data == nullptr ? nullptr : flat.data + offset, rows, cols, flat.space);
  }
};

class AdapterLayout {
 public:
  struct Entry {
    int64_t layer;
    LinearKind kind;
    int64_t rank;
    float scale;
  };

  // Throws Error{kInvalidArgument} naming layer and matrix: a layer the model has not got, a pair
  // that is there twice, a rank out of range.
  AdapterLayout(const ModelConfig& config, std::vector<Entry> entries);

  const std::vector<AdapterModule>& modules() const { return modules_; }
  const AdapterModule* find(int64_t layer, LinearKind kind) const {
    const int32_t index = index_[layer * kLinearKinds + static_cast<int>(kind)];
    return index < 0 ? nullptr : &modules_[index];
  }
  int64_t size() const { return size_; }  // numbers in all
  int64_t max_rank() const { return max_rank_; }
  int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(float)); }

 private:
  std::vector<AdapterModule> modules_;  // by layer, then kind
  std::vector<int32_t> index_;          // [layers * kLinearKinds], -1 = none
  int64_t size_ = 0;
  int64_t max_rank_ = 0;
};

class Adapter {
 public:
  // A ~ U(-1/sqrt(I), 1/sqrt(I)), which is PEFT's default (kaiming_uniform with a = sqrt(5)); B =
  // 0. A pair's numbers depend on the seed, its layer and its kind alone.
  static Adapter create(const ModelConfig& config, const LoraSpec& spec);
  // Throws Error{kInvalidArgument} naming layer and matrix where a shape does not fit the model.
  static Adapter load(const ModelConfig& config, const std::vector<LoraModule>& modules);

  const AdapterLayout& layout() const { return layout_; }
  const Numbers& values() const { return values_; }
  // From the host's memory, where an adapter is made, to a device's; null: it stays.
  void move_to(Device* device);

 private:
  Adapter(AdapterLayout layout, std::vector<float> values)
      : layout_(std::move(layout)), values_(nullptr, std::move(values)) {}

  AdapterLayout layout_;
  Numbers values_;
};

// The numbers of a flat buffer as modules: an adapter's own, or its gradients.
std::vector<LoraModule> export_modules(const AdapterLayout& layout, const Numbers& values);

// rows [begin, begin+count) of W, given in `rows` [count, I], plus scale * (B A), summed in double.
void add_delta(const AdapterModule& module, const Numbers& values, int64_t begin, int64_t count,
               std::vector<float>& rows);

}  // namespace valora
