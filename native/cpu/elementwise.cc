// The operations that look at one number, or one row, at a time: embed, rope, swiglu, add, gather,
// scatter, AdamW, sum of squares.
#include "cpu/cpu.h"
#include "cpu/expand.h"
#include "cpu/rows.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

void embed_forward(View y, const Weight& table, const int32_t* ids, const Context& context) {
  for_rows(context, y.rows, y.cols,
           [&](int64_t n) { expand(table.source.dtype, table.row(ids[n]), y.cols, y.row(n)); });
}

void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          const Context& context) {
  const int64_t half = head_dim / 2;
  const F16 sign = broadcast(static_cast<float>(direction));
  for_rows(context, x.rows, x.cols, [&](int64_t n) {
    const float* cosines = table.row(positions[n]);
    const float* sines = cosines + half;
    for (int64_t begin = 0; begin < x.cols; begin += head_dim) {
      float* first = x.row(n) + begin;
      float* second = first + half;
      for (int64_t i = 0; i < half; i += kVector) {
        const int64_t lanes = lanes_left(i, half);
        const F16 a = load_some(first + i, lanes);
        const F16 b = load_some(second + i, lanes);
        const F16 cosine = load_some(cosines + i, lanes);
        const F16 sine = mul(load_some(sines + i, lanes), sign);
        store_some(first + i, sub(mul(a, cosine), mul(b, sine)), lanes);
        store_some(second + i, add(mul(b, cosine), mul(a, sine)), lanes);
      }
    }
  });
}

// silu(g) up with silu(g) = g / (1 + e^-g) (Shazeer 2020).
void swiglu_forward(View h, View gate, View up, const Context& context) {
  for_rows(context, h.rows, h.cols, [&](int64_t n) {
    for (int64_t i = 0; i < h.cols; i += kVector) {
      const int64_t lanes = lanes_left(i, h.cols);
      const F16 g = load_some(gate.row(n) + i, lanes);
      const F16 u = load_some(up.row(n) + i, lanes);
      store_some(h.row(n) + i, mul(div(g, one_plus_exp_minus(g)), u), lanes);
    }
  });
}

// dup = dh silu(g), dgate = dh up s (1 + g (1 - s)) with s = 1 / (1 + e^-g).
void swiglu_backward(View dgate, View dup, View dh, View gate, View up, const Context& context) {
  const F16 one = broadcast(1.0f);
  for_rows(context, dh.rows, dh.cols, [&](int64_t n) {
    for (int64_t i = 0; i < dh.cols; i += kVector) {
      const int64_t lanes = lanes_left(i, dh.cols);
      const F16 g = load_some(gate.row(n) + i, lanes);
      const F16 u = load_some(up.row(n) + i, lanes);
      const F16 d = load_some(dh.row(n) + i, lanes);
      const F16 s = div(one, one_plus_exp_minus(g));
      const F16 slope = mul(s, fma(g, sub(one, s), one));
      store_some(dgate.row(n) + i, mul(mul(d, u), slope), lanes);
      store_some(dup.row(n) + i, mul(d, mul(g, s)), lanes);
    }
  });
}

void add(View y, View x, const Context& context) {
  for_rows(context, y.rows, y.cols, [&](int64_t n) {
    for (int64_t i = 0; i < y.cols; i += kVector) {
      const int64_t lanes = lanes_left(i, y.cols);
      store_some(y.row(n) + i, add(load_some(y.row(n) + i, lanes), load_some(x.row(n) + i, lanes)),
                 lanes);
    }
  });
}

void gather_rows(View y, View x, const int32_t* rows, const Context& context) {
  for_rows(context, y.rows, y.cols,
           [&](int64_t n) { std::memcpy(y.row(n), x.row(rows[n]), y.cols * 4); });
}

void scatter_rows(View y, View x, const int32_t* rows, Write write, const Context& context) {
  for_rows(context, x.rows, x.cols, [&](int64_t n) {
    float* out = y.row(rows[n]);
    if (write == Write::kOverwrite) {
      std::memcpy(out, x.row(n), x.cols * 4);
      return;
    }
    for (int64_t i = 0; i < x.cols; i += kVector) {
      const int64_t lanes = lanes_left(i, x.cols);
      store_some(out + i, add(load_some(out + i, lanes), load_some(x.row(n) + i, lanes)), lanes);
    }
  });
}

// torch.optim.AdamW's single-tensor update: decay, moments, then the step; the constants are worked
// out in double and rounded once, as there.
void adamw(View parameters, View m, View v, View gradient, const AdamwParameters& options,
           const Context& context) {
  const double step = static_cast<double>(options.step);
  const double rate = static_cast<double>(options.learning_rate);
  const double beta1 = static_cast<double>(options.beta1);
  const double beta2 = static_cast<double>(options.beta2);
  const F16 step_size = broadcast(static_cast<float>(rate / (1.0 - std::pow(beta1, step))));
  const F16 correction = broadcast(static_cast<float>(std::sqrt(1.0 - std::pow(beta2, step))));
  const F16 keep =
      broadcast(static_cast<float>(1.0 - rate * static_cast<double>(options.weight_decay)));
  const F16 keep1 = broadcast(options.beta1);
  const F16 keep2 = broadcast(options.beta2);
  const F16 take1 = broadcast(static_cast<float>(1.0 - beta1));
  const F16 take2 = broadcast(static_cast<float>(1.0 - beta2));
  const F16 epsilon = broadcast(options.epsilon);
  const F16 scale = broadcast(options.gradient_scale);
  for_rows(context, parameters.rows, parameters.cols, [&](int64_t n) {
    for (int64_t i = 0; i < parameters.cols; i += kVector) {
      const int64_t lanes = lanes_left(i, parameters.cols);
      const F16 g = mul(load_some(gradient.row(n) + i, lanes), scale);
      const F16 first = fma(keep1, load_some(m.row(n) + i, lanes), mul(take1, g));
      const F16 second = fma(keep2, load_some(v.row(n) + i, lanes), mul(mul(take2, g), g));
      const F16 denominator = add(div(sqrt(second), correction), epsilon);
      const F16 decayed = mul(load_some(parameters.row(n) + i, lanes), keep);
      store_some(m.row(n) + i, first, lanes);
      store_some(v.row(n) + i, second, lanes);
      store_some(parameters.row(n) + i, sub(decayed, mul(step_size, div(first, denominator))),
                 lanes);
    }
  });
}

// Element i of a row goes to lane i % 16; the lanes go on from row to row and are folded at the
// end.
double sum_of_squares(View x, const Context&) {
  double lanes[kVector] = {};
  for (int64_t n = 0; n < x.rows; ++n) {
    const float* row = x.row(n);
    int64_t i = 0;
    for (; i + kVector <= x.cols; i += kVector) {
      for (int64_t l = 0; l < kVector; ++l) {
        const double value = static_cast<double>(row[i + l]);
        lanes[l] += value * value;
      }
    }
    for (; i < x.cols; ++i) {
      const double value = static_cast<double>(row[i]);
      lanes[i % kVector] += value * value;
    }
  }
  for (int64_t half = kVector / 2; half > 0; half /= 2) {
    for (int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

}  // namespace valora::VALORA_ISA
