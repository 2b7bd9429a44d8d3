// attention: softmax over the keys of a query's path, and its gradients. A group's keys are listed
// once by walking its segments; after that a path is an ordinary causal sequence.
#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/reference.h"

namespace valora::reference {

namespace {

// The key row at each position of the group's path.
std::vector<int32_t> key_rows(const PathsView& paths, const QueryGroup& group) {
  std::vector<int32_t> rows;
  for (int32_t s = 0; s < group.segment_count; ++s) {
    const PathSegment& segment = paths.segments[group.segment_begin + s];
    for (int32_t i = 0; i < segment.length; ++i) rows.push_back(segment.begin + i);
  }
  return rows;
}

double dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace

void attention_forward(View o, View lse, View q, View k, View v, const PathsView& paths,
                       const AttentionShape& shape, const Scratch&, const Context& context) {
  const int64_t width = shape.head_dim;
  const int64_t share = shape.heads / shape.kv_heads;
  parallel_for(context, paths.group_count * shape.heads, [&](int64_t index, int) {
    const QueryGroup& group = paths.groups[index / shape.heads];
    const int64_t head = index % shape.heads;
    const int64_t key_begin = head / share * width;
    const std::vector<int32_t> keys = key_rows(paths, group);
    std::vector<double> weights(keys.size());
    std::vector<double> sums(width);
    for (int32_t n = group.query_begin; n < group.query_begin + group.query_count; ++n) {
      const int64_t seen = paths.positions[n] + 1;
      const float* query = q.row(n) + head * width;
      double largest = -INFINITY;
      for (int64_t p = 0; p < seen; ++p) {
        weights[p] = shape.scale * dot(query, k.row(keys[p]) + key_begin, width);
        largest = std::max(largest, weights[p]);
      }
      double total = 0;
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int64_t p = 0; p < seen; ++p) {
        const double weight = std::exp(weights[p] - largest);
        total += weight;
        const float* value = v.row(keys[p]) + key_begin;
        for (int64_t d = 0; d < width; ++d) sums[d] += weight * value[d];
      }
      for (int64_t d = 0; d < width; ++d) {
        o.row(n)[head * width + d] = static_cast<float>(sums[d] / total);
      }
      lse.row(n)[head] = static_cast<float>(largest + std::log(total));
    }
  });
}

// With p = exp(scale q k^T - lse), dp = dO v^T and ds = p (dp - sum(dO o)):
// dv = p^T dO, dq = scale ds k, dk = scale ds^T q. The query heads of a key/value head add up in
// dk, dv.
void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const PathsView& paths, const AttentionShape& shape, const Scratch&,
                        const Context& context) {
  const int64_t width = shape.head_dim;
  const int64_t share = shape.heads / shape.kv_heads;
  parallel_for(context, shape.kv_heads, [&](int64_t kv_head, int) {
    const int64_t key_begin = kv_head * width;
    std::vector<double> dk_sums(k.rows * width, 0.0);
    std::vector<double> dv_sums(k.rows * width, 0.0);
    std::vector<double> dq_sums(width);
    for (int64_t g = 0; g < paths.group_count; ++g) {
      const QueryGroup& group = paths.groups[g];
      const std::vector<int32_t> keys = key_rows(paths, group);
      for (int32_t n = group.query_begin; n < group.query_begin + group.query_count; ++n) {
        for (int64_t head = kv_head * share; head < (kv_head + 1) * share; ++head) {
          const float* query = q.row(n) + head * width;
          const float* gradient = d_o.row(n) + head * width;
          const double delta = dot(gradient, o.row(n) + head * width, width);
          std::fill(dq_sums.begin(), dq_sums.end(), 0.0);
          for (int64_t p = 0; p <= paths.positions[n]; ++p) {
            const float* key = k.row(keys[p]) + key_begin;
            const float* value = v.row(keys[p]) + key_begin;
            const double weight = std::exp(shape.scale * dot(query, key, width) - lse.row(n)[head]);
            const double ds = shape.scale * weight * (dot(gradient, value, width) - delta);
            double* dk_row = &dk_sums[keys[p] * width];
            double* dv_row = &dv_sums[keys[p] * width];
            for (int64_t d = 0; d < width; ++d) {
              dv_row[d] += weight * gradient[d];
              dk_row[d] += ds * query[d];
              dq_sums[d] += ds * key[d];
            }
          }
          for (int64_t d = 0; d < width; ++d) {
            dq.row(n)[head * width + d] = static_cast<float>(dq_sums[d]);
          }
        }
      }
    }
    for (int64_t m = 0; m < k.rows; ++m) {
      for (int64_t d = 0; d < width; ++d) {
        dk.row(m)[key_begin + d] = static_cast<float>(dk_sums[m * width + d]);
        dv.row(m)[key_begin + d] = static_cast<float>(dv_sums[m * width + d]);
      }
    }
  });
}

}  // namespace valora::reference
