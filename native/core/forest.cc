// Forest: checks a packed batch and derives positions, tree borders and attention paths from it.
#include "core/forest.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace valora {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "forest: " + what);
}

std::string span_name(size_t index) { return "span " + std::to_string(index); }

// The spans from the root to `span`, root first.
std::vector<int32_t> path_of(const std::vector<Span>& spans, int32_t span) {
  std::vector<int32_t> path;
  for (; span >= 0; span = spans[span].parent) path.push_back(span);
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace

PathsView Forest::Paths::view() const {
  PathsView view;
  view.segments = segments.data();
  view.segment_count = static_cast<int64_t>(segments.size());
  view.groups = groups.data();
  view.group_count = static_cast<int64_t>(groups.size());
  view.positions = positions.data();
  view.tree_count = trees;
  view.longest = longest;
  return view;
}

PathsView Forest::all_paths() const { return all_.view(); }
PathsView Forest::target_paths() const { return targets_.view(); }

Forest::Forest(ForestInput input, int64_t vocabulary, int64_t max_positions)
    : input_(std::move(input)) {
  const std::vector<Span>& spans = input_.spans;
  if (input_.tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail(std::to_string(input_.tokens.size()) + " rows are more than 32-bit row numbers reach");
  }
  const int32_t rows = static_cast<int32_t>(input_.tokens.size());

  // Spans: in row order without gaps, parents before children, a tree's spans together.
  std::vector<int32_t> span_tree(spans.size());
  std::vector<int64_t> span_depth(spans.size());  // rows before the span on its path
  positions_.resize(rows);
  int32_t next_row = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    const Span& span = spans[s];
    if (span.begin != next_row) {
      fail(span_name(s) + " begins at row " + std::to_string(span.begin) + ", expected " +
           std::to_string(next_row));
    }
    if (span.length < 1 || span.length > rows - next_row) {
      fail(span_name(s) + " has length " + std::to_string(span.length) + ", expected 1 to " +
           std::to_string(rows - next_row) + " (the rows that remain)");
    }
    if (span.parent < -1 || span.parent >= static_cast<int64_t>(s)) {
      fail(span_name(s) + " has parent " + std::to_string(span.parent) +
           ", expected -1 or an earlier span");
    }
    if (span.parent == -1) {
      span_tree[s] = static_cast<int32_t>(tree_begins_.size());
      span_depth[s] = 0;
      tree_begins_.push_back(span.begin);
    } else {
      span_tree[s] = span_tree[span.parent];
      span_depth[s] = span_depth[span.parent] + spans[span.parent].length;
      if (span_tree[s] + 1 != static_cast<int64_t>(tree_begins_.size())) {
        fail(span_name(s) + " belongs to tree " + std::to_string(span_tree[s]) +
             ", but another tree has begun before it");
      }
    }
    const int64_t path_length = span_depth[s] + span.length;
    if (path_length > max_positions) {
      fail("the path that ends in " + span_name(s) + " has " + std::to_string(path_length) +
           " rows, the model has " + std::to_string(max_positions) + " positions");
    }
    longest_path_ = std::max(longest_path_, path_length);
    for (int32_t i = 0; i < span.length; ++i) {
      positions_[span.begin + i] = static_cast<int32_t>(span_depth[s] + i);
    }
    next_row += span.length;
  }
  if (next_row != rows) {
    fail("the spans cover " + std::to_string(next_row) + " rows, there are " +
         std::to_string(rows) + " tokens");
  }
  tree_begins_.push_back(rows);

  if (static_cast<int64_t>(input_.adapters.size()) != trees()) {
    fail(std::to_string(input_.adapters.size()) + " adapters for " + std::to_string(trees()) +
         " trees");
  }
  for (size_t b = 0; b < input_.adapters.size(); ++b) {
    if (input_.adapters[b] < 0) {
      fail("tree " + std::to_string(b) + " has adapter " + std::to_string(input_.adapters[b]) +
           ", expected 0 or a handle");
    }
  }
  for (int32_t n = 0; n < rows; ++n) {
    if (input_.tokens[n] < 0 || input_.tokens[n] >= vocabulary) {
      fail("row " + std::to_string(n) + " has token " + std::to_string(input_.tokens[n]) +
           ", the vocabulary has " + std::to_string(vocabulary));
    }
  }

  // Targets, and the rows that have them.
  int32_t last_row = 0;
  for (size_t t = 0; t < input_.targets.size(); ++t) {
    const Target& target = input_.targets[t];
    const std::string name = "target " + std::to_string(t);
    if (target.row < last_row || target.row >= rows) {
      fail(name + " is at row " + std::to_string(target.row) + ", expected " +
           std::to_string(last_row) + " to " + std::to_string(rows - 1) + " (sorted by row)");
    }
    if (target.token < 0 || target.token >= vocabulary) {
      fail(name + " has token " + std::to_string(target.token) + ", the vocabulary has " +
           std::to_string(vocabulary));
    }
    if (target_rows_.empty() || target_rows_.back() != target.row) {
      target_rows_.push_back(target.row);
    }
    target_index_.push_back(static_cast<int32_t>(target_rows_.size()) - 1);
    last_row = target.row;
  }

  // Paths: a group of queries for every span, and one for every span that has target rows.
  all_.positions = positions_;
  all_.longest = longest_path_;
  all_.trees = trees();
  targets_.trees = trees();
  size_t first_target = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    const Span& span = spans[s];
    const std::vector<int32_t> path = path_of(spans, static_cast<int32_t>(s));
    const auto add_group = [&](Paths& paths, int32_t query_begin, int32_t query_count,
                               int32_t own_length) {
      const int32_t segment_begin = static_cast<int32_t>(paths.segments.size());
      for (const int32_t p : path) paths.segments.push_back({spans[p].begin, spans[p].length});
      paths.segments.back().length = own_length;
      paths.groups.push_back({query_begin, query_count, segment_begin,
                              static_cast<int32_t>(path.size()), span_tree[s]});
    };
    add_group(all_, span.begin, span.length, span.length);

    size_t end = first_target;
    while (end < target_rows_.size() && target_rows_[end] < span.begin + span.length) {
      targets_.positions.push_back(positions_[target_rows_[end]]);
      ++end;
    }
    if (end == first_target) continue;
    // No query sees past the span's last target row, so the path ends there.
    add_group(targets_, static_cast<int32_t>(first_target),
              static_cast<int32_t>(end - first_target), target_rows_[end - 1] - span.begin + 1);
    targets_.longest = std::max<int64_t>(targets_.longest, targets_.positions.back() + 1);
    first_target = end;
  }
}

}  // namespace valora
