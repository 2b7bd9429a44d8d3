// The operations that look at one number, or one row, at a time: embed, rope, swiglu, add, gather,
// scatter, AdamW, sum of squares.
#include <algorithm>
#include <cmath>

#include "reference/reference.h"
#include "reference/weight_rows.h"

namespace valora::reference {

void embed_forward(View y, const Weight& table, const int32_t* ids, const Context& context) {
  parallel_for(context, y.rows,
               [&](int64_t n, int) { read_row(table, Compute::kFloat32, ids[n], y.row(n)); });
}

void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          const Context& context) {
  const int64_t half = head_dim / 2;
  parallel_for(context, x.rows, [&](int64_t n, int) {
    const float* cosines = table.row(positions[n]);
    const float* sines = cosines + half;
    for (int64_t begin = 0; begin < x.cols; begin += head_dim) {
      float* first = x.row(n) + begin;
      float* second = first + half;
      for (int64_t i = 0; i < half; ++i) {
        const double a = first[i];
        const double b = second[i];
        const double sine = double{sines[i]} * direction;
        first[i] = static_cast<float>(a * cosines[i] - b * sine);
        second[i] = static_cast<float>(b * cosines[i] + a * sine);
      }
    }
  });
}

// silu(g) = g s with s = 1 / (1 + e^-g) (Shazeer 2020).
void swiglu_forward(View h, View gate, View up, const Context& context) {
  parallel_for(context, h.rows, [&](int64_t n, int) {
    for (int64_t i = 0; i < h.cols; ++i) {
      const double g = gate.row(n)[i];
      h.row(n)[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up.row(n)[i]);
    }
  });
}

// dup = dh silu(g), dgate = dh up silu'(g), with silu'(g) = s (1 + g (1 - s)).
void swiglu_backward(View dgate, View dup, View dh, View gate, View up, const Context& context) {
  parallel_for(context, dh.rows, [&](int64_t n, int) {
    for (int64_t i = 0; i < dh.cols; ++i) {
      const double g = gate.row(n)[i];
      const double u = up.row(n)[i];
      const double d = dh.row(n)[i];
      const double s = 1.0 / (1.0 + std::exp(-g));
      dgate.row(n)[i] = static_cast<float>(d * u * s * (1.0 + g * (1.0 - s)));
      dup.row(n)[i] = static_cast<float>(d * g * s);
    }
  });
}

void add(View y, View x, const Context& context) {
  parallel_for(context, y.rows, [&](int64_t n, int) {
    for (int64_t i = 0; i < y.cols; ++i) y.row(n)[i] += x.row(n)[i];
  });
}

void gather_rows(View y, View x, const int32_t* rows, const Context& context) {
  parallel_for(context, y.rows,
               [&](int64_t n, int) { std::copy_n(x.row(rows[n]), y.cols, y.row(n)); });
}

void scatter_rows(View y, View x, const int32_t* rows, Write write, const Context& context) {
  parallel_for(context, x.rows, [&](int64_t n, int) {
    float* out = y.row(rows[n]);
    for (int64_t i = 0; i < x.cols; ++i) {
      out[i] = write == Write::kAdd ? out[i] + x.row(n)[i] : x.row(n)[i];
    }
  });
}

void adamw(View parameters, View m, View v, View gradient, const AdamwParameters& options,
           const Context& context) {
  const double beta1 = options.beta1;
  const double beta2 = options.beta2;
  const double step = static_cast<double>(options.step);
  const double step_size = options.learning_rate / (1.0 - std::pow(beta1, step));
  const double correction = std::sqrt(1.0 - std::pow(beta2, step));
  const double decay = 1.0 - double{options.learning_rate} * options.weight_decay;
  parallel_for(context, parameters.rows, [&](int64_t n, int) {
    for (int64_t i = 0; i < parameters.cols; ++i) {
      const double g = double{gradient.row(n)[i]} * options.gradient_scale;
      const double first = beta1 * m.row(n)[i] + (1.0 - beta1) * g;
      const double second = beta2 * v.row(n)[i] + (1.0 - beta2) * g * g;
      const double denominator = std::sqrt(second) / correction + options.epsilon;
      const double moved = parameters.row(n)[i] * decay - step_size * first / denominator;
      m.row(n)[i] = static_cast<float>(first);
      v.row(n)[i] = static_cast<float>(second);
      parameters.row(n)[i] = static_cast<float>(moved);
    }
  });
}

double sum_of_squares(View x, const Context&) {
  double sum = 0;
  for (int64_t n = 0; n < x.rows; ++n) {
    for (int64_t i = 0; i < x.cols; ++i) sum += double{x.row(n)[i]} * x.row(n)[i];
  }
  return sum;
}

}  // namespace valora::reference
