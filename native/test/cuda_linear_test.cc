// linear_forward's CUDA kernel under emulation, on tiles that are whole and tiles that are not:
// with inputs that bfloat16 holds exactly, at float32's tolerance; with others, at bfloat16's; the
// same bits in every order and whatever else is in the batch; and its counts.
//
// Seen failing: the barrier of the main loop removed; cp.async waited for one group too late; the
// swizzle taken out (conflicts); b's two registers exchanged.
#include "cuda/cuda.h"
#include "support/linear_answer.h"

namespace valora::test {
namespace {

float rounded(float value) { return __bfloat162float(__float2bfloat16_rn(value)); }

// An operation's inputs; w is kept as the kernel wants it too.
struct Inputs {
  Matrix x, w, bias;
  std::vector<__nv_bfloat16> w16;
  int64_t padded;

  Inputs(Random& random, int64_t rows, int64_t outputs, int64_t inputs, bool exact)
      : x(Matrix::random(random, rows, inputs)),
        w(Matrix::random(random, outputs, inputs)),
        bias(Matrix::random(random, 1, outputs)),
        padded((inputs + cuda::kLinearPad - 1) / cuda::kLinearPad * cuda::kLinearPad) {
    w16.assign(static_cast<size_t>(outputs * padded), {0});
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t n = 0; exact && n < rows; ++n) x.at(n, i) = rounded(x.at(n, i));
      for (int64_t o = 0; o < outputs; ++o) {
        w16[o * padded + i] = __float2bfloat16_rn(w.at(o, i));
        if (exact) w.at(o, i) = rounded(w.at(o, i));
      }
    }
  }

  Matrix run(uint64_t seed, const Matrix& input,
             std::vector<emulation::LaunchRecord>* launches = nullptr) const {
    emulation::Session session({.seed = seed});
    Matrix y(input.rows(), w.rows());
    std::vector<__nv_bfloat16> x16(static_cast<size_t>(input.rows() * padded));
    cuda::linear_forward(y.view(), x16.data(), input.view(),
                         {w16.data(), Dtype::kBF16, w.rows(), padded}, bias.view(), nullptr);
    if (launches != nullptr) *launches = session.launches;
    return y;
  }
};

struct Shape {
  int64_t rows, outputs, inputs;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 5, 17}, {128, 128, 32}, {130, 70, 100}, {17, 257, 72}};

TEST(CudaLinear, IsExactToFloat32WhereTheInputsAreBfloat16) {
  Random random(41);
  for (const Shape& s : kShapes) {
    SCOPED_TRACE(std::to_string(s.rows) + " x " + std::to_string(s.outputs) + " x " +
                 std::to_string(s.inputs));
    const Inputs in(random, s.rows, s.outputs, s.inputs, true);
    const LinearAnswer want = linear_forward_answer(in.x.grid(), in.w, in.bias, {});
    expect_within(in.run(1, in.x), want.out, "y");
  }
}

TEST(CudaLinear, RoundsItsInputsToBfloat16Once) {
  Random random(42);
  const Inputs in(random, 40, 48, 200, false);
  LinearAnswer want = linear_forward_answer(in.x.grid(), in.w, in.bias, {});
  for (int64_t n = 0; n < 40; ++n) {
    for (int64_t o = 0; o < 48; ++o) {
      double size = 0;
      for (int64_t i = 0; i < 200; ++i) size += std::abs(double{in.x.at(n, i)} * in.w.at(o, i));
      // Two roundings of at most 2^-9 a product.
      want.out.bound.at(n, o) += 2.01 * size / (1 << 9);
    }
  }
  expect_within(in.run(1, in.x), want.out, "y");
}

TEST(CudaLinear, GivesTheSameBitsInEveryOrderAndForARowAlone) {
  Random random(43);
  const Inputs in(random, 140, 40, 104, false);
  const Matrix first = in.run(0, in.x);
  for (uint64_t seed = 1; seed < 20; ++seed) {
    EXPECT_TRUE(same_bits(in.run(seed, in.x), first)) << "seed " << seed;
  }
  for (const int64_t row : {0, 77, 139}) {
    EXPECT_TRUE(same_row(in.run(3, in.x.slice(row, 1)), 0, first, row)) << "row " << row;
  }
}

TEST(CudaLinear, CountsWhatItsHeaderSays) {
  Random random(44);
  constexpr int64_t kRows = 128, kOutputs = 256, kInputs = 128;
  const Inputs in(random, kRows, kOutputs, kInputs, false);
  std::vector<emulation::LaunchRecord> launches;
  in.run(5, in.x, &launches);
  ASSERT_EQ(launches.size(), 2u);
  const emulation::Counters& counters = launches[1].counters;
  EXPECT_EQ(counters.mma, kRows * kOutputs * kInputs / (16 * 8 * 16));
  EXPECT_EQ(counters.mma * 6, counters.ldmatrix * 16);
  EXPECT_EQ(counters.bank_conflicts(), 0);
  // Two blocks, each four slices.
  EXPECT_EQ(counters.block_barriers, 2 * kInputs / 32);
  // What the tiles read: each block all of x and its half of w, and the bias's sectors.
  const int64_t least = (kRows + kOutputs) * kInputs * 2 + kOutputs * 4 + kRows * kOutputs * 4;
  EXPECT_LE(counters.memory_bytes(), least + least / 10);
}

}  // namespace
}  // namespace valora::test
