// Every operation, on every instruction set of the CPU, equals the scalar statement of its rule
// (support/rule.h) to the bit. The statement is the same on every processor, so instruction sets
// that never meet on one machine - AVX-512 and NEON - agree with each other by agreeing with it.
// (Products are in ops_bitwise_test.cc, formats of stored numbers in it and dequantize_test.cc.)
//
// Seen failing: a product and a sum in place of NEON's fma, in one of its four registers; NEON's
// transpose with two columns exchanged; on all sets at once, lanes folded 1, 2, 4, 8.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/rule.h"
#include "support/weights.h"

namespace valora::test {
namespace {

class OpsRuleTest : public OpsTest {};

// Bit for bit, but that any NaN is as good as another: which one comes out is the processor's.
bool same_number(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

void expect_same(const Matrix& got, const Matrix& want, const char* what) {
  ASSERT_EQ(got.rows(), want.rows()) << what;
  ASSERT_EQ(got.cols(), want.cols()) << what;
  EXPECT_TRUE(got.padding_intact()) << what << ": wrote outside its columns";
  for (int64_t i = 0; i < got.rows(); ++i) {
    for (int64_t j = 0; j < got.cols(); ++j) {
      ASSERT_TRUE(same_number(got.at(i, j), want.at(i, j)))
          << what << "[" << i << ", " << j << "] = " << std::hexfloat << got.at(i, j)
          << ", expected " << want.at(i, j);
    }
  }
}

TEST_P(OpsRuleTest, RmsnormIsTheRule) {
  Random random(61);
  const Machine machine(ops());
  for (const auto& [groups, width] : std::vector<std::pair<int64_t, int64_t>>{
           {1, 1}, {2, 15}, {3, 16}, {2, 17}, {1, 67}, {1, 576}}) {
    SCOPED_TRACE(std::to_string(groups) + " groups of " + std::to_string(width));
    const int64_t rows = 3, cols = groups * width;
    const Matrix x = Matrix::random(random, rows, cols, 3), dy = Matrix::random(random, rows, cols);
    const Matrix w = Matrix::random(random, 1, width);
    Matrix y(rows, cols), dx = Matrix::random(random, rows, cols), want_dx = dx;
    ops::rmsnorm_forward(y.view(), x.view(), w.view(), 1e-5f, machine);
    ops::rmsnorm_backward(dx.view(), dy.view(), x.view(), w.view(), 1e-5f, Write::kAdd, machine);
    rule::rmsnorm_backward(&want_dx, dy, x, w, 1e-5f);
    expect_same(y, rule::rmsnorm_forward(x, w, 1e-5f), "y");
    expect_same(dx, want_dx, "dx");
  }
}

// exp is part of it, from one end of its range to the other, and where numbers end: signed zeros,
// subnormals, infinities, NaN.
TEST_P(OpsRuleTest, SwigluIsTheRuleAtEveryGate) {
  Random random(62);
  const Machine machine(ops());
  const int64_t rows = 31, cols = 1003;
  Matrix gate = Matrix::random(random, rows, cols, 100);
  const Matrix up = Matrix::random(random, rows, cols), dh = Matrix::random(random, rows, cols);
  const float infinity = std::numeric_limits<float>::infinity();
  const float ends[] = {0.0f,
                        -0.0f,
                        1e-40f,
                        -1e-40f,
                        87.0f,
                        -87.0f,
                        88.3762f,
                        -88.3762f,
                        88.37626f,
                        -88.37626f,
                        std::nextafterf(87.0f, 88.0f),
                        infinity,
                        -infinity,
                        std::numeric_limits<float>::quiet_NaN(),
                        3e38f,
                        -3e38f};
  for (int64_t i = 0; i < 16; ++i) gate.at(0, i) = gate.at(1, cols - 1 - i) = ends[i];
  for (int64_t i = 0; i < cols; ++i) gate.at(2, i) *= 0.01f;
  Matrix h(rows, cols), dgate(rows, cols), dup(rows, cols);
  ops::swiglu_forward(h.view(), gate.view(), up.view(), machine);
  ops::swiglu_backward(dgate.view(), dup.view(), dh.view(), gate.view(), up.view(), machine);
  Matrix want_h(rows, cols), want_dgate(rows, cols), want_dup(rows, cols);
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t i = 0; i < cols; ++i) {
      want_h.at(n, i) = rule::swiglu(gate.at(n, i), up.at(n, i));
      rule::swiglu_backward(dh.at(n, i), gate.at(n, i), up.at(n, i), &want_dgate.at(n, i),
                            &want_dup.at(n, i));
    }
  }
  expect_same(h, want_h, "h");
  expect_same(dgate, want_dgate, "dgate");
  expect_same(dup, want_dup, "dup");
}

TEST_P(OpsRuleTest, RopeIsTheRule) {
  Random random(63);
  const Machine machine(ops());
  for (const int64_t width : {2, 30, 34, 64}) {
    for (const int direction : {1, -1}) {
      const int64_t rows = 4, heads = 3;
      const Matrix table = Matrix::random(random, 5, width);
      const int32_t positions[] = {4, 0, 3, 3};
      Matrix x = Matrix::random(random, rows, heads * width), want = x;
      ops::rope(x.view(), table.view(), positions, width, direction, machine);
      for (int64_t n = 0; n < rows; ++n) {
        for (int64_t i = 0; i < heads * width; ++i) {
          const int64_t pair = i % width, half = width / 2;
          if (pair >= half) continue;
          rule::rope(&want.at(n, i), &want.at(n, i + half), table.at(positions[n], pair),
                     table.at(positions[n], half + pair) * static_cast<float>(direction));
        }
      }
      expect_same(x, want, "x");
    }
  }
}

TEST_P(OpsRuleTest, AdamwAndSumsAreTheRule) {
  Random random(64);
  const Machine machine(ops());
  for (const int64_t cols : {1, 19, 160}) {
    const int64_t rows = 3;
    const Matrix gradient = Matrix::random(random, rows, cols);
    Matrix p = Matrix::random(random, rows, cols), m = Matrix::random(random, rows, cols);
    Matrix v = Matrix::random(random, rows, cols), sum = p;
    for (int64_t n = 0; n < rows; ++n) {
      for (int64_t i = 0; i < cols; ++i) v.at(n, i) = std::abs(v.at(n, i));
    }
    Matrix want_p = p, want_m = m, want_v = v, want_sum = sum;
    const AdamwParameters options = {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.3f, 17};
    ops::adamw(p.view(), m.view(), v.view(), gradient.view(), options, machine);
    ops::add(sum.view(), gradient.view(), machine);
    for (int64_t n = 0; n < rows; ++n) {
      for (int64_t i = 0; i < cols; ++i) {
        rule::adamw(&want_p.at(n, i), &want_m.at(n, i), &want_v.at(n, i), gradient.at(n, i),
                    options);
        want_sum.at(n, i) += gradient.at(n, i);
      }
    }
    expect_same(p, want_p, "p");
    expect_same(m, want_m, "m");
    expect_same(v, want_v, "v");
    expect_same(sum, want_sum, "sum");
    EXPECT_EQ(ops::sum_of_squares(gradient.view(), machine), rule::sum_of_squares(gradient));
  }
}

TEST_P(OpsRuleTest, LoraGradientIsOneChainATree) {
  Random random(65);
  const Machine machine(ops());
  for (const auto& [rank, inputs, outputs] :
       std::vector<std::tuple<int64_t, int64_t, int64_t>>{{1, 1, 63}, {5, 70, 65}, {16, 33, 16}}) {
    const int64_t rows = 41;
    const float scale = 1.7f;
    const Matrix x = Matrix::random(random, rows, inputs);
    const Matrix dy = Matrix::random(random, rows, outputs);
    const Matrix t = Matrix::random(random, rows, rank), dt = Matrix::random(random, rows, rank);
    const RowRange trees[] = {{0, 29}, {29, 1}, {30, 11}};
    Matrix da = Matrix::random(random, rank, inputs), db = Matrix::random(random, outputs, rank);
    Matrix want_da = da, want_db = db;
    ops::lora_gradient(da.view(), db.view(), dy.view(), x.view(), t.view(), dt.view(), scale, trees,
                       3, machine);
    for (const RowRange& tree : trees) {
      const auto product = [&](const Matrix& low, int64_t r, const Matrix& wide, int64_t j) {
        return rule::chain(
            tree.count, [&](int64_t n) { return low.at(tree.begin + n, r); },
            [&](int64_t n) { return wide.at(tree.begin + n, j); });
      };
      for (int64_t r = 0; r < rank; ++r) {
        for (int64_t i = 0; i < inputs; ++i) want_da.at(r, i) += product(dt, r, x, i);
        for (int64_t o = 0; o < outputs; ++o) want_db.at(o, r) += scale * product(t, r, dy, o);
      }
    }
    expect_same(da, want_da, "da");
    expect_same(db, want_db, "db");
  }
}

TEST_P(OpsRuleTest, AttentionIsTheRule) {
  Random random(66);
  for (const AttentionShape& shape :
       {attention_shape(6, 2, 64), attention_shape(3, 3, 10), attention_shape(5, 1, 24)}) {
    SCOPED_TRACE("width " + std::to_string(shape.head_dim));
    const Machine machine(ops());
    const Forest forest = make_forest(
        make_spans({{-1, 67}, {0, 5}, {0, 64}, {2, 1}, {-1, 3}, {-1, 130}}), {3, 70, 71, 200});
    for (const bool targets_only : {false, true}) {
      SCOPED_TRACE(targets_only ? "target rows" : "all rows");
      const PathsView paths = targets_only ? forest.target_paths() : forest.all_paths();
      AttentionRun run(random, targets_only ? 4 : forest.rows(), forest.rows(), shape);
      AttentionRun want = run;
      run.run(paths, shape, machine);
      rule::attention(&want, paths, shape);
      expect_same(run.o, want.o, "o");
      expect_same(run.lse, want.lse, "lse");
      expect_same(run.dq, want.dq, "dq");
      expect_same(run.dk, want.dk, "dk");
      expect_same(run.dv, want.dv, "dv");
    }
  }
}

TEST_P(OpsRuleTest, TheHeadIsTheRule) {
  Random random(67);
  const Machine machine(ops());
  for (const auto& [rows, channels, vocabulary, dtype] :
       std::vector<std::tuple<int64_t, int64_t, int64_t, Dtype>>{
           {1, 33, 1537, Dtype::kF32}, {7, 64, 700, Dtype::kQ8_0}, {19, 5, 13, Dtype::kBF16}}) {
    SCOPED_TRACE(std::to_string(vocabulary) + " entries");
    const StoredWeight w = random_weight(random, dtype, vocabulary, channels);
    const std::unique_ptr<Weight> weight = w.upload(ops());
    const Matrix x = Matrix::random(random, rows, channels, 4);
    std::vector<HeadTarget> targets;
    std::vector<float> coefficients, logit, uniform;
    for (int32_t n = 0; n < 2 * rows; ++n) {
      targets.push_back({n / 2, static_cast<int32_t>(random.below(vocabulary))});
      coefficients.push_back(random.number());
    }
    logit.resize(targets.size());
    for (int64_t n = 0; n < rows; ++n) uniform.push_back(random.unit());
    std::vector<double> normaliser(rows), logprobs(rows);
    std::vector<int32_t> argmax(rows), tokens(rows), drawn(rows);
    std::vector<double> drawn_logprobs(rows);
    Matrix expected(rows, channels), dx(rows, channels);
    ops::head_forward({normaliser.data(), argmax.data(), logit.data()}, expected.view(), x.view(),
                      *weight, targets.data(), targets.size(), machine);
    ops::head_backward(dx.view(), expected.view(), *weight, targets.data(), coefficients.data(),
                       targets.size(), machine);
    ops::sample(tokens.data(), logprobs.data(), x.view(), *weight, {0, 0, 1}, uniform.data(),
                machine);
    ops::sample(drawn.data(), drawn_logprobs.data(), x.view(), *weight, {3, 40, 0.9f},
                uniform.data(), machine);
    Matrix want_expected(rows, channels), want_dx(rows, channels);
    want_dx.fill(0);
    for (int64_t n = 0; n < rows; ++n) {
      const rule::HeadRow row = rule::head_row(x, n, w.values);
      EXPECT_EQ(normaliser[n], row.normaliser) << n;
      EXPECT_EQ(argmax[n], row.argmax) << n;
      EXPECT_EQ(tokens[n], row.argmax) << n;
      EXPECT_EQ(logprobs[n], static_cast<double>(row.logits[tokens[n]]) - row.normaliser) << n;
      EXPECT_EQ(drawn_logprobs[n], static_cast<double>(row.logits[drawn[n]]) - row.normaliser) << n;
      for (int64_t c = 0; c < channels; ++c) want_expected.at(n, c) = row.expected[c];
      for (size_t t = 0; t < targets.size(); ++t) {
        if (targets[t].row != n) continue;
        EXPECT_EQ(logit[t], row.logits[targets[t].token]) << n;
        for (int64_t c = 0; c < channels; ++c) {
          const float pull = w.values.at(targets[t].token, c) - want_expected.at(n, c);
          want_dx.at(n, c) = std::fmaf(coefficients[t], pull, want_dx.at(n, c));
        }
      }
    }
    expect_same(expected, want_expected, "expected");
    expect_same(dx, want_dx, "dx");
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OpsRuleTest, testing::ValuesIn(cpu_backends()), backend_name);

}  // namespace
}  // namespace valora::test
