// Operations over fixed inputs, and every byte of what came out: what instruction sets, numbers of
// threads and machines are compared by.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "support/attention_answer.h"
#include "support/linear_answer.h"
#include "support/matrix.h"
#include "support/weights.h"

namespace valora::test {

// Everything an operation wrote, byte after byte.
class Outcome {
 public:
  void add(const Matrix& m) {
    for (int64_t i = 0; i < m.rows(); ++i) {
      for (int64_t j = 0; j < m.cols(); ++j) add_bytes(m.at(i, j));
    }
  }
  template <typename T>
  void add(const std::vector<T>& values) {
    for (const T& value : values) add_bytes(value);
  }
  template <typename T>
  void add_bytes(T value) {
    uint8_t bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof(T));
  }
  bool operator==(const Outcome& other) const { return bytes_ == other.bytes_; }
  // FNV-1a (Fowler, Noll & Vo).
  uint64_t digest() const {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const uint8_t byte : bytes_) hash = (hash ^ byte) * 0x100000001b3u;
    return hash;
  }

 private:
  std::vector<uint8_t> bytes_;
};

inline constexpr Compute kComputes[] = {Compute::kFloat32, Compute::kBf16};
inline std::string name_of(Compute compute) { return compute == Compute::kBf16 ? " in bf16" : ""; }

struct Scenario {
  std::string name;
  std::function<Outcome(const Ops&, int threads)> run;
};

inline Outcome run_linear(const Ops& ops, int threads, Compute compute, Dtype dtype, int64_t rows,
                          int64_t outputs, int64_t inputs) {
  Random random(41);
  const Machine machine(ops, threads, compute);
  const StoredWeight w = random_weight(random, dtype, outputs, inputs);
  const std::unique_ptr<Weight> weight = w.upload(ops);
  Adapters adapters;
  adapters.add(random, 0, (rows + 1) / 2, 5, outputs, inputs);
  adapters.add(random, (rows + 1) / 2, rows / 2, 16, outputs, inputs);
  const Matrix x = Matrix::random(random, rows, inputs), dy = Matrix::random(random, rows, outputs);
  const Matrix bias = Matrix::random(random, 1, outputs);
  Matrix y(rows, outputs), t(rows, 16), dx = Matrix::random(random, rows, inputs), dt(rows, 16);
  Matrix da = Matrix::random(random, 5, inputs), db = Matrix::random(random, outputs, 5);
  ops::linear_forward(y.view(), t.view(), x.view(), *weight, bias.view(), adapters.view(), machine);
  ops::linear_backward(dx.view(), dt.view(), dy.view(), *weight, adapters.view(), Write::kAdd,
                       machine);
  const RowRange trees[] = {{0, rows / 3}, {rows / 3, rows - rows / 3}};
  ops::lora_gradient(da.view(), db.view(), dy.view(), x.view(), t.view(), dt.view(), 1.7f, trees, 2,
                     machine);
  Outcome outcome;
  for (const Matrix* m : {&y, &t, &dx, &dt, &da, &db}) outcome.add(*m);
  return outcome;
}

inline Outcome run_attention(const Ops& ops, int threads, const AttentionShape& shape) {
  Random random(42);
  const Machine machine(ops, threads);
  const Forest forest =
      make_forest(make_spans({{-1, 67}, {0, 5}, {0, 64}, {2, 1}, {-1, 3}, {-1, 130}, {5, 9}}),
                  {3, 70, 71, 150, 200});
  AttentionRun all(random, forest.rows(), forest.rows(), shape);
  all.run(forest.all_paths(), shape, machine);
  AttentionRun some(random, 5, forest.rows(), shape);
  some.run(forest.target_paths(), shape, machine);
  Outcome outcome;
  for (const AttentionRun* run : {&all, &some}) {
    for (const Matrix* m : {&run->o, &run->lse, &run->dq, &run->dk, &run->dv}) outcome.add(*m);
  }
  return outcome;
}

inline Outcome run_head(const Ops& ops, int threads, Compute compute, int64_t rows,
                        int64_t vocabulary) {
  Random random(43);
  const Machine machine(ops, threads, compute);
  const int64_t channels = 96;
  const StoredWeight w = random_weight(random, Dtype::kQ8_0, vocabulary, channels);
  const std::unique_ptr<Weight> weight = w.upload(ops);
  const Matrix x = Matrix::random(random, rows, channels);
  std::vector<HeadTarget> targets;
  std::vector<float> coefficients, uniform;
  for (int32_t n = 0; n < rows; ++n) {
    targets.push_back({n, static_cast<int32_t>(random.below(vocabulary))});
    targets.push_back({n, static_cast<int32_t>(random.below(vocabulary))});
    coefficients.push_back(random.number());
    coefficients.push_back(random.number());
    uniform.push_back(random.unit());
  }
  std::vector<double> normaliser(rows), logprobs(rows);
  std::vector<int32_t> argmax(rows), tokens(rows);
  std::vector<float> logit(targets.size());
  Matrix expected(rows, channels), dx(rows, channels);
  ops::head_forward({normaliser.data(), argmax.data(), logit.data()}, expected.view(), x.view(),
                    *weight, targets.data(), targets.size(), machine);
  ops::head_backward(dx.view(), expected.view(), *weight, targets.data(), coefficients.data(),
                     targets.size(), machine);
  Outcome outcome;
  outcome.add(normaliser);
  outcome.add(argmax);
  outcome.add(logit);
  outcome.add(expected);
  outcome.add(dx);
  for (const SampleParameters& parameters :
       {SampleParameters{0, 0, 1}, SampleParameters{0.9f, 0, 1},
        SampleParameters{1.1f, 40, 0.9f}}) {
    ops::sample(tokens.data(), logprobs.data(), x.view(), *weight, parameters, uniform.data(),
                machine);
    outcome.add(tokens);
    outcome.add(logprobs);
  }
  return outcome;
}

inline Outcome run_rows(const Ops& ops, int threads) {
  Random random(44);
  const Machine machine(ops, threads);
  Outcome outcome;
  for (const int64_t width : {1, 24, 67, 576}) {
    const int64_t rows = 7, cols = 2 * width;
    const Matrix x = Matrix::random(random, rows, cols, 3), dy = Matrix::random(random, rows, cols);
    const Matrix w = Matrix::random(random, 1, width), u = Matrix::random(random, rows, cols, 90);
    Matrix y(rows, cols), dx = Matrix::random(random, rows, cols);
    ops::rmsnorm_forward(y.view(), x.view(), w.view(), 1e-5f, machine);
    ops::rmsnorm_backward(dx.view(), dy.view(), x.view(), w.view(), 1e-5f, Write::kAdd, machine);
    Matrix h(rows, cols), dgate(rows, cols), dup(rows, cols);
    ops::swiglu_forward(h.view(), u.view(), x.view(), machine);
    ops::swiglu_backward(dgate.view(), dup.view(), dy.view(), u.view(), x.view(), machine);
    const Matrix table = Matrix::random(random, 5, cols);
    const std::vector<int32_t> positions = {4, 0, 1, 1, 2, 3, 4};
    Matrix rotated = x;
    ops::rope(rotated.view(), table.view(), positions.data(), cols, 1, machine);
    Matrix p = x, m = dy, v = u, sum = x;
    for (int64_t n = 0; n < rows; ++n) {
      for (int64_t i = 0; i < cols; ++i) v.at(n, i) = std::abs(v.at(n, i));
    }
    ops::adamw(p.view(), m.view(), v.view(), dx.view(),
               {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.3f, 17}, machine);
    ops::add(sum.view(), dy.view(), machine);
    for (const Matrix* result : {&y, &dx, &h, &dgate, &dup, &rotated, &p, &m, &v, &sum}) {
      outcome.add(*result);
    }
    outcome.add_bytes(ops::sum_of_squares(x.view(), machine));
  }
  return outcome;
}

inline std::vector<Scenario> scenarios() {
  std::vector<Scenario> list;
  for (const Dtype dtype : kAllDtypes) {
    const int64_t inputs =
        dtype_info(dtype).block_size == 1 ? 131 : 3 * dtype_info(dtype).block_size;
    for (const int64_t rows : {1, 21}) {
      for (const Compute compute : kComputes) {
        list.push_back({std::string("linear ") + dtype_info(dtype).name + " " +
                            std::to_string(rows) + name_of(compute),
                        [=](const Ops& ops, int threads) {
                          return run_linear(ops, threads, compute, dtype, rows, 149, inputs);
                        }});
      }
    }
  }
  for (const Compute compute : kComputes) {
    list.push_back({"linear past every tile" + name_of(compute), [=](const Ops& ops, int threads) {
                      return run_linear(ops, threads, compute, Dtype::kF32, 67, 515, 1030);
                    }});
    list.push_back({"head" + name_of(compute), [=](const Ops& ops, int threads) {
                      return run_head(ops, threads, compute, 1, 1537);
                    }});
    list.push_back({"head rows" + name_of(compute), [=](const Ops& ops, int threads) {
                      return run_head(ops, threads, compute, 45, 700);
                    }});
  }
  for (const AttentionShape& shape : {attention_shape(6, 2, 64), attention_shape(4, 4, 24),
                                      attention_shape(5, 1, 10), attention_shape(2, 1, 128)}) {
    list.push_back(
        {"attention of width " + std::to_string(shape.head_dim),
         [=](const Ops& ops, int threads) { return run_attention(ops, threads, shape); }});
  }
  list.push_back({"rows", run_rows});
  return list;
}

}  // namespace valora::test
