// linear_forward, linear_backward and lora_gradient as CUDA kernels under emulation. In bfloat16:
// where it holds the inputs exactly, at float32's tolerance; with others, at bfloat16's. In
// float32: the chain of core/ops.h to the bit. In both: the same bits in every order and whatever
// else is in the batch; what other rows' adapters hold does not matter; and the counts. (Awkward
// shapes and every dtype in float32: ops_linear_test.cc, built for the emulation as well.)
#include <cmath>

#include "cuda/cuda.h"
#include "support/device_buffer.h"
#include "support/linear_answer.h"
#include "support/rule.h"

namespace valora::test {
namespace {

constexpr int kSeeds = 20;

void round_to_bfloat16(Matrix* m) {
  for (int64_t i = 0; i < m->rows(); ++i) {
    for (int64_t j = 0; j < m->cols(); ++j) {
      m->at(i, j) = __bfloat162float(__float2bfloat16_rn(m->at(i, j)));
    }
  }
}

struct Outputs {
  Matrix out, low;  // y and t, or dx and dt
};

// A matrix and its adapters as the kernels want them.
struct Layer {
  Matrix w, bias;
  Adapters adapters;
  Dtype dtype;
  std::vector<float> numbers;

  Layer(Dtype product_dtype, Matrix weight, Matrix added, Adapters terms)
      : w(std::move(weight)),
        bias(std::move(added)),
        adapters(std::move(terms)),
        dtype(product_dtype),
        numbers(static_cast<size_t>(cuda::padded_bytes(dtype, w.rows(), w.cols()) / 4)) {
    std::vector<float> rows;
    for (int64_t o = 0; o < w.rows(); ++o) {
      for (int64_t i = 0; i < w.cols(); ++i) rows.push_back(w.at(o, i));
    }
    cuda::convert_weight(numbers.data(), dtype, {rows.data(), Dtype::kF32, w.rows(), w.cols()},
                         nullptr);
  }
  cuda::DeviceWeight weight() const {
    return {numbers.data(), dtype, w.rows(), cuda::padded_cols(w.cols())};
  }
  // The groups that have a part in rows [first, first + count), counted from there.
  std::vector<cuda::LoraGroup> groups(int64_t first, int64_t count) {
    std::vector<cuda::LoraGroup> list;
    const LoraView lora = adapters.view();
    for (int64_t g = 0; g < lora.count; ++g) {
      LoraRows rows = lora.groups[g];
      const int64_t begin = std::max(rows.begin, first);
      const int64_t end = std::min(rows.begin + rows.count, first + count);
      if (begin >= end) continue;
      rows.begin = begin - first;
      rows.count = end - begin;
      list.push_back(cuda::lora_group(rows));
    }
    return list;
  }

  Outputs forward(const Matrix& x, int64_t first = 0) {
    const std::vector<cuda::LoraGroup> list = groups(first, x.rows());
    Outputs result{Matrix(x.rows(), w.rows()), Matrix(x.rows(), adapters.max_rank())};
    std::vector<float> copy(numbers_for(x));
    cuda::linear_forward(result.out.view(), result.low.view(), copy.data(), x.view(), weight(),
                         bias.view(), lora_of(list), nullptr);
    return result;
  }
  // Adds to `before`, or overwrites where that is empty.
  Outputs backward(const Matrix& dy, const Matrix& before, int64_t first = 0) {
    const std::vector<cuda::LoraGroup> list = groups(first, dy.rows());
    const bool adds = before.rows() > 0;
    Outputs result{adds ? before : Matrix(dy.rows(), w.cols()),
                   Matrix(dy.rows(), adapters.max_rank())};
    std::vector<float> copy(numbers_for(dy));
    cuda::linear_backward(result.out.view(), result.low.view(), copy.data(), dy.view(), weight(),
                          lora_of(list), adds ? Write::kAdd : Write::kOverwrite, nullptr);
    return result;
  }

 private:
  size_t numbers_for(const Matrix& m) const {
    return static_cast<size_t>(cuda::padded_bytes(dtype, m.rows(), m.cols()) / 4);
  }
  cuda::DeviceLora lora_of(const std::vector<cuda::LoraGroup>& list) const {
    return {list.data(), static_cast<int64_t>(list.size()), adapters.max_rank()};
  }
};

struct Shape {
  int64_t rows, outputs, inputs;
};
// Both heights of a tile, whole tiles and others.
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 5, 17}, {128, 128, 32}, {130, 70, 100}, {17, 257, 72}};

std::string name(const Shape& s) {
  return std::to_string(s.rows) + " x " + std::to_string(s.outputs) + " x " +
         std::to_string(s.inputs);
}

// Two groups that meet inside a tile, one of them with more ranks than a pass takes; the last row
// has none.
Adapters adapters_for(Random& random, const Shape& s) {
  Adapters adapters;
  if (s.rows < 3) return adapters;
  adapters.add(random, 0, s.rows / 2, 5, s.outputs, s.inputs);
  adapters.add(random, s.rows / 2, s.rows - 1 - s.rows / 2, 20, s.outputs, s.inputs);
  return adapters;
}

Layer random_layer(Random& random, Dtype dtype, const Shape& s, bool exact) {
  Matrix w = Matrix::random(random, s.outputs, s.inputs);
  if (exact) round_to_bfloat16(&w);
  Matrix bias = Matrix::random(random, 1, s.outputs);
  return Layer(dtype, std::move(w), std::move(bias), adapters_for(random, s));
}

TEST(CudaLinear, IsExactToFloat32WhereTheInputsAreBfloat16) {
  Random random(41);
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(name(s));
    Layer layer = random_layer(random, Dtype::kBF16, s, true);
    Matrix x = Matrix::random(random, s.rows, s.inputs);
    Matrix dy = Matrix::random(random, s.rows, s.outputs);
    round_to_bfloat16(&x);
    round_to_bfloat16(&dy);
    const Outputs y = layer.forward(x);
    const LinearAnswer want_y =
        linear_forward_answer(x.grid(), layer.w, layer.bias, layer.adapters);
    expect_within(y.out, want_y.out, "y");
    expect_within(y.low, want_y.low, "t");
    for (const Matrix& before : {Matrix(), Matrix::random(random, s.rows, s.inputs)}) {
      const Outputs dx = layer.backward(dy, before);
      const LinearAnswer want = linear_backward_answer(before, dy.grid(), layer.w, layer.adapters);
      expect_within(dx.out, want.out, "dx");
      expect_within(dx.low, want.low, "dt");
    }
  }
}

TEST(CudaLinear, RoundsItsInputsToBfloat16OnceAndLowRankTermsNever) {
  Random random(42);
  const Shape s{40, 48, 200};
  Layer layer = random_layer(random, Dtype::kBF16, s, false);
  const Matrix x = Matrix::random(random, s.rows, s.inputs);
  LinearAnswer want = linear_forward_answer(x.grid(), layer.w, layer.bias, layer.adapters);
  for (int64_t n = 0; n < s.rows; ++n) {
    for (int64_t o = 0; o < s.outputs; ++o) {
      double size = 0;
      for (int64_t i = 0; i < s.inputs; ++i) {
        size += std::abs(double{x.at(n, i)} * layer.w.at(o, i));
      }
      // Two roundings of at most 2^-9 a product.
      want.out.bound.at(n, o) += 2.01 * size / (1 << 9);
    }
  }
  const Outputs y = layer.forward(x);
  expect_within(y.out, want.out, "y");
  expect_within(y.low, want.low, "t");  // at float32's tolerance
}

TEST(CudaLinear, IsOneFloat32ChainInItsFloat32Mode) {
  Random random(45);
  for (const Shape& s : {Shape{5, 20, 67}, Shape{40, 33, 67}}) {
    SCOPED_TRACE(name(s));
    Layer layer(Dtype::kF32, Matrix::random(random, s.outputs, s.inputs),
                Matrix::random(random, 1, s.outputs), {});
    const Matrix x = Matrix::random(random, s.rows, s.inputs);
    const Matrix dy = Matrix::random(random, s.rows, s.outputs);
    const Matrix y = layer.forward(x).out, dx = layer.backward(dy, {}).out;
    for (int64_t n = 0; n < s.rows; ++n) {
      for (int64_t o = 0; o < s.outputs; ++o) {
        const float sum = rule::chain(
            s.inputs, [&](int64_t i) { return x.at(n, i); },
            [&](int64_t i) { return layer.w.at(o, i); });
        ASSERT_EQ(y.at(n, o), sum + layer.bias.at(0, o)) << n << " " << o;
      }
      for (int64_t i = 0; i < s.inputs; ++i) {
        ASSERT_EQ(dx.at(n, i), rule::chain(
                                   s.outputs, [&](int64_t o) { return dy.at(n, o); },
                                   [&](int64_t o) { return layer.w.at(o, i); }))
            << n << " " << i;
      }
    }
  }
}

TEST(CudaLinear, GivesTheSameBitsInEveryOrderAndForARowAlone) {
  Random random(43);
  const Shape s{40, 40, 72};
  Layer layer = random_layer(random, Dtype::kBF16, s, false);
  const Matrix x = Matrix::random(random, s.rows, s.inputs);
  const Matrix dy = Matrix::random(random, s.rows, s.outputs);
  Outputs y, dx;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    emulation::Session session({.seed = seed});
    const Outputs y_now = layer.forward(x), dx_now = layer.backward(dy, {});
    if (seed == 0) {
      y = y_now;
      dx = dx_now;
      continue;
    }
    EXPECT_TRUE(same_bits(y_now.out, y.out) && same_bits(y_now.low, y.low)) << "seed " << seed;
    EXPECT_TRUE(same_bits(dx_now.out, dx.out) && same_bits(dx_now.low, dx.low)) << "seed " << seed;
  }
  // Rows of the two groups, on either side of where they meet, and the one without.
  for (const int64_t row : {0, 19, 20, 38, 39}) {
    const Outputs y_alone = layer.forward(x.slice(row, 1), row);
    const Outputs dx_alone = layer.backward(dy.slice(row, 1), {}, row);
    EXPECT_TRUE(same_row(y_alone.out, 0, y.out, row)) << "row " << row;
    EXPECT_TRUE(same_row(y_alone.low, 0, y.low, row)) << "row " << row;
    EXPECT_TRUE(same_row(dx_alone.out, 0, dx.out, row)) << "row " << row;
    EXPECT_TRUE(same_row(dx_alone.low, 0, dx.low, row)) << "row " << row;
  }
}

TEST(CudaLinear, ARowIsLeftAloneByWhatOtherRowsAdaptersHold) {
  Random random(46);
  const Shape s{21, 40, 104};
  Layer layer = random_layer(random, Dtype::kBF16, s, false);
  const Matrix x = Matrix::random(random, s.rows, s.inputs);
  const Matrix dy = Matrix::random(random, s.rows, s.outputs);
  const Outputs y = layer.forward(x), dx = layer.backward(dy, {});
  Adapters::Group& broken = layer.adapters.groups[1];
  broken.a.fill(NAN);
  broken.b.fill(NAN);
  const Outputs y_now = layer.forward(x), dx_now = layer.backward(dy, {});
  for (int64_t n = 0; n < s.rows; ++n) {
    const bool hit = n >= broken.begin && n < broken.begin + broken.count;
    EXPECT_EQ(same_row(y_now.out, n, y.out, n), !hit) << "row " << n;
    EXPECT_EQ(same_row(dx_now.out, n, dx.out, n), !hit) << "row " << n;
  }
}

TEST(CudaLinear, LeavesDxAloneWhereOnlyDtIsWanted) {
  Random random(47);
  const Shape s{6, 40, 30};
  Layer layer = random_layer(random, Dtype::kBF16, s, true);
  const Matrix dy = Matrix::random(random, s.rows, s.outputs);
  const Outputs both = layer.backward(dy, {});
  const std::vector<cuda::LoraGroup> groups = layer.groups(0, s.rows);
  Matrix dt(s.rows, layer.adapters.max_rank());
  cuda::linear_backward({}, dt.view(), nullptr, dy.view(), layer.weight(),
                        {groups.data(), static_cast<int64_t>(groups.size()), dt.cols()},
                        Write::kOverwrite, nullptr);
  EXPECT_TRUE(same_bits(dt, both.low));
}

TEST(CudaLinear, ATreesGradientIsItsOwnInEveryOrder) {
  Random random(48);
  const int64_t rows = 150, cols = 50, rank = 20;
  const Matrix x = Matrix::random(random, rows, cols), dt = Matrix::random(random, rows, rank);
  const Matrix before = Matrix::random(random, rank, cols);
  const Matrix db_before = Matrix::random(random, cols, rank);
  const std::vector<RowRange> trees = {{0, 70}, {70, 3}, {73, 77}};
  const auto gradient = [&](Matrix* da, Matrix* db, const RowRange* list, int64_t count) {
    cuda::lora_gradient(da->view(), db->view(), x.view(), x.view(), dt.view(), dt.view(), 0.3f,
                        list, count, nullptr);
  };
  Matrix da = before, db = db_before;
  for (const RowRange& tree : trees) gradient(&da, &db, &tree, 1);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    emulation::Session session({.seed = seed});
    Matrix da_now = before, db_now = db_before;
    gradient(&da_now, &db_now, trees.data(), 3);
    EXPECT_TRUE(same_bits(da_now, da)) << "seed " << seed;
    EXPECT_TRUE(same_bits(db_now, db)) << "seed " << seed;
  }
}

TEST(CudaLinear, ATreesGradientIsLeftAloneByWhatOtherTreesRowsHold) {
  Random random(49);
  const int64_t rows = 80, cols = 50, rank = 20;
  Matrix x = Matrix::random(random, rows, cols), dt = Matrix::random(random, rows, rank);
  const RowRange tree{0, 70};
  Matrix da(rank, cols), db(cols, rank);
  da.fill(0);
  db.fill(0);
  cuda::lora_gradient(da.view(), db.view(), x.view(), x.view(), dt.view(), dt.view(), 0.3f, &tree,
                      1, nullptr);
  for (Matrix* broken : {&x, &dt}) {
    const Matrix whole = *broken;
    for (int64_t n = tree.count; n < rows; ++n) {
      for (int64_t c = 0; c < broken->cols(); ++c) broken->at(n, c) = NAN;
    }
    Matrix da_now(rank, cols), db_now(cols, rank);
    da_now.fill(0);
    db_now.fill(0);
    cuda::lora_gradient(da_now.view(), db_now.view(), x.view(), x.view(), dt.view(), dt.view(),
                        0.3f, &tree, 1, nullptr);
    EXPECT_TRUE(same_bits(da_now, da));
    EXPECT_TRUE(same_bits(db_now, db));
    *broken = whole;
  }
}

// Inputs of whole tiles on aligned memory, so that traffic is what the shapes ask for.
class CudaLinearCounts : public testing::Test {
 protected:
  static constexpr int64_t kRows = 128, kOutputs = 256, kInputs = 128, kRank = 16;

  void SetUp() override {
    cuda::convert_weight(numbers_.view().data, Dtype::kBF16,
                         {w_.view().data, Dtype::kF32, kOutputs, kInputs}, nullptr);
    const LoraRows rows{0, kRows, a_.view(), b_.view(), 2};
    groups_.push_back(cuda::lora_group(rows));
  }
  cuda::DeviceWeight weight() { return {numbers_.view().data, Dtype::kBF16, kOutputs, kInputs}; }
  cuda::DeviceLora lora() { return {groups_.data(), 1, kRank}; }
  static void expect_traffic(const emulation::Counters& counters, int64_t least) {
    EXPECT_GE(counters.memory_bytes(), least);
    EXPECT_LE(counters.memory_bytes(), least + least / 10);
    EXPECT_EQ(counters.bank_conflicts(), 0);
  }
  // A product with one group of kRank ranks: four slices, then the group's, two barriers of each.
  static void expect_product(const emulation::Counters& counters, int64_t cols, int64_t depth) {
    EXPECT_EQ(counters.mma, kRows * cols * depth / (16 * 8 * 16));
    EXPECT_EQ(counters.mma, counters.ldmatrix * 4);
    EXPECT_EQ(counters.block_barriers, cols / 128 * (depth / 32 + 2));
    EXPECT_EQ(counters.read.wasted_sectors + counters.write.wasted_sectors, 0);
  }

  Random random_{44};
  const Buffer x_ = Buffer::random(random_, kRows, kInputs);
  const Buffer y_ = Buffer::random(random_, kRows, kOutputs);
  const Buffer w_ = Buffer::random(random_, kOutputs, kInputs);
  const Buffer bias_ = Buffer::random(random_, 1, kOutputs);
  const Buffer a_ = Buffer::random(random_, kRank, kInputs);
  const Buffer b_ = Buffer::random(random_, kOutputs, kRank);
  const Buffer t_ = Buffer::random(random_, kRows, kRank);
  // Bfloat16 in float32's memory.
  const Buffer numbers_{kOutputs, kInputs / 2}, copy_{kRows, kOutputs / 2};
  std::vector<cuda::LoraGroup> groups_;
};

TEST_F(CudaLinearCounts, Forward) {
  emulation::Session session({.seed = 5});
  cuda::linear_forward(y_.view(), t_.view(), copy_.view().data, x_.view(), weight(), bias_.view(),
                       lora(), nullptr);
  ASSERT_EQ(session.launches.size(), 2u);
  const int64_t copied = kRows * kInputs * 2;
  expect_traffic(session.launches[0].counters, x_.bytes() + copied + a_.bytes() + t_.bytes());
  const emulation::Counters& product = session.launches[1].counters;
  expect_traffic(product, copied + kOutputs * kInputs * 2 + bias_.bytes() + t_.bytes() +
                              b_.bytes() + y_.bytes());
  expect_product(product, kOutputs, kInputs);
}

TEST_F(CudaLinearCounts, Backward) {
  emulation::Session session({.seed = 6});
  cuda::linear_backward(x_.view(), t_.view(), copy_.view().data, y_.view(), weight(), lora(),
                        Write::kAdd, nullptr);
  ASSERT_EQ(session.launches.size(), 2u);
  const int64_t copied = kRows * kOutputs * 2;
  expect_traffic(session.launches[0].counters, y_.bytes() + copied + b_.bytes() + t_.bytes());
  const emulation::Counters& product = session.launches[1].counters;
  expect_traffic(product,
                 copied + kOutputs * kInputs * 2 + t_.bytes() + a_.bytes() + 2 * x_.bytes());
  expect_product(product, kInputs, kOutputs);
}

TEST_F(CudaLinearCounts, Gradient) {
  const RowRange trees[] = {{0, 64}, {64, 64}};
  emulation::Session session({.seed = 7});
  cuda::lora_gradient(a_.view(), b_.view(), y_.view(), x_.view(), t_.view(), t_.view(), 1, trees, 2,
                      nullptr);
  ASSERT_EQ(session.launches.size(), 2u);
  expect_traffic(session.launches[0].counters, x_.bytes() + t_.bytes() + 2 * a_.bytes());
  expect_traffic(session.launches[1].counters, y_.bytes() + t_.bytes() + 2 * b_.bytes());
  for (const emulation::LaunchRecord& launch : session.launches) {
    const emulation::Counters& counters = launch.counters;
    EXPECT_EQ(counters.read.wasted_sectors + counters.write.wasted_sectors, 0);
  }
}

}  // namespace
}  // namespace valora::test
