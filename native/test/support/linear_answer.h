// The double-precision answers to linear_forward and linear_backward, with bounds from the chain
// rule of ops.h: a float32 chain of n products is off by at most n u of the sum of its terms'
// sizes.
#pragma once

#include <cmath>
#include <vector>

#include "support/matrix.h"

namespace valora::test {

// LoRA terms that own their matrices.
struct Adapters {
  struct Group {
    int64_t begin;
    int64_t count;
    Matrix a;  // [R, I]
    Matrix b;  // [O, R]
    float scale;
  };
  std::vector<Group> groups;
  std::vector<LoraRows> rows;

  void add(Random& random, int64_t begin, int64_t count, int64_t rank, int64_t outputs,
           int64_t inputs) {
    groups.push_back({begin, count, Matrix::random(random, rank, inputs),
                      Matrix::random(random, outputs, rank), random.number(2)});
  }
  int64_t max_rank() const {
    int64_t rank = 0;
    for (const Group& group : groups) rank = std::max(rank, group.a.rows());
    return rank;
  }
  LoraView view() {
    rows.clear();
    for (Group& g : groups) rows.push_back({g.begin, g.count, g.a.view(), g.b.view(), g.scale});
    return {rows.data(), static_cast<int64_t>(rows.size()), max_rank()};
  }
};

struct LinearAnswer {
  Answer out;  // y or dx
  Answer low;  // t or dt
};

// y = x w^T + bias + scale (x a^T) b^T; bias may be empty.
inline LinearAnswer linear_forward_answer(const Grid& x, const Matrix& w, const Matrix& bias,
                                          const Adapters& adapters) {
  const int64_t inputs = w.cols();
  const int64_t outputs = w.rows();
  LinearAnswer answer{Answer(x.rows, outputs), Answer(x.rows, adapters.max_rank())};
  for (int64_t n = 0; n < x.rows; ++n) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0, size = 0;
      for (int64_t i = 0; i < inputs; ++i) {
        const double term = x.at(n, i) * w.at(o, i);
        sum += term;
        size += std::abs(term);
      }
      const double extra = bias.rows() == 0 ? 0.0 : bias.at(0, o);
      answer.out.value.at(n, o) = sum + extra;
      answer.out.bound.at(n, o) = (inputs + 4) * kRoundoff * size + 4 * kRoundoff * std::abs(extra);
    }
  }
  for (const Adapters::Group& group : adapters.groups) {
    const int64_t rank = group.a.rows();
    for (int64_t n = group.begin; n < group.begin + group.count; ++n) {
      std::vector<double> sizes(rank, 0.0);
      for (int64_t r = 0; r < rank; ++r) {
        double sum = 0;
        for (int64_t i = 0; i < inputs; ++i) {
          sum += x.at(n, i) * group.a.at(r, i);
          sizes[r] += std::abs(x.at(n, i) * group.a.at(r, i));
        }
        answer.low.value.at(n, r) = sum;
        answer.low.bound.at(n, r) = (inputs + 2) * kRoundoff * sizes[r];
      }
      for (int64_t o = 0; o < outputs; ++o) {
        double sum = 0, size = 0;
        for (int64_t r = 0; r < rank; ++r) {
          sum += answer.low.value.at(n, r) * group.b.at(o, r);
          size += sizes[r] * std::abs(group.b.at(o, r));
        }
        answer.out.value.at(n, o) += group.scale * sum;
        answer.out.bound.at(n, o) += (inputs + rank + 8) * kRoundoff * std::abs(group.scale) * size;
      }
    }
  }
  return answer;
}

// dx = before + dy w + dt a with dt = scale dy b; before may be empty.
inline LinearAnswer linear_backward_answer(const Matrix& before, const Grid& dy, const Matrix& w,
                                           const Adapters& adapters) {
  const int64_t inputs = w.cols();
  const int64_t outputs = w.rows();
  LinearAnswer answer{Answer(dy.rows, inputs), Answer(dy.rows, adapters.max_rank())};
  for (int64_t n = 0; n < dy.rows; ++n) {
    for (int64_t i = 0; i < inputs; ++i) {
      double sum = 0, size = 0;
      for (int64_t o = 0; o < outputs; ++o) {
        sum += dy.at(n, o) * w.at(o, i);
        size += std::abs(dy.at(n, o) * w.at(o, i));
      }
      const double was = before.rows() == 0 ? 0.0 : before.at(n, i);
      answer.out.value.at(n, i) = was + sum;
      answer.out.bound.at(n, i) = (outputs + 4) * kRoundoff * size + 4 * kRoundoff * std::abs(was);
    }
  }
  for (const Adapters::Group& group : adapters.groups) {
    const int64_t rank = group.a.rows();
    for (int64_t n = group.begin; n < group.begin + group.count; ++n) {
      for (int64_t r = 0; r < rank; ++r) {
        double sum = 0, size = 0;
        for (int64_t o = 0; o < outputs; ++o) {
          sum += group.scale * dy.at(n, o) * group.b.at(o, r);
          size += std::abs(group.scale * dy.at(n, o) * group.b.at(o, r));
        }
        answer.low.value.at(n, r) = sum;
        answer.low.bound.at(n, r) = (outputs + 4) * kRoundoff * size;
        for (int64_t i = 0; i < inputs; ++i) {
          answer.out.value.at(n, i) += sum * group.a.at(r, i);
          answer.out.bound.at(n, i) +=
              (outputs + rank + 8) * kRoundoff * size * std::abs(group.a.at(r, i));
        }
      }
    }
  }
  return answer;
}

}  // namespace valora::test
