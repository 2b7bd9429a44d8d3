// Lists the tiles of attention. A tile never holds two groups' queries, nor keys that lie apart, so
// what a tile sums, and in which order, follows from its tree alone.
#include "cuda/attention_plan.h"

#include <algorithm>

namespace valora::cuda {

namespace {

void list_queries(AttentionPlan& plan, const PathsView& paths, int32_t share, int32_t height) {
  for (int64_t g = 0; g < paths.group_count; ++g) {
    const QueryGroup& group = paths.groups[g];
    const int32_t pairs = group.query_count * share;
    for (int32_t first = 0; first < pairs; first += height) {
      const int32_t* positions = paths.positions + group.query_begin;
      const int32_t last = std::min(first + height, pairs) - 1;
      plan.query_tiles.push_back({group.query_begin, first, pairs, group.segment_begin});
      plan.query_longest.push_back(
          1 + *std::max_element(positions + first / share, positions + last / share + 1));
    }
  }
}

// Rows of keys between two neighbouring borders of segments: a group sees all of them or none.
struct KeyRange {
  int32_t begin;
  int32_t end;
  struct Sight {
    const QueryGroup* group;
    int32_t position;
  };
  std::vector<Sight> seen_by;
};

std::vector<KeyRange> key_ranges(const PathsView& paths, int32_t key_rows) {
  std::vector<int32_t> borders = {0, key_rows};
  for (int64_t s = 0; s < paths.segment_count; ++s) {
    borders.push_back(paths.segments[s].begin);
    borders.push_back(paths.segments[s].begin + paths.segments[s].length);
  }
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  std::vector<KeyRange> ranges;
  for (size_t i = 0; i + 1 < borders.size(); ++i) {
    ranges.push_back({borders[i], borders[i + 1], {}});
  }
  for (int64_t g = 0; g < paths.group_count; ++g) {
    const QueryGroup& group = paths.groups[g];
    int32_t position = 0;
    for (int32_t s = 0; s < group.segment_count; ++s) {
      const PathSegment& segment = paths.segments[group.segment_begin + s];
      const auto at = std::lower_bound(borders.begin(), borders.end(), segment.begin);
      for (size_t i = static_cast<size_t>(at - borders.begin());
           i < ranges.size() && ranges[i].begin < segment.begin + segment.length; ++i) {
        ranges[i].seen_by.push_back({&group, position + ranges[i].begin - segment.begin});
      }
      position += segment.length;
    }
  }
  return ranges;
}

void list_keys(AttentionPlan& plan, const PathsView& paths, int32_t key_rows, int32_t share,
               int32_t height) {
  for (const KeyRange& range : key_ranges(paths, key_rows)) {
    for (int32_t begin = range.begin; begin < range.end; begin += height) {
      const auto visits = static_cast<int32_t>(plan.visits.size());
      for (const KeyRange::Sight& sight : range.seen_by) {
        const int32_t position = sight.position + begin - range.begin;
        const int32_t* rows = paths.positions + sight.group->query_begin;
        const int32_t* end = rows + sight.group->query_count;
        const int32_t* first = std::find_if(rows, end, [&](int32_t p) { return p >= position; });
        if (first == end) continue;
        plan.visits.push_back({sight.group->query_begin, static_cast<int32_t>(first - rows) * share,
                               sight.group->query_count * share, position});
      }
      plan.key_tiles.push_back({begin, std::min(height, range.end - begin), visits,
                                static_cast<int32_t>(plan.visits.size()) - visits});
    }
  }
}

int32_t share_of(const AttentionShape& shape) {
  return static_cast<int32_t>(shape.heads / shape.kv_heads);
}

}  // namespace

AttentionPlan plan_forward(const PathsView& paths, const AttentionShape& shape, Compute compute) {
  AttentionPlan plan;
  const int32_t share = share_of(shape);
  plan.few = std::all_of(
      paths.groups, paths.groups + paths.group_count,
      [&](const QueryGroup& group) { return group.query_count * share <= kAttentionRows; });
  list_queries(plan, paths, share, plan.few ? kAttentionRows : attention_tile(compute));
  return plan;
}

AttentionPlan plan_backward(const PathsView& paths, int64_t key_rows, const AttentionShape& shape,
                            Compute compute) {
  AttentionPlan plan;
  const int32_t share = share_of(shape), height = attention_tile(compute);
  list_queries(plan, paths, share, height);
  list_keys(plan, paths, static_cast<int32_t>(key_rows), share, height);
  return plan;
}

}  // namespace valora::cuda
