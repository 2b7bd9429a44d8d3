// The operations that look at a row or a number at a time - embed, rmsnorm, rope, swiglu, add,
// gather, scatter, AdamW, sum of squares - against double-precision answers, for every backend.
//
// Seen failing: eps outside the mean; the group's width taken for the row's; the sine's sign kept
// in the backward; silu' without its g (1 - s) term; weight decay coupled into the gradient.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "support/matrix.h"
#include "support/weights.h"

namespace valora::test {
namespace {

class OpsRowsTest : public OpsTest {};

// (rows, groups a row, width of a group)
struct NormShape {
  int64_t rows, groups, width;
};
constexpr NormShape kNormShapes[] = {{1, 1, 1},  {3, 1, 17},  {2, 1, 576}, {5, 3, 16},
                                     {4, 2, 24}, {7, 1, 130}, {1, 9, 64},  {3, 5, 7}};

// y of one group, in double.
std::vector<double> norm_group(const std::vector<double>& x, const std::vector<double>& w,
                               double eps) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  const double r = 1 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * r * w[i];
  return y;
}

std::vector<double> piece(const Matrix& m, int64_t row, int64_t begin, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[i] = m.at(row, begin + i);
  return values;
}

TEST_P(OpsRowsTest, RmsnormForwardIsRight) {
  Random random(21);
  const Machine machine(ops(), 2);
  for (const NormShape& s : kNormShapes) {
    for (const float eps : {1e-5f, 0.25f}) {
      SCOPED_TRACE(std::to_string(s.groups) + " groups of " + std::to_string(s.width));
      const Matrix x = Matrix::random(random, s.rows, s.groups * s.width, 3);
      const Matrix w = Matrix::random(random, 1, s.width);
      Matrix y(s.rows, s.groups * s.width);
      ops::rmsnorm_forward(y.view(), x.view(), w.view(), eps, machine);
      Answer want(y.rows(), y.cols());
      for (int64_t n = 0; n < s.rows; ++n) {
        for (int64_t g = 0; g < s.groups; ++g) {
          const std::vector<double> group =
              norm_group(piece(x, n, g * s.width, s.width), piece(w, 0, 0, s.width), eps);
          for (int64_t i = 0; i < s.width; ++i) {
            want.value.at(n, g * s.width + i) = group[i];
            want.bound.at(n, g * s.width + i) =
                (s.width / kLanes + 12) * kRoundoff * std::abs(group[i]);
          }
        }
      }
      expect_within(y, want, "y");
    }
  }
}

TEST_P(OpsRowsTest, RmsnormBackwardMeetsFiniteDifferences) {
  Random random(22);
  const Machine machine(ops(), 2);
  constexpr double kStep = 1e-4;
  for (const NormShape& s : kNormShapes) {
    SCOPED_TRACE(std::to_string(s.groups) + " groups of " + std::to_string(s.width));
    const float eps = 1e-2f;
    const Matrix x = Matrix::random(random, s.rows, s.groups * s.width);
    const Matrix dy = Matrix::random(random, s.rows, s.groups * s.width);
    const Matrix w = Matrix::random(random, 1, s.width);
    const Matrix before = Matrix::random(random, s.rows, s.groups * s.width);
    Matrix dx(x.rows(), x.cols());
    Matrix added = before;
    ops::rmsnorm_backward(dx.view(), dy.view(), x.view(), w.view(), eps, Write::kOverwrite,
                          machine);
    ops::rmsnorm_backward(added.view(), dy.view(), x.view(), w.view(), eps, Write::kAdd, machine);
    Answer want(x.rows(), x.cols()), want_added(x.rows(), x.cols());
    for (int64_t n = 0; n < s.rows; ++n) {
      for (int64_t g = 0; g < s.groups; ++g) {
        const int64_t begin = g * s.width;
        const std::vector<double> at = piece(x, n, begin, s.width);
        const std::vector<double> grad = piece(dy, n, begin, s.width);
        const std::vector<double> weight = piece(w, 0, 0, s.width);
        const auto loss = [&](const std::vector<double>& input) {
          const std::vector<double> y = norm_group(input, weight, eps);
          double sum = 0;
          for (int64_t i = 0; i < s.width; ++i) sum += grad[i] * y[i];
          return sum;
        };
        double squares = 0, dot_size = 0;
        for (int64_t i = 0; i < s.width; ++i) {
          squares += at[i] * at[i];
          dot_size += std::abs(weight[i] * grad[i] * at[i]);
        }
        const double r = 1 / std::sqrt(squares / static_cast<double>(s.width) + eps);
        for (int64_t i = 0; i < s.width; ++i) {
          std::vector<double> up = at, down = at;
          up[i] += kStep;
          down[i] -= kStep;
          const double value = (loss(up) - loss(down)) / (2 * kStep);
          const double size = r * std::abs(weight[i] * grad[i]) +
                              std::abs(at[i]) * r * r * r / static_cast<double>(s.width) * dot_size;
          // The differences' own error: h^2 / 6 times a third derivative of about 60 r^4.
          const double bound =
              (2 * (s.width / kLanes) + 32) * kRoundoff * size + 10 * kStep * kStep * r * r * r * r;
          want.value.at(n, begin + i) = value;
          want.bound.at(n, begin + i) = bound;
          want_added.value.at(n, begin + i) = value + before.at(n, begin + i);
          want_added.bound.at(n, begin + i) =
              bound + 2 * kRoundoff * (size + std::abs(before.at(n, begin + i)));
        }
      }
    }
    expect_within(dx, want, "dx");
    expect_within(added, want_added, "dx added to");
  }
}

double silu(double g) { return g / (1 + std::exp(-g)); }

TEST_P(OpsRowsTest, SwigluIsRightForwardAndBackward) {
  Random random(23);
  const Machine machine(ops(), 2);
  for (const int64_t cols : {1, 15, 16, 33, 130}) {
    for (const int64_t rows : {1, 3}) {
      for (const float scale : {1.0f, 8.0f, 120.0f}) {
        SCOPED_TRACE(std::to_string(cols) + " columns, gate up to " + std::to_string(scale));
        const Matrix gate = Matrix::random(random, rows, cols, scale);
        const Matrix up = Matrix::random(random, rows, cols);
        const Matrix dh = Matrix::random(random, rows, cols);
        Matrix h(rows, cols);
        ops::swiglu_forward(h.view(), gate.view(), up.view(), machine);
        Matrix dgate = gate, dup = up;  // in place, as ops.h allows
        ops::swiglu_backward(dgate.view(), dup.view(), dh.view(), dgate.view(), dup.view(),
                             machine);
        Answer want_h(rows, cols), want_dgate(rows, cols), want_dup(rows, cols);
        for (int64_t n = 0; n < rows; ++n) {
          for (int64_t i = 0; i < cols; ++i) {
            const double g = gate.at(n, i), u = up.at(n, i), d = dh.at(n, i);
            const double s = 1 / (1 + std::exp(-g));
            // Beyond 87 exp saturates: what is left of silu there is below 1e-35.
            const double floor = 1e-35;
            want_h.value.at(n, i) = silu(g) * u;
            want_h.bound.at(n, i) = 12 * kRoundoff * std::abs(silu(g) * u) + floor;
            want_dup.value.at(n, i) = d * silu(g);
            want_dup.bound.at(n, i) = 12 * kRoundoff * std::abs(d * silu(g)) + floor;
            const double kStep = 1e-5;
            const double slope = (silu(g + kStep) - silu(g - kStep)) / (2 * kStep);
            want_dgate.value.at(n, i) = d * u * slope;
            want_dgate.bound.at(n, i) =
                20 * kRoundoff * std::abs(d * u) * s * (1 + std::abs(g) * (1 + s)) +
                1e-9 * std::abs(d * u) * (1 + std::abs(g)) + floor;
          }
        }
        expect_within(h, want_h, "h");
        expect_within(dup, want_dup, "dup");
        expect_within(dgate, want_dgate, "dgate");
      }
    }
  }
}

TEST_P(OpsRowsTest, RopeRotatesByThePositionAndBack) {
  Random random(24);
  const Machine machine(ops(), 2);
  for (const int64_t width : {2, 6, 16, 24, 64, 80, 128}) {
    for (const int64_t heads : {1, 3}) {
      SCOPED_TRACE(std::to_string(heads) + " heads of " + std::to_string(width));
      const int64_t rows = 5, places = 9, half = width / 2;
      Matrix table(places, width);
      for (int64_t p = 0; p < places; ++p) {
        for (int64_t i = 0; i < half; ++i) {
          const double angle = static_cast<double>(p) / std::pow(10.0, static_cast<double>(i));
          table.at(p, i) = static_cast<float>(std::cos(angle));
          table.at(p, half + i) = static_cast<float>(std::sin(angle));
        }
      }
      const std::vector<int32_t> positions = {8, 0, 3, 3, 1};
      const Matrix before = Matrix::random(random, rows, heads * width);
      Matrix x = before;
      ops::rope(x.view(), table.view(), positions.data(), width, 1, machine);
      Matrix back = x;
      ops::rope(back.view(), table.view(), positions.data(), width, -1, machine);
      Answer want(rows, heads * width), want_back(rows, heads * width);
      for (int64_t n = 0; n < rows; ++n) {
        for (int64_t head = 0; head < heads; ++head) {
          for (int64_t i = 0; i < half; ++i) {
            const int64_t first = head * width + i, second = first + half;
            const double c = table.at(positions[n], i), s = table.at(positions[n], half + i);
            const double a = before.at(n, first), b = before.at(n, second);
            want.value.at(n, first) = a * c - b * s;
            want.value.at(n, second) = b * c + a * s;
            want_back.value.at(n, first) = a;
            want_back.value.at(n, second) = b;
            for (const int64_t column : {first, second}) {
              want.bound.at(n, column) = 3 * kRoundoff * (std::abs(a) + std::abs(b));
              want_back.bound.at(n, column) = 10 * kRoundoff * (std::abs(a) + std::abs(b));
            }
          }
        }
      }
      expect_within(x, want, "x");
      expect_within(back, want_back, "x rotated back");
    }
  }
}

TEST_P(OpsRowsTest, EmbedReadsRowsOfEveryDtype) {
  Random random(25);
  const Machine machine(ops(), 2);
  for (const Dtype dtype : kAllDtypes) {
    SCOPED_TRACE(dtype_info(dtype).name);
    const StoredWeight table = random_weight(random, dtype, 11, dtype_info(dtype).block_size * 3);
    const std::vector<int32_t> ids = {10, 0, 3, 3};
    Matrix y(4, table.source.cols);
    ops::embed_forward(y.view(), *table.upload(ops()), ids.data(), machine);
    for (int64_t n = 0; n < 4; ++n) EXPECT_TRUE(same_row(y, n, table.values, ids[n])) << n;
    EXPECT_TRUE(y.padding_intact());
  }
}

TEST_P(OpsRowsTest, AddGatherAndScatterMoveExactNumbers) {
  Random random(26);
  const Machine machine(ops(), 2);
  for (const int64_t cols : {1, 16, 37}) {
    const Matrix x = Matrix::random(random, 6, cols);
    const Matrix base = Matrix::random(random, 6, cols);
    Matrix sum = base;
    ops::add(sum.view(), x.view(), machine);
    const std::vector<int32_t> rows = {5, 0, 2, 0};
    Matrix gathered(4, cols);
    ops::gather_rows(gathered.view(), x.view(), rows.data(), machine);
    const std::vector<int32_t> places = {4, 1, 3};
    Matrix replaced = base, added = base;
    const Matrix small = x.slice(0, 3);
    ops::scatter_rows(replaced.view(), small.view(), places.data(), Write::kOverwrite, machine);
    ops::scatter_rows(added.view(), small.view(), places.data(), Write::kAdd, machine);
    for (int64_t n = 0; n < 6; ++n) {
      const auto found = std::find(places.begin(), places.end(), n);
      const int64_t from = found == places.end() ? -1 : found - places.begin();
      for (int64_t i = 0; i < cols; ++i) {
        EXPECT_EQ(sum.at(n, i), base.at(n, i) + x.at(n, i));
        EXPECT_EQ(replaced.at(n, i), from < 0 ? base.at(n, i) : x.at(from, i));
        EXPECT_EQ(added.at(n, i), from < 0 ? base.at(n, i) : base.at(n, i) + x.at(from, i));
      }
    }
    for (int64_t n = 0; n < 4; ++n) EXPECT_TRUE(same_row(gathered, n, x, rows[n]));
    EXPECT_TRUE(sum.padding_intact() && gathered.padding_intact() && replaced.padding_intact() &&
                added.padding_intact());
  }
}

TEST_P(OpsRowsTest, AdamwFollowsItsDefinition) {
  Random random(27);
  const Machine machine(ops(), 2);
  for (const int64_t step : {1, 7, 1000}) {
    for (const int64_t cols : {1, 16, 53}) {
      SCOPED_TRACE("step " + std::to_string(step));
      const AdamwParameters options{1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.5f, step};
      const Matrix p0 = Matrix::random(random, 3, cols), g = Matrix::random(random, 3, cols);
      const Matrix m0 = Matrix::random(random, 3, cols, 0.1f);
      Matrix v0 = Matrix::random(random, 3, cols, 0.01f);
      for (int64_t n = 0; n < 3; ++n) {
        for (int64_t i = 0; i < cols; ++i) v0.at(n, i) = std::abs(v0.at(n, i));
      }
      Matrix p = p0, m = m0, v = v0;
      ops::adamw(p.view(), m.view(), v.view(), g.view(), options, machine);
      Answer want_p(3, cols), want_m(3, cols), want_v(3, cols);
      const double beta1 = options.beta1, beta2 = options.beta2;
      for (int64_t n = 0; n < 3; ++n) {
        for (int64_t i = 0; i < cols; ++i) {
          const double grad = double{g.at(n, i)} * options.gradient_scale;
          const double first = beta1 * m0.at(n, i) + (1 - beta1) * grad;
          const double second = beta2 * v0.at(n, i) + (1 - beta2) * grad * grad;
          const double m_hat = first / (1 - std::pow(beta1, static_cast<double>(step)));
          const double v_hat = second / (1 - std::pow(beta2, static_cast<double>(step)));
          const double move = options.learning_rate * m_hat / (std::sqrt(v_hat) + options.epsilon);
          const double first_size = std::abs(beta1 * m0.at(n, i)) + std::abs((1 - beta1) * grad);
          const double m_error = 4 * kRoundoff * first_size;
          want_m.value.at(n, i) = first;
          want_m.bound.at(n, i) = m_error;
          want_v.value.at(n, i) = second;
          want_v.bound.at(n, i) = 5 * kRoundoff * second;
          want_p.value.at(n, i) =
              p0.at(n, i) * (1 - double{options.learning_rate} * options.weight_decay) - move;
          // The move inherits m's error, amplified as m is.
          want_p.bound.at(n, i) = 3 * kRoundoff * std::abs(p0.at(n, i)) +
                                  std::abs(move) * (16 * kRoundoff + m_error / std::abs(first));
        }
      }
      expect_within(m, want_m, "m");
      expect_within(v, want_v, "v");
      expect_within(p, want_p, "p");
    }
  }
}

// In double: the float32 sum of these would be off by 1e-5 and more.
TEST_P(OpsRowsTest, SumOfSquaresIsSummedInDouble) {
  Random random(28);
  const Machine machine(ops(), 2);
  for (const int64_t cols : {1, 31, 1000}) {
    const Matrix x = Matrix::random(random, 300, cols, 100);
    double want = 0;
    for (int64_t n = 0; n < 300; ++n) {
      for (int64_t i = 0; i < cols; ++i) want += double{x.at(n, i)} * x.at(n, i);
    }
    EXPECT_NEAR(ops::sum_of_squares(x.view(), machine), want, 1e-12 * want);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OpsRowsTest, testing::ValuesIn(backends()), backend_name);

}  // namespace
}  // namespace valora::test
