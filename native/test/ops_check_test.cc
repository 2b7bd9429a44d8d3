// What the shared wrappers of ops.h promise: wrong shapes and indices are errors that say what was
// expected, empty inputs pass, a set cancel flag stops, and the counting backend measures without
// touching.
//
// Seen failing: each check taken out of ops.cc in turn makes its case below pass through to the
// backend.
#include <gtest/gtest.h>

#include <atomic>

#include "core/scratch.h"
#include "support/attention_answer.h"
#include "support/matrix.h"
#include "support/weights.h"

namespace valora::test {
namespace {

template <typename Call>
void expect_invalid(const Call& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "no error, expected one with: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

class OpsCheckTest : public testing::Test {
 protected:
  OpsCheckTest() : machine_(reference_ops()), random_(51) {
    weight_ = random_weight(random_, Dtype::kF32, 8, 6);
    w_ = weight_.upload(reference_ops());
  }
  Matrix m(int64_t rows, int64_t cols) { return Matrix::random(random_, rows, cols); }

  Machine machine_;
  Random random_;
  StoredWeight weight_;
  std::unique_ptr<Weight> w_;
};

TEST_F(OpsCheckTest, WrongShapesAreErrorsThatNameThem) {
  Matrix x = m(3, 6), y = m(3, 8), narrow = m(3, 5), none;
  expect_invalid([&] { ops::linear_forward(narrow.view(), {}, x.view(), *w_, {}, {}, machine_); },
                 "linear_forward: y is [3, 5], expected [3, 8]");
  expect_invalid([&] { ops::linear_forward(y.view(), {}, narrow.view(), *w_, {}, {}, machine_); },
                 "linear_forward: x is [3, 5], expected [3, 6]");
  expect_invalid(
      [&] { ops::linear_forward(y.view(), {}, x.view(), *w_, narrow.view(), {}, machine_); },
      "bias is [3, 5], expected [1, 8]");
  expect_invalid([&] { ops::linear_forward(y.view(), x.view(), x.view(), *w_, {}, {}, machine_); },
                 "t is not empty");
  expect_invalid([&] { ops::add(x.view(), y.view(), machine_); }, "add: x is [3, 8]");
  expect_invalid([&] { ops::rmsnorm_forward(x.view(), x.view(), m(1, 4).view(), 1, machine_); },
                 "columns a multiple of weight's");
  expect_invalid([&] { ops::rope(x.view(), m(2, 5).view(), nullptr, 5, 1, machine_); },
                 "even head width");
  expect_invalid([&] { ops::swiglu_forward(y.view(), x.view(), x.view(), machine_); },
                 "h is [3, 8]");
  View tight = x.view();
  tight.stride = 4;
  expect_invalid([&] { ops::sum_of_squares(tight, machine_); }, "stride 4");
  View device = x.view();
  device.space = Space::kDevice;
  expect_invalid([&] { ops::add(device, x.view(), machine_); }, "wrong memory space");
}

TEST_F(OpsCheckTest, LoraGroupsMustFitTheBatch) {
  Matrix x = m(4, 6), y = m(4, 8), t = m(4, 2), a = m(2, 6), b = m(8, 2), wide = m(3, 6),
         b3 = m(8, 3);
  const auto run = [&](std::vector<LoraRows> groups) {
    ops::linear_forward(y.view(), t.view(), x.view(), *w_, {},
                        {groups.data(), static_cast<int64_t>(groups.size()), 2}, machine_);
  };
  run({{0, 2, a.view(), b.view(), 1}, {2, 2, a.view(), b.view(), 1}});
  expect_invalid([&] { run({{3, 2, a.view(), b.view(), 1}}); }, "LoRA group 0 has rows [3, 5)");
  expect_invalid(
      [&] {
        run({{0, 2, a.view(), b.view(), 1}, {1, 2, a.view(), b.view(), 1}});
      },
      "LoRA group 1 has rows [1, 3)");
  expect_invalid([&] { run({{0, 2, wide.view(), b3.view(), 1}}); }, "rank 3, expected 1 to 2");
  expect_invalid([&] { run({{0, 2, a.view(), b3.view(), 1}}); }, "LoRA b is [8, 3]");
}

TEST_F(OpsCheckTest, IndicesOutsideTheirRangeAreErrors) {
  Matrix y = m(2, 6), x = m(3, 6);
  const std::vector<int32_t> good = {0, 2}, high = {0, 8}, low = {-1, 0};
  expect_invalid([&] { ops::embed_forward(y.view(), *w_, high.data(), machine_); },
                 "id 1 is 8, expected 0 to 7");
  ops::gather_rows(y.view(), x.view(), good.data(), machine_);
  expect_invalid([&] { ops::gather_rows(y.view(), x.view(), low.data(), machine_); },
                 "row 0 is -1, expected 0 to 2");
  double normaliser[2];
  int32_t argmax[2];
  float logit[1];
  const HeadTarget far{2, 0}, unknown{0, 8};
  const HeadResult result{normaliser, argmax, logit};
  expect_invalid([&] { ops::head_forward(result, {}, y.view(), *w_, &far, 1, machine_); },
                 "target row 0 is 2");
  expect_invalid([&] { ops::head_forward(result, {}, y.view(), *w_, &unknown, 1, machine_); },
                 "target token 0 is 8");
  const RowRange tree{1, 2};
  Matrix da = m(2, 6);
  expect_invalid(
      [&] {
        ops::lora_gradient(da.view(), {}, {}, y.view(), {}, m(2, 2).view(), 1, &tree, 1, machine_);
      },
      "every tree within the rows");
}

TEST_F(OpsCheckTest, PathsMustMatchTheRows) {
  const AttentionShape shape = attention_shape(2, 1, 4);
  const Forest forest = make_forest(make_spans({{-1, 3}, {0, 2}}));
  const auto run = [&](const PathsView& paths, int64_t queries, int64_t keys) {
    AttentionRun run(random_, queries, keys, shape);
    run.run(paths, shape, machine_);
  };
  run(forest.all_paths(), 5, 5);
  expect_invalid([&] { run(forest.all_paths(), 6, 5); }, "query rows in groups is 5, expected 6");
  expect_invalid([&] { run(forest.all_paths(), 4, 5); }, "query group 1");
  expect_invalid([&] { run(forest.all_paths(), 5, 4); }, "path segment 2 has keys [3, 5)");
  PathsView paths = forest.all_paths();
  paths.longest = 4;
  expect_invalid([&] { run(paths, 5, 5); }, "a path of 5 keys, expected at most 4");
  paths = forest.all_paths();
  const std::vector<int32_t> positions = {0, 1, 2, 3, 5};
  paths.positions = positions.data();
  expect_invalid([&] { run(paths, 5, 5); }, "position 4 is 5, expected 0 to 4");
  expect_invalid(
      [&] {
        AttentionRun run(random_, 5, 5, shape);
        run.run(forest.all_paths(), {3, 2, 4, 1}, machine_);
      },
      "3 heads over 2 key/value heads");
}

TEST_F(OpsCheckTest, EmptyInputsPass) {
  for (const Ops* ops : backends()) {
    SCOPED_TRACE(ops->name);
    const Machine machine(*ops, 2);
    const std::unique_ptr<Weight> w = weight_.upload(*ops);
    Matrix x(0, 6), y(0, 8), t(0, 4);
    const Matrix weight = m(1, 6), table = m(3, 6);
    ops::embed_forward(x.view(), *w, nullptr, machine);
    ops::rmsnorm_forward(x.view(), x.view(), weight.view(), 1, machine);
    ops::rmsnorm_backward(x.view(), x.view(), x.view(), weight.view(), 1, Write::kAdd, machine);
    ops::linear_forward(y.view(), {}, x.view(), *w, {}, {}, machine);
    ops::linear_backward(x.view(), {}, y.view(), *w, {}, Write::kAdd, machine);
    Matrix da(4, 6), db(8, 4);
    da.fill(1);
    ops::lora_gradient(da.view(), db.view(), y.view(), x.view(), t.view(), t.view(), 1, nullptr, 0,
                       machine);
    EXPECT_EQ(da.at(0, 0), 1.0f);
    ops::rope(x.view(), table.view(), nullptr, 6, 1, machine);
    ops::swiglu_forward(x.view(), x.view(), x.view(), machine);
    ops::swiglu_backward(x.view(), x.view(), x.view(), x.view(), x.view(), machine);
    ops::head_forward({}, x.view(), x.view(), *w, nullptr, 0, machine);
    ops::head_backward(x.view(), x.view(), *w, nullptr, nullptr, 0, machine);
    ops::sample(nullptr, nullptr, x.view(), *w, {0, 0, 1}, nullptr, machine);
    ops::add(x.view(), x.view(), machine);
    ops::gather_rows(x.view(), x.view(), nullptr, machine);
    ops::scatter_rows(x.view(), x.view(), nullptr, Write::kAdd, machine);
    ops::adamw(x.view(), x.view(), x.view(), x.view(), {1, 0, 0, 1, 0, 1, 1}, machine);
    EXPECT_EQ(ops::sum_of_squares(x.view(), machine), 0);
  }
}

TEST_F(OpsCheckTest, ASetCancelFlagStops) {
  std::atomic<bool> cancel{false};
  machine_.context().cancel = &cancel;
  Matrix x = m(2, 6);
  const Matrix before = x;
  ops::add(x.view(), x.view(), machine_);
  EXPECT_FALSE(same_bits(x, before));
  const Matrix after = x;
  cancel = true;
  try {
    ops::add(x.view(), x.view(), machine_);
    ADD_FAILURE() << "ran although cancelled";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_TRUE(same_bits(x, after));
}

// A dry run over addresses of nothing: no read, no write, and the arena's peak is what a real run
// takes.
TEST_F(OpsCheckTest, CountingMeasuresWhatARealRunTakes) {
  const AttentionShape shape = attention_shape(4, 2, 16);
  const Forest forest = make_forest(make_spans({{-1, 100}, {0, 30}}));
  const auto run = [&](Context context, const uint8_t* data) {
    Arena& arena = *context.arena;
    const ArenaScope scope(arena);
    const std::unique_ptr<Weight> w =
        context.ops->upload_weight({data, Dtype::kF32, 64, 64, 0}, context);
    const View x = arena.matrix(130, 64), y = arena.matrix(130, 64), lse = arena.matrix(130, 4);
    const View kv = arena.matrix(130, 32), t = arena.matrix(130, 4);
    const View a = arena.matrix(4, 64), b = arena.matrix(64, 4);
    const LoraRows group = {0, 130, a, b, 1};
    const RowRange tree = {0, 130};
    std::vector<int32_t> tokens(130);
    std::vector<double> numbers(130);
    ops::linear_forward(y, t, x, *w, {}, {&group, 1, 4}, context);
    ops::lora_gradient(a, b, y, x, t, t, 1, &tree, 1, context);
    ops::attention_forward(y, lse, x, kv, kv, forest.all_paths(), shape, context);
    ops::attention_backward(y, kv, arena.matrix(130, 32), y, y, lse, x, kv, kv, forest.all_paths(),
                            shape, context);
    ops::head_forward({numbers.data(), tokens.data(), nullptr}, y, x, *w, nullptr, 0, context);
    ops::sample(tokens.data(), numbers.data(), x, *w, {0, 0, 1}, nullptr, context);
  };
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    Arena counting, real(48u << 20);
    Context dry{&counting_ops(), &counting, &pool, nullptr};
    run(dry, nullptr);
    const std::vector<float> zeros(64 * 64, 0.0f);
    const Context wet{&reference_ops(), &real, &pool, nullptr};
    run(wet, reinterpret_cast<const uint8_t*>(zeros.data()));
    EXPECT_EQ(counting.peak(), real.peak());
    EXPECT_GE(counting.peak(), static_cast<size_t>(threads * kProductBytes));
    EXPECT_EQ(counting.used(), 0u);
    EXPECT_EQ(real.used(), 0u);
  }
}

}  // namespace
}  // namespace valora::test
