// Attention's CUDA kernels on tensor cores, under the emulation: near the double-precision answers,
// the same bits in twenty orders, for a few queries and for many, and with the traffic and
// instructions that their headers state. (Float32 on awkward shapes: ops_attention_test.cc, built
// for the emulation as well.)
#include "cuda/cuda.h"
#include "support/attention_answer.h"
#include "support/device_buffer.h"
#include "support/device_paths.h"

namespace valora::test {
namespace {

using Records = std::vector<emulation::LaunchRecord>;

// Inputs that bfloat16 holds exactly, and what the kernels made of them.
struct Attended {
  AttentionShape shape;
  Matrix q, k, v, d_o, o, lse, dq, dk, dv;

  Attended(Random& random, int64_t queries, int64_t keys, const AttentionShape& s)
      : shape(s),
        q(rounded(random, queries, s.heads * s.head_dim, 2)),
        k(rounded(random, keys, s.kv_heads * s.head_dim, 2)),
        v(rounded(random, keys, s.kv_heads * s.head_dim, 1)),
        d_o(rounded(random, queries, s.heads * s.head_dim, 1)) {}

  static Matrix rounded(Random& random, int64_t rows, int64_t cols, float scale) {
    Matrix m = Matrix::random(random, rows, cols, scale);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        m.at(i, j) = __bfloat162float(__float2bfloat16_rn(m.at(i, j)));
      }
    }
    return m;
  }

  void forward(const PathsView& paths, uint64_t seed, Compute compute = Compute::kBf16) {
    emulation::Session session({.seed = seed});
    const cuda::AttentionPlan plan = cuda::plan_forward(paths, shape, compute);
    std::vector<float> scratch(
        static_cast<size_t>(cuda::attention_forward_bytes(q.rows(), k.rows(), shape, compute) / 4));
    o = Matrix(q.rows(), q.cols());
    lse = Matrix(q.rows(), shape.heads);
    cuda::attention_forward(o.view(), lse.view(), q.view(), k.view(), v.view(),
                            device_paths(paths, plan), shape, compute, scratch.data(), nullptr);
  }
  void backward(const PathsView& paths, uint64_t seed, Compute compute = Compute::kBf16) {
    emulation::Session session({.seed = seed});
    const cuda::AttentionPlan plan = cuda::plan_backward(paths, k.rows(), shape, compute);
    std::vector<float> scratch(static_cast<size_t>(
        cuda::attention_backward_bytes(q.rows(), k.rows(), shape, compute) / 4));
    dq = Matrix(q.rows(), q.cols());
    dk = Matrix(k.rows(), k.cols());
    dv = Matrix(k.rows(), k.cols());
    cuda::attention_backward(dq.view(), dk.view(), dv.view(), d_o.view(), o.view(), lse.view(),
                             q.view(), k.view(), v.view(), device_paths(paths, plan), shape,
                             compute, scratch.data(), nullptr);
  }
};

// Prompts with branches over a block's border, and a tree of one row.
Forest branches() {
  return make_forest(make_spans({{-1, 40}, {0, 30}, {0, 3}, {2, 2}, {-1, 1}}), {39, 69, 72, 75});
}

// Weights and their gradients are rounded to 2^-9 of themselves, and o, which is part of delta, so
// becomes off by as much of sum(p |v|), some times |o|. The float32 bounds allow at least a hundred
// roundings of 2^-24; this share of them is 2^-6.
void loosen(Answer& answer) {
  constexpr double kTimes = (1 << 18) / 100.0;
  for (double& bound : answer.bound.data) bound *= kTimes;
}

TEST(CudaAttention, IsRightToBfloat16) {
  Random random(61);
  for (const int64_t width : {16, 64, 72, 128}) {
    SCOPED_TRACE("heads of " + std::to_string(width));
    const Forest forest = branches();
    const AttentionShape shape = attention_shape(6, 2, width);
    Attended run(random, forest.rows(), forest.rows(), shape);
    run.forward(forest.all_paths(), 1);
    run.backward(forest.all_paths(), 2);
    const Grid q = run.q.grid(), k = run.k.grid(), v = run.v.grid();
    AttentionAnswer forward = attention_forward_answer(q, k, v, forest.all_paths(), shape);
    AttentionGradients gradients =
        attention_backward_answer(run.d_o.grid(), q, k, v, forest.all_paths(), shape);
    // Scores are sums of exact products, so the normaliser is float32's.
    expect_within(run.lse, forward.lse, "lse");
    for (Answer* answer : {&forward.o, &gradients.dq, &gradients.dk, &gradients.dv}) {
      loosen(*answer);
    }
    expect_within(run.o, forward.o, "o");
    expect_within(run.dq, gradients.dq, "dq");
    expect_within(run.dk, gradients.dk, "dk");
    expect_within(run.dv, gradients.dv, "dv");
  }
}

TEST(CudaAttention, GivesTheSameBitsInEveryOrder) {
  Random random(62);
  const Forest forest = branches();
  for (const Compute compute : {Compute::kBf16, Compute::kFloat32}) {
    Attended first(random, forest.rows(), forest.rows(), attention_shape(2, 1, 16));
    first.forward(forest.all_paths(), 0, compute);
    first.backward(forest.all_paths(), 0, compute);
    Attended run = first;
    for (uint64_t seed = 1; seed < 20; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      run.forward(forest.all_paths(), seed, compute);
      run.backward(forest.all_paths(), seed, compute);
      EXPECT_TRUE(same_bits(run.o, first.o) && same_bits(run.lse, first.lse));
      EXPECT_TRUE(same_bits(run.dq, first.dq));
      EXPECT_TRUE(same_bits(run.dk, first.dk) && same_bits(run.dv, first.dv));
    }
  }
}

// A generation's step, whose kernel reads keys as they are, and a whole text at once.
TEST(CudaAttention, GivesAFewQueriesTheBitsOfMany) {
  Random random(63);
  const Forest forest = branches();
  const AttentionShape shape = attention_shape(6, 2, 64);
  ASSERT_FALSE(cuda::plan_forward(forest.all_paths(), shape, Compute::kBf16).few);
  ASSERT_TRUE(cuda::plan_forward(forest.target_paths(), shape, Compute::kBf16).few);
  Attended many(random, forest.rows(), forest.rows(), shape);
  many.forward(forest.all_paths(), 3);
  const std::vector<int32_t>& rows = forest.target_rows();
  Attended few(random, static_cast<int64_t>(rows.size()), forest.rows(), shape);
  few.k = many.k;
  few.v = many.v;
  for (size_t i = 0; i < rows.size(); ++i) few.q.copy_row(i, many.q, rows[i]);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    few.forward(forest.target_paths(), seed);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_TRUE(same_row(few.o, i, many.o, rows[i])) << "row " << rows[i];
      EXPECT_TRUE(same_row(few.lse, i, many.lse, rows[i])) << "row " << rows[i];
    }
  }
}

TEST(CudaAttention, RefusesHeadsThatAreTooWide) {
  EXPECT_THROW(cuda::attention_forward_bytes(1, 1, attention_shape(1, 1, 160), Compute::kBf16),
               Error);
}

TEST(CudaAttention, CountsWhatItsHeadersSay) {
  Random random(64);
  constexpr int64_t kRows = 192, kWidth = 64;
  const AttentionShape shape = attention_shape(2, 1, kWidth);
  const Forest forest = make_forest(make_spans({{-1, kRows}}));
  const PathsView paths = forest.all_paths();
  const Buffer q = Buffer::random(random, kRows, 2 * kWidth);
  const Buffer k = Buffer::random(random, kRows, kWidth), v = Buffer::random(random, kRows, kWidth);
  const Buffer d_o = Buffer::random(random, kRows, 2 * kWidth);
  const Buffer o(kRows, 2 * kWidth), lse(kRows, 2), dq(kRows, 2 * kWidth);
  const Buffer dk(kRows, kWidth), dv(kRows, kWidth);
  const Buffer scratch(1, cuda::attention_backward_bytes(kRows, kRows, shape, Compute::kBf16) / 4);

  const auto expect_clean = [](const emulation::LaunchRecord& launch, int64_t least_bytes) {
    SCOPED_TRACE(launch.kernel);
    const emulation::Counters& counters = launch.counters;
    EXPECT_EQ(counters.bank_conflicts(), 0);
    EXPECT_LE(counters.memory_bytes(), least_bytes + least_bytes / 10);
    EXPECT_GE(counters.memory_bytes(), least_bytes);
  };
  {
    emulation::Session session({.seed = 6});
    const cuda::AttentionPlan plan = cuda::plan_forward(paths, shape, Compute::kBf16);
    cuda::attention_forward(o.view(), lse.view(), q.view(), k.view(), v.view(),
                            device_paths(paths, plan), shape, Compute::kBf16, scratch.view().data,
                            nullptr);
    ASSERT_EQ(session.launches.size(), 4u);
    expect_clean(session.launches[0], q.bytes() + q.bytes() / 2);
    expect_clean(session.launches[3],
                 q.bytes() / 2 + k.bytes() / 2 + v.bytes() / 2 + o.bytes() + lse.bytes());
    // Six tiles of 64 pairs, 32 rows each: two with one block of keys, two with two, two with
    // three. A warp's block is two products of 16 x 64 x 64.
    const emulation::Counters& counters = session.launches[3].counters;
    const int64_t blocks = 4 * 2 * (1 + 2 + 3);
    EXPECT_EQ(counters.mma, blocks * 2 * (16 * 64 * 64) / (16 * 8 * 16));
    EXPECT_EQ(counters.ldmatrix, blocks * (4 * (1 + 4) + 4 * 4));
    EXPECT_EQ(counters.read.wasted_sectors, 0);
  }
  {
    emulation::Session session({.seed = 7});
    const cuda::AttentionPlan plan = cuda::plan_backward(paths, kRows, shape, Compute::kBf16);
    cuda::attention_backward(dq.view(), dk.view(), dv.view(), d_o.view(), o.view(), lse.view(),
                             q.view(), k.view(), v.view(), device_paths(paths, plan), shape,
                             Compute::kBf16, scratch.view().data, nullptr);
    ASSERT_EQ(session.launches.size(), 7u);
    const int64_t packed = q.bytes() + k.bytes(), statistics = 2 * lse.bytes();
    expect_clean(session.launches[4], d_o.bytes() + o.bytes() + lse.bytes());
    expect_clean(session.launches[5], packed + statistics + dq.bytes());
    expect_clean(session.launches[6], packed + statistics + dk.bytes() + dv.bytes());
    // Keys come 32 at a time: one to six for the tiles of 64 pairs, of which the first sees 32
    // keys, the next 64.
    const int64_t blocks = 4 * (1 + 2 + 3 + 4 + 5 + 6);
    EXPECT_EQ(session.launches[5].counters.mma, blocks * 3 * (16 * 32 * 64) / (16 * 8 * 16));
    // Three tiles of 64 keys, seen by 384, 256 and 128 pairs.
    const int64_t visits = 4 * (12 + 8 + 4);
    EXPECT_EQ(session.launches[6].counters.mma, visits * 4 * (16 * 32 * 64) / (16 * 8 * 16));
  }
}

}  // namespace
}  // namespace valora::test
