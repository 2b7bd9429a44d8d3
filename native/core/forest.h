// Forest: the packed batch every job runs on. N rows without padding; a span is `length` rows that
// hang from the end of their parent span; a root has parent -1 and starts a tree; a tree has one
// adapter (0 = the base model). A row attends to its own span up to itself and to every row of its
// ancestor spans; its position is the number of rows before it on that path. A target is
// (row, token): wanted is log p(token | everything the row sees).
#pragma once

#include <cstdint>
#include <vector>

#include "core/ops.h"

namespace valora {

struct Span {
  int32_t parent;  // index of an earlier span, or -1
  int32_t begin;   // first row
  int32_t length;  // rows, >= 1
};

struct Target {
  int32_t row;
  int32_t token;
};

struct ForestInput {
  std::vector<int32_t> tokens;    // [N]
  std::vector<Span> spans;        // in row order, covering [0, N); a tree's spans lie together
  std::vector<int32_t> adapters;  // [B] one a tree: 0 = base, else an adapter's handle
  std::vector<Target> targets;    // sorted by row
};

// A checked forest and all that follows from it.
class Forest {
 public:
  // Throws Error{kInvalidArgument} on any breach of the rules above, on a token outside [0, V) and
  // on a path longer than `max_positions`.
  Forest(ForestInput input, int64_t vocabulary, int64_t max_positions);

  int64_t rows() const { return static_cast<int64_t>(input_.tokens.size()); }
  int64_t trees() const { return static_cast<int64_t>(tree_begins_.size()) - 1; }
  int64_t longest_path() const { return longest_path_; }

  const std::vector<int32_t>& tokens() const { return input_.tokens; }
  const std::vector<Span>& spans() const { return input_.spans; }
  const std::vector<int32_t>& adapters() const { return input_.adapters; }
  const std::vector<Target>& targets() const { return input_.targets; }
  const std::vector<int32_t>& positions() const { return positions_; }      // [N]
  const std::vector<int32_t>& tree_begins() const { return tree_begins_; }  // [B+1] rows
  // The distinct rows that have targets, ascending, and for each target its index among them.
  const std::vector<int32_t>& target_rows() const { return target_rows_; }
  const std::vector<int32_t>& target_index() const { return target_index_; }

  // Attention paths with every row a query, keys in batch rows; and with only the target rows as
  // queries (query rows then count through target_rows()).
  PathsView all_paths() const;
  PathsView target_paths() const;

 private:
  struct Paths {
    std::vector<PathSegment> segments;
    std::vector<QueryGroup> groups;
    std::vector<int32_t> positions;
    int64_t trees = 0;
    int64_t longest = 0;
    PathsView view() const;
  };

  ForestInput input_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> tree_begins_;
  std::vector<int32_t> target_rows_;
  std::vector<int32_t> target_index_;
  int64_t longest_path_ = 0;
  Paths all_;
  Paths targets_;
};

}  // namespace valora
