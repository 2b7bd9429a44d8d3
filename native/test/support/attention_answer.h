// The double-precision answers to attention_forward and attention_backward, and forests to ask them
// of.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/forest.h"
#include "support/matrix.h"

namespace valora::test {

// A forest of the given spans whose tokens are all 0, with a target at each of `target_rows`.
inline Forest make_forest(std::vector<Span> spans, const std::vector<int32_t>& target_rows = {}) {
  ForestInput input;
  int64_t rows = 0;
  for (const Span& span : spans) {
    rows += span.length;
    if (span.parent == -1) input.adapters.push_back(0);
  }
  input.tokens.assign(static_cast<size_t>(rows), 0);
  for (const int32_t row : target_rows) input.targets.push_back({row, 0});
  input.spans = std::move(spans);
  return Forest(std::move(input), 1, 1 << 20);
}

// Spans from (parent, length), one after another.
inline std::vector<Span> make_spans(const std::vector<std::pair<int32_t, int32_t>>& parts) {
  std::vector<Span> spans;
  int32_t begin = 0;
  for (const auto& [parent, length] : parts) {
    spans.push_back({parent, begin, length});
    begin += length;
  }
  return spans;
}

inline std::vector<int32_t> path_keys(const PathsView& paths, const QueryGroup& group) {
  std::vector<int32_t> keys;
  for (int32_t s = 0; s < group.segment_count; ++s) {
    const PathSegment& segment = paths.segments[group.segment_begin + s];
    for (int32_t i = 0; i < segment.length; ++i) keys.push_back(segment.begin + i);
  }
  return keys;
}

struct AttentionAnswer {
  Answer o, lse;
};

// Visits every (query row, head): visit(n, head, keys seen, probabilities, log normaliser, score
// error). The score error is how far a float32 score may be off: D products in a chain, scaled.
template <typename Visit>
void for_each_query(const Grid& q, const Grid& k, const PathsView& paths,
                    const AttentionShape& shape, const Visit& visit) {
  const int64_t width = shape.head_dim;
  const int64_t share = shape.heads / shape.kv_heads;
  for (int64_t g = 0; g < paths.group_count; ++g) {
    const QueryGroup& group = paths.groups[g];
    const std::vector<int32_t> path = path_keys(paths, group);
    for (int32_t n = group.query_begin; n < group.query_begin + group.query_count; ++n) {
      const std::vector<int32_t> keys(path.begin(), path.begin() + paths.positions[n] + 1);
      for (int64_t head = 0; head < shape.heads; ++head) {
        std::vector<double> p(keys.size());
        double largest = -INFINITY, error = 0;
        for (size_t j = 0; j < keys.size(); ++j) {
          double sum = 0, size = 0;
          for (int64_t d = 0; d < width; ++d) {
            const double term = q.at(n, head * width + d) * k.at(keys[j], head / share * width + d);
            sum += term;
            size += std::abs(term);
          }
          p[j] = shape.scale * sum;
          largest = std::max(largest, p[j]);
          error = std::max(error, (width + 6) * kRoundoff * shape.scale * size);
        }
        double total = 0;
        for (const double score : p) total += std::exp(score - largest);
        const double lse = largest + std::log(total);
        for (double& score : p) score = std::exp(score - lse);
        visit(n, head, keys, p, lse, error);
      }
    }
  }
}

// A probability is off by the error of two scores, a few roundings of exp, and a chain of sums.
inline double probability_error(double score_error, double lse, size_t keys) {
  return 2 * score_error + (static_cast<double>(keys) + 24 + 4 * std::abs(lse)) * kRoundoff;
}

inline AttentionAnswer attention_forward_answer(const Grid& q, const Grid& k, const Grid& v,
                                                const PathsView& paths,
                                                const AttentionShape& shape) {
  AttentionAnswer answer{Answer(q.rows, q.cols), Answer(q.rows, shape.heads)};
  const int64_t width = shape.head_dim;
  const int64_t share = shape.heads / shape.kv_heads;
  for_each_query(q, k, paths, shape,
                 [&](int32_t n, int64_t head, const std::vector<int32_t>& keys,
                     const std::vector<double>& p, double lse, double score_error) {
                   const double relative = probability_error(score_error, lse, keys.size());
                   answer.lse.value.at(n, head) = lse;
                   answer.lse.bound.at(n, head) = relative;
                   for (int64_t d = 0; d < width; ++d) {
                     double sum = 0, size = 0;
                     for (size_t j = 0; j < keys.size(); ++j) {
                       const double term = p[j] * v.at(keys[j], head / share * width + d);
                       sum += term;
                       size += std::abs(term);
                     }
                     answer.o.value.at(n, head * width + d) = sum;
                     answer.o.bound.at(n, head * width + d) = 2 * relative * size;
                   }
                 });
  return answer;
}

struct AttentionGradients {
  Answer dq, dk, dv;
};

inline AttentionGradients attention_backward_answer(const Grid& d_o, const Grid& q, const Grid& k,
                                                    const Grid& v, const PathsView& paths,
                                                    const AttentionShape& shape) {
  AttentionGradients answer{Answer(q.rows, q.cols), Answer(k.rows, k.cols), Answer(k.rows, k.cols)};
  const int64_t width = shape.head_dim;
  const int64_t share = shape.heads / shape.kv_heads;
  const Grid o = attention_forward_answer(q, k, v, paths, shape).o.value;
  for_each_query(
      q, k, paths, shape,
      [&](int32_t n, int64_t head, const std::vector<int32_t>& keys, const std::vector<double>& p,
          double lse, double score_error) {
        // Sums over queries may be as long as the batch times the heads that share the key.
        const double relative = probability_error(score_error, lse, keys.size()) +
                                (2 * width + q.rows * share + 16) * kRoundoff;
        const int64_t own = head * width;
        const int64_t shared = head / share * width;
        double delta = 0, delta_size = 0;
        for (int64_t d = 0; d < width; ++d) {
          delta += d_o.at(n, own + d) * o.at(n, own + d);
          delta_size += std::abs(d_o.at(n, own + d) * o.at(n, own + d));
        }
        for (size_t j = 0; j < keys.size(); ++j) {
          double dp = 0, dp_size = 0;
          for (int64_t d = 0; d < width; ++d) {
            dp += d_o.at(n, own + d) * v.at(keys[j], shared + d);
            dp_size += std::abs(d_o.at(n, own + d) * v.at(keys[j], shared + d));
          }
          const double ds = shape.scale * p[j] * (dp - delta);
          const double ds_error = 2 * relative * shape.scale * p[j] * (dp_size + delta_size);
          for (int64_t d = 0; d < width; ++d) {
            const double key = k.at(keys[j], shared + d);
            const double query = q.at(n, own + d);
            const double gradient = d_o.at(n, own + d);
            answer.dq.value.at(n, own + d) += ds * key;
            answer.dq.bound.at(n, own + d) += ds_error * std::abs(key);
            answer.dk.value.at(keys[j], shared + d) += ds * query;
            answer.dk.bound.at(keys[j], shared + d) += ds_error * std::abs(query);
            answer.dv.value.at(keys[j], shared + d) += p[j] * gradient;
            answer.dv.bound.at(keys[j], shared + d) += 2 * relative * p[j] * std::abs(gradient);
          }
        }
      });
  return answer;
}

// Inputs of one attention, and what an op made of them.
struct AttentionRun {
  Matrix q, k, v, d_o;
  Matrix o, lse, dq, dk, dv;

  AttentionRun() = default;
  AttentionRun(Random& random, int64_t queries, int64_t keys, const AttentionShape& s)
      : q(Matrix::random(random, queries, s.heads * s.head_dim, 2)),
        k(Matrix::random(random, keys, s.kv_heads * s.head_dim, 2)),
        v(Matrix::random(random, keys, s.kv_heads * s.head_dim)),
        d_o(Matrix::random(random, queries, s.heads * s.head_dim)) {}

  void run(const PathsView& paths, const AttentionShape& s, const Context& context) {
    o = Matrix(q.rows(), q.cols());
    lse = Matrix(q.rows(), s.heads);
    dq = Matrix(q.rows(), q.cols());
    dk = Matrix(k.rows(), k.cols());
    dv = Matrix(k.rows(), k.cols());
    ops::attention_forward(o.view(), lse.view(), q.view(), k.view(), v.view(), paths, s, context);
    ops::attention_backward(dq.view(), dk.view(), dv.view(), d_o.view(), o.view(), lse.view(),
                            q.view(), k.view(), v.view(), paths, s, context);
  }
};

inline AttentionShape attention_shape(int64_t heads, int64_t kv_heads, int64_t head_dim) {
  return {heads, kv_heads, head_dim,
          static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)))};
}

}  // namespace valora::test
