// The summation rule (ops.h) in scalar code: what each operation of the CPU backend is, to the bit,
// with nothing left to an instruction set, a tile or a thread. Fused products are std::fmaf, and no
// product is fused that is not written so (-ffp-contract=off).
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "core/scalar_math.h"
#include "support/attention_answer.h"
#include "support/matrix.h"

namespace valora::test::rule {

// acc <- fma(left(k), right(k), acc) for k ascending from 0.
template <typename Left, typename Right>
float chain(int64_t count, const Left& left, const Right& right, float acc = 0) {
  for (int64_t k = 0; k < count; ++k) acc = std::fmaf(left(k), right(k), acc);
  return acc;
}

// Lane l += lane l + half, for half = 8, 4, 2, 1.
template <typename T>
T fold(T* lanes) {
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// The chain of each sixteenth product, folded.
template <typename Left, typename Right>
float lane_chain(int64_t count, const Left& left, const Right& right) {
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) {
    lanes[i % kLanes] = std::fmaf(left(i), right(i), lanes[i % kLanes]);
  }
  return fold(lanes);
}

// 1 / sqrt(mean(x^2) + eps) of x(0) .. x(width - 1).
template <typename X>
float inverse_rms(int64_t width, float eps, const X& x) {
  return 1.0f / std::sqrt(lane_chain(width, x, x) / static_cast<float>(width) + eps);
}

inline Matrix rmsnorm_forward(const Matrix& x, const Matrix& w, float eps) {
  Matrix y(x.rows(), x.cols());
  const int64_t width = w.cols();
  for (int64_t n = 0; n < x.rows(); ++n) {
    for (int64_t begin = 0; begin < x.cols(); begin += width) {
      const auto at = [&](int64_t i) { return x.at(n, begin + i); };
      const float r = inverse_rms(width, eps, at);
      for (int64_t i = 0; i < width; ++i) y.at(n, begin + i) = at(i) * r * w.at(0, i);
    }
  }
  return y;
}

// Added to `dx`.
inline void rmsnorm_backward(Matrix* dx, const Matrix& dy, const Matrix& x, const Matrix& w,
                             float eps) {
  const int64_t width = w.cols();
  for (int64_t n = 0; n < x.rows(); ++n) {
    for (int64_t begin = 0; begin < x.cols(); begin += width) {
      const auto at = [&](int64_t i) { return x.at(n, begin + i); };
      const auto weighted = [&](int64_t i) { return w.at(0, i) * dy.at(n, begin + i); };
      const float r = inverse_rms(width, eps, at);
      const float pull = lane_chain(width, weighted, at) * r * r * r / static_cast<float>(width);
      for (int64_t i = 0; i < width; ++i) {
        dx->at(n, begin + i) += r * weighted(i) - at(i) * pull;
      }
    }
  }
}

inline float swiglu(float gate, float up) { return silu_scalar(gate) * up; }

inline void swiglu_backward(float d, float gate, float up, float* dgate, float* dup) {
  const float s = 1.0f / (1.0f + exp_scalar(-gate));
  *dgate = d * up * (s * std::fmaf(gate, 1.0f - s, 1.0f));
  *dup = d * (gate * s);
}

// A pair of halves (a, b), turned.
inline void rope(float* a, float* b, float cosine, float sine) {
  const float first = *a * cosine - *b * sine;
  *b = *b * cosine + *a * sine;
  *a = first;
}

inline void adamw(float* p, float* m, float* v, float gradient, const AdamwParameters& options) {
  const double step = static_cast<double>(options.step);
  const double rate = options.learning_rate, beta1 = options.beta1, beta2 = options.beta2;
  const float step_size = static_cast<float>(rate / (1 - std::pow(beta1, step)));
  const float correction = static_cast<float>(std::sqrt(1 - std::pow(beta2, step)));
  const float keep = static_cast<float>(1 - rate * options.weight_decay);
  const float g = gradient * options.gradient_scale;
  *m = std::fmaf(options.beta1, *m, static_cast<float>(1 - beta1) * g);
  *v = std::fmaf(options.beta2, *v, static_cast<float>(1 - beta2) * g * g);
  *p = *p * keep - step_size * (*m / (std::sqrt(*v) / correction + options.epsilon));
}

inline double sum_of_squares(const Matrix& x) {
  double lanes[kLanes] = {};
  for (int64_t n = 0; n < x.rows(); ++n) {
    for (int64_t i = 0; i < x.cols(); ++i) {
      lanes[i % kLanes] += static_cast<double>(x.at(n, i)) * static_cast<double>(x.at(n, i));
    }
  }
  return fold(lanes);
}

// What a row's softmax knows after some part of its numbers.
template <typename Total>
struct Running {
  float largest = -std::numeric_limits<float>::infinity();
  float rescale = 0;  // what the last part made of earlier terms
  Total total = 0;
};

// A query's block of scores, at most kAttentionBlock, become exp(score - largest).
inline void take_in_block(Running<float>* row, std::vector<float>* scores) {
  float largest = row->largest;
  for (const float score : *scores) largest = std::max(largest, score);
  row->rescale = exp_scalar(row->largest - largest);
  row->largest = largest;
  float lanes[kLanes] = {};
  for (size_t j = 0; j < scores->size(); ++j) {
    (*scores)[j] = exp_scalar((*scores)[j] - largest);
    lanes[j % kLanes] += (*scores)[j];
  }
  row->total = std::fmaf(row->total, row->rescale, fold(lanes));
}

// `run`'s o, lse and gradients from its inputs.
inline void attention(AttentionRun* run, const PathsView& paths, const AttentionShape& shape) {
  const int64_t width = shape.head_dim;
  const int64_t share = shape.heads / shape.kv_heads;
  run->o = Matrix(run->q.rows(), run->q.cols());
  run->lse = Matrix(run->q.rows(), shape.heads);
  run->dq = Matrix(run->q.rows(), run->q.cols());
  run->dk = Matrix(run->k.rows(), run->k.cols());
  run->dv = Matrix(run->k.rows(), run->k.cols());
  run->dk.fill(0);
  run->dv.fill(0);
  for (int64_t g = 0; g < paths.group_count; ++g) {
    const QueryGroup& group = paths.groups[g];
    const std::vector<int32_t> keys = path_keys(paths, group);
    for (int32_t n = group.query_begin; n < group.query_begin + group.query_count; ++n) {
      const int64_t seen = paths.positions[n] + 1;
      for (int64_t head = 0; head < shape.heads; ++head) {
        const int64_t own = head * width, shared = head / share * width;
        const auto dot = [&](const Matrix& rows, const Matrix& matrix, int64_t key) {
          return chain(
              width, [&](int64_t d) { return rows.at(n, own + d); },
              [&](int64_t d) { return matrix.at(keys[key], shared + d); });
        };
        Running<float> softmax;
        std::vector<float> o(width, 0.0f);
        for (int64_t begin = 0; begin < seen; begin += kAttentionBlock) {
          std::vector<float> p;
          for (int64_t j = begin; j < std::min(seen, begin + kAttentionBlock); ++j) {
            p.push_back(dot(run->q, run->k, j) * shape.scale);
          }
          take_in_block(&softmax, &p);
          for (int64_t d = 0; d < width; ++d) {
            o[d] = chain(
                p.size(), [&](int64_t j) { return p[j]; },
                [&](int64_t j) { return run->v.at(keys[begin + j], shared + d); },
                o[d] * softmax.rescale);
          }
        }
        for (int64_t d = 0; d < width; ++d) {
          run->o.at(n, own + d) = o[d] / softmax.total + 0.0f;
          run->dq.at(n, own + d) = 0;
        }
        const float lse = static_cast<float>(static_cast<double>(softmax.largest) +
                                             std::log(static_cast<double>(softmax.total)));
        run->lse.at(n, head) = lse;

        const auto gradient = [&](int64_t d) { return run->d_o.at(n, own + d); };
        const float delta =
            lane_chain(width, gradient, [&](int64_t d) { return run->o.at(n, own + d); });
        for (int64_t j = 0; j < seen; ++j) {
          const float p = exp_scalar(dot(run->q, run->k, j) * shape.scale - lse);
          const float ds = p * (dot(run->d_o, run->v, j) - delta) * shape.scale;
          for (int64_t d = 0; d < width; ++d) {
            const int64_t key = keys[j];
            float& dq = run->dq.at(n, own + d);
            float& dk = run->dk.at(key, shared + d);
            float& dv = run->dv.at(key, shared + d);
            dq = std::fmaf(ds, run->k.at(key, shared + d), dq);
            dk = std::fmaf(ds, run->q.at(n, own + d), dk);
            dv = std::fmaf(p, gradient(d), dv);
          }
        }
        for (int64_t d = 0; d < width; ++d) run->dq.at(n, own + d) += 0.0f;
      }
    }
  }
}

// Of one row of the head: its logits, normaliser, arg max and expectation of W.
struct HeadRow {
  std::vector<float> logits;
  double normaliser;
  int32_t argmax = 0;
  std::vector<float> expected;
};

inline HeadRow head_row(const Matrix& x, int64_t n, const Matrix& w) {
  HeadRow row;
  Running<double> softmax;
  row.expected.assign(static_cast<size_t>(w.cols()), 0.0f);
  for (int64_t begin = 0; begin < w.rows(); begin += kHeadChunk) {
    const int64_t count = std::min<int64_t>(kHeadChunk, w.rows() - begin);
    float largest = softmax.largest;
    for (int64_t o = begin; o < begin + count; ++o) {
      row.logits.push_back(chain(
          w.cols(), [&](int64_t c) { return x.at(n, c); }, [&](int64_t c) { return w.at(o, c); }));
      if (row.logits[o] > largest) {
        largest = row.logits[o];
        row.argmax = static_cast<int32_t>(o);
      }
    }
    softmax.rescale = exp_scalar(softmax.largest - largest);
    softmax.largest = largest;
    std::vector<float> weights;
    double lanes[kLanes] = {};
    for (int64_t j = 0; j < count; ++j) {
      weights.push_back(exp_scalar(row.logits[begin + j] - largest));
      lanes[j % kLanes] += static_cast<double>(weights[j]);
    }
    softmax.total = softmax.total * static_cast<double>(softmax.rescale) + fold(lanes);
    for (int64_t c = 0; c < w.cols(); ++c) {
      const float sum = chain(
          count, [&](int64_t j) { return weights[j]; },
          [&](int64_t j) { return w.at(begin + j, c); });
      row.expected[c] = std::fmaf(row.expected[c], softmax.rescale, sum);
    }
  }
  for (float& value : row.expected) value /= static_cast<float>(softmax.total);
  row.normaliser = static_cast<double>(softmax.largest) + std::log(softmax.total);
  return row;
}

}  // namespace valora::test::rule
