// Batch: adapters and trees of a forest as ranges of rows.
#include "model/batch.h"

#include <algorithm>

namespace valora {

void append_adapter_rows(std::vector<AdapterRows>& groups, const Adapter* adapter, int64_t begin,
                         int64_t count) {
  if (adapter == nullptr || count == 0) return;
  if (!groups.empty()) {
    AdapterRows& last = groups.back();
    if (last.layout == &adapter->layout() && last.begin + last.count == begin) {
      last.count += count;
      return;
    }
  }
  groups.push_back({&adapter->layout(), adapter->values().view(), begin, count});
}

Batch make_batch(const Forest& forest, const FindAdapter& find_adapter) {
  Batch batch;
  batch.tokens = forest.tokens().data();
  batch.all.count = forest.rows();
  batch.all.paths = forest.all_paths();
  batch.targets.count = static_cast<int64_t>(forest.target_rows().size());
  batch.targets.paths = forest.target_paths();
  batch.target_rows = forest.target_rows().data();
  batch.longest = forest.longest_path();

  const std::vector<int32_t>& begins = forest.tree_begins();
  const std::vector<int32_t>& rows = forest.target_rows();
  int64_t target = 0;
  for (int64_t b = 0; b < forest.trees(); ++b) {
    const Adapter* adapter = find_adapter(forest.adapters()[b]);
    const int64_t count = begins[b + 1] - begins[b];
    batch.all.trees.push_back({begins[b], count});
    append_adapter_rows(batch.all.adapters, adapter, begins[b], count);

    const int64_t target_begin = target;
    while (target < batch.targets.count && rows[target] < begins[b + 1]) ++target;
    batch.targets.trees.push_back({target_begin, target - target_begin});
    append_adapter_rows(batch.targets.adapters, adapter, target_begin, target - target_begin);
  }
  return batch;
}

Batch make_planned_batch(int64_t rows, int64_t target_rows, int64_t trees, int64_t longest,
                         const AdapterLayout* layout) {
  Batch batch;
  batch.longest = longest;
  const auto fill = [&](BatchRows& part, int64_t count) {
    part.count = count;
    part.paths.tree_count = trees;
    part.paths.longest = longest;
    part.trees.assign(trees, RowRange{0, 0});
    if (layout != nullptr) part.adapters.push_back({layout, View{}, 0, count});
  };
  fill(batch.all, rows);
  fill(batch.targets, target_rows);
  return batch;
}

}  // namespace valora
