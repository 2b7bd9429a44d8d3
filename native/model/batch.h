// Batch: the rows of one pass as the transformer's layers see them. Made from a checked Forest,
// from the rows of a generation step, or, to plan memory, from sizes alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/forest.h"
#include "core/ops.h"
#include "model/adapter.h"

namespace valora {

// Neighbouring rows that carry the same adapter.
struct AdapterRows {
  const AdapterLayout* layout = nullptr;
  View values;  // the adapter's flat buffer
  int64_t begin = 0;
  int64_t count = 0;
};

// Some rows of the batch, as queries, with what follows from their trees.
struct BatchRows {
  int64_t count = 0;
  PathsView paths;                    // paths.positions are these rows' positions
  std::vector<AdapterRows> adapters;  // rows of the base model are in none
  std::vector<RowRange> trees;
};

struct Batch {
  const int32_t* tokens = nullptr;  // [all.count]
  BatchRows all;
  // The rows that go on after the keys and values of the last layer: those the head looks at.
  BatchRows targets;
  const int32_t* target_rows = nullptr;  // [targets.count], ascending
  int64_t longest = 0;                   // positions that rope must know
};

// The adapter of a handle; null for 0, the base model. Throws where there is no such adapter.
using FindAdapter = std::function<const Adapter*(int32_t)>;

// The forest must outlive the batch.
Batch make_batch(const Forest& forest, const FindAdapter& find_adapter);

// Appends `count` rows that carry `adapter` (null = base) after those there are.
void append_adapter_rows(std::vector<AdapterRows>& groups, const Adapter* adapter, int64_t begin,
                         int64_t count);

// A batch that has sizes and nothing else, for the counting backend: every row carries an adapter
// of this layout (null = none).
Batch make_planned_batch(int64_t rows, int64_t target_rows, int64_t trees, int64_t longest,
                         const AdapterLayout* layout);

}  // namespace valora
