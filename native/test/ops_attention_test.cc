// attention_forward and attention_backward against double-precision answers and finite differences,
// for every backend; and the promise that a row's bits depend on its path alone.
//
// Seen failing: a path's segments walked leaf first; one key past the position seen; the group's kv
// head taken as head % kv_heads; dk of rows no query sees left unwritten (NaN); delta left out.
#include <gtest/gtest.h>

#include <cmath>

#include "support/attention_answer.h"
#include "support/matrix.h"

namespace valora::test {
namespace {

struct Case {
  std::string name;
  std::vector<std::pair<int32_t, int32_t>> spans;
  std::vector<int32_t> targets;
  int64_t heads, kv_heads, head_dim;
};

// Paths that end on, before and after a block's border, spans that straddle one, deep and wide
// trees.
std::vector<Case> cases() {
  std::vector<std::pair<int32_t, int32_t>> chain = {{-1, 1}};
  for (int32_t s = 1; s < 40; ++s) chain.push_back({s - 1, 1 + s % 4});
  return {
      {"one row", {{-1, 1}}, {0}, 1, 1, 16},
      {"two trees of one row", {{-1, 1}, {-1, 1}}, {1}, 2, 1, 24},
      {"one block", {{-1, 64}}, {0, 63}, 3, 1, 64},
      {"a leftover of one", {{-1, 65}}, {64}, 9, 3, 64},
      {"a prompt with branches over a border",
       {{-1, 61}, {0, 7}, {0, 70}, {0, 1}},
       {60, 61, 137},
       4,
       2,
       80},
      {"nested branches",
       {{-1, 30}, {0, 33}, {1, 2}, {1, 66}, {0, 129}, {-1, 5}, {5, 3}},
       {29, 62, 64, 259, 267},
       6,
       2,
       16},
      {"branches of equal length",
       {{-1, 61}, {0, 7}, {0, 7}, {0, 7}, {0, 1}, {0, 1}, {0, 1}, {0, 70}, {0, 70}},
       {67, 74, 84},
       4,
       2,
       16},
      {"a deep chain", chain, {0, 50, 99}, 2, 2, 24},
      {"wide heads", {{-1, 20}, {0, 60}, {0, 50}}, {19, 79, 129}, 8, 1, 128},
      {"an odd width", {{-1, 66}, {0, 3}}, {68}, 3, 3, 10},
  };
}

class OpsAttentionTest : public OpsTest {};

TEST_P(OpsAttentionTest, ForwardAndBackwardAreRightOnForests) {
  Random random(11);
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const Machine machine(ops(), 2);
    const AttentionShape shape = attention_shape(c.heads, c.kv_heads, c.head_dim);
    const Forest forest = make_forest(make_spans(c.spans), c.targets);
    for (const bool targets_only : {false, true}) {
      SCOPED_TRACE(targets_only ? "target rows" : "all rows");
      const PathsView paths = targets_only ? forest.target_paths() : forest.all_paths();
      const int64_t queries = targets_only ? static_cast<int64_t>(c.targets.size()) : forest.rows();
      AttentionRun run(random, queries, forest.rows(), shape);
      run.run(paths, shape, machine);
      const Grid q = run.q.grid(), k = run.k.grid(), v = run.v.grid();
      const AttentionAnswer forward = attention_forward_answer(q, k, v, paths, shape);
      expect_within(run.o, forward.o, "o");
      expect_within(run.lse, forward.lse, "lse");
      const AttentionGradients gradients =
          attention_backward_answer(run.d_o.grid(), q, k, v, paths, shape);
      expect_within(run.dq, gradients.dq, "dq");
      expect_within(run.dk, gradients.dk, "dk");
      expect_within(run.dv, gradients.dv, "dv");
    }
  }
}

// Scores of some thousands, of either sign: only a running maximum keeps exp in range, even in
// double.
TEST_P(OpsAttentionTest, LargeScoresNeitherOverflowNorVanish) {
  Random random(12);
  const Machine machine(ops());
  const AttentionShape shape = attention_shape(2, 1, 32);
  const Forest forest = make_forest(make_spans({{-1, 150}}));
  AttentionRun run(random, 150, 150, shape);
  run.q = Matrix::random(random, 150, 64, 60);
  run.k = Matrix::random(random, 150, 32, 60);
  const PathsView paths = forest.all_paths();
  run.run(paths, shape, machine);
  const Grid q = run.q.grid(), k = run.k.grid(), v = run.v.grid();
  const AttentionAnswer forward = attention_forward_answer(q, k, v, paths, shape);
  expect_within(run.o, forward.o, "o");
  expect_within(run.lse, forward.lse, "lse");
}

// Central differences, in double, of the loss sum(dO * o). Their own error is h^2 times the third
// derivative, below 1e-8 here.
TEST_P(OpsAttentionTest, BackwardMeetsFiniteDifferences) {
  Random random(13);
  const Machine machine(ops());
  const AttentionShape shape = attention_shape(4, 2, 6);
  const Forest forest = make_forest(make_spans({{-1, 3}, {0, 2}, {0, 3}, {-1, 2}}));
  const PathsView paths = forest.all_paths();
  AttentionRun run(random, forest.rows(), forest.rows(), shape);
  run.run(paths, shape, machine);
  const Grid d_o = run.d_o.grid();
  const auto loss = [&](const Grid& q, const Grid& k, const Grid& v) {
    const Grid o = attention_forward_answer(q, k, v, paths, shape).o.value;
    double sum = 0;
    for (size_t i = 0; i < o.data.size(); ++i) sum += d_o.data[i] * o.data[i];
    return sum;
  };
  const Grid inputs[3] = {run.q.grid(), run.k.grid(), run.v.grid()};
  AttentionGradients want =
      attention_backward_answer(d_o, inputs[0], inputs[1], inputs[2], paths, shape);
  Answer* answers[3] = {&want.dq, &want.dk, &want.dv};
  constexpr double kStep = 1e-4;
  for (int which = 0; which < 3; ++which) {
    for (size_t i = 0; i < inputs[which].data.size(); ++i) {
      Grid up[3] = {inputs[0], inputs[1], inputs[2]};
      Grid down[3] = {inputs[0], inputs[1], inputs[2]};
      up[which].data[i] += kStep;
      down[which].data[i] -= kStep;
      answers[which]->value.data[i] =
          (loss(up[0], up[1], up[2]) - loss(down[0], down[1], down[2])) / (2 * kStep);
      answers[which]->bound.data[i] += 1e-7;
    }
  }
  expect_within(run.dq, want.dq, "dq");
  expect_within(run.dk, want.dk, "dk");
  expect_within(run.dv, want.dv, "dv");
}

TEST_P(OpsAttentionTest, KeysThatNoQuerySeesGetZeroGradients) {
  Random random(14);
  const Machine machine(ops());
  const AttentionShape shape = attention_shape(2, 1, 16);
  AttentionRun run(random, 0, 5, shape);
  const PathsView nothing;
  run.run(nothing, shape, machine);
  for (int64_t m = 0; m < 5; ++m) {
    for (int64_t c = 0; c < 16; ++c) {
      EXPECT_EQ(run.dk.at(m, c), 0.0f);
      EXPECT_EQ(run.dv.at(m, c), 0.0f);
    }
  }
}

// The bits of a row follow from its path: with a shared prompt, with a prompt of its own, alone as
// a query, and beside other trees.
TEST_P(OpsAttentionTest, SharingThePromptChangesNoBit) {
  Random random(15);
  const Machine machine(ops(), 2);
  const AttentionShape shape = attention_shape(6, 2, 64);
  const int32_t prompt = 71, first = 30, second = 66;
  const Forest shared = make_forest(make_spans({{-1, prompt}, {0, first}, {0, second}}));
  AttentionRun together(random, shared.rows(), shared.rows(), shape);
  together.run(shared.all_paths(), shape, machine);

  // An unrelated tree, then prompt + second, then prompt + first, each as one span.
  const int32_t other = 9;
  std::vector<int32_t> source;  // row of `together` that each row repeats; -1: unrelated
  for (int32_t i = 0; i < other; ++i) source.push_back(-1);
  for (int32_t i = 0; i < prompt; ++i) source.push_back(i);
  for (int32_t i = 0; i < second; ++i) source.push_back(prompt + first + i);
  for (int32_t i = 0; i < prompt + first; ++i) source.push_back(i);
  const Forest apart =
      make_forest(make_spans({{-1, other}, {-1, prompt + second}, {-1, prompt + first}}));
  AttentionRun separate(random, apart.rows(), apart.rows(), shape);
  for (size_t n = 0; n < source.size(); ++n) {
    if (source[n] < 0) continue;
    separate.q.copy_row(n, together.q, source[n]);
    separate.k.copy_row(n, together.k, source[n]);
    separate.v.copy_row(n, together.v, source[n]);
    separate.d_o.copy_row(n, together.d_o, source[n]);
  }
  separate.run(apart.all_paths(), shape, machine);
  for (size_t n = 0; n < source.size(); ++n) {
    if (source[n] < 0) continue;
    EXPECT_TRUE(same_row(separate.o, n, together.o, source[n])) << "o of row " << n;
    EXPECT_TRUE(same_row(separate.lse, n, together.lse, source[n])) << "lse of row " << n;
    EXPECT_TRUE(same_row(separate.dq, n, together.dq, source[n])) << "dq of row " << n;
  }

  // Only some rows as queries.
  const std::vector<int32_t> rows = {0, 63, 64, prompt - 1, prompt, prompt + first + second - 1};
  const Forest few = make_forest(shared.spans(), rows);
  AttentionRun selected = together;
  selected.q = Matrix(rows.size(), together.q.cols());
  selected.d_o = Matrix(rows.size(), together.q.cols());
  for (size_t i = 0; i < rows.size(); ++i) {
    selected.q.copy_row(i, together.q, rows[i]);
    selected.d_o.copy_row(i, together.d_o, rows[i]);
  }
  selected.run(few.target_paths(), shape, machine);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_TRUE(same_row(selected.o, i, together.o, rows[i])) << "o of query " << i;
    EXPECT_TRUE(same_row(selected.dq, i, together.dq, rows[i])) << "dq of query " << i;
  }
}

// A tree's gradients do not depend on the trees beside it.
TEST_P(OpsAttentionTest, TreesDoNotTouchEachOther) {
  Random random(16);
  const Machine machine(ops(), 3);
  const AttentionShape shape = attention_shape(4, 2, 24);
  const std::vector<std::pair<int32_t, int32_t>> tree = {{-1, 40}, {0, 30}, {0, 5}};
  const int32_t rows = 75, before = 68;
  const Forest alone = make_forest(make_spans(tree));
  AttentionRun one(random, rows, rows, shape);
  one.run(alone.all_paths(), shape, machine);
  const Forest among =
      make_forest(make_spans({{-1, 60}, {0, 8}, {-1, 40}, {2, 30}, {2, 5}, {-1, 3}}));
  AttentionRun many(random, among.rows(), among.rows(), shape);
  for (int32_t n = 0; n < rows; ++n) {
    many.q.copy_row(before + n, one.q, n);
    many.k.copy_row(before + n, one.k, n);
    many.v.copy_row(before + n, one.v, n);
    many.d_o.copy_row(before + n, one.d_o, n);
  }
  many.run(among.all_paths(), shape, machine);
  for (int32_t n = 0; n < rows; ++n) {
    EXPECT_TRUE(same_row(many.o, before + n, one.o, n)) << n;
    EXPECT_TRUE(same_row(many.dq, before + n, one.dq, n)) << n;
    EXPECT_TRUE(same_row(many.dk, before + n, one.dk, n)) << n;
    EXPECT_TRUE(same_row(many.dv, before + n, one.dv, n)) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OpsAttentionTest, testing::ValuesIn(backends()), backend_name);

}  // namespace
}  // namespace valora::test
