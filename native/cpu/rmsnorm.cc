// rmsnorm: y = x r w with r = 1 / sqrt(mean(x^2) + eps) over groups of neighbours (Zhang & Sennrich
// 2019), and its gradient by x. Sums over a group go by sixteen lanes (ops.h).
#include "cpu/cpu.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

namespace {

float inverse_rms(const float* x, int64_t width, float eps) {
  F16 squares = zero();
  for (int64_t i = 0; i < width; i += kVector) {
    const F16 value = load_some(x + i, lanes_left(i, width));
    squares = fma(value, value, squares);
  }
  return 1.0f / __builtin_sqrtf(sum_lanes(squares) / static_cast<float>(width) + eps);
}

}  // namespace

void rmsnorm_forward(View y, View x, View weight, float eps, const Context& context) {
  const int64_t width = weight.cols;
  const float* w = weight.data;
  parallel_for(context, x.rows, [&](int64_t n, int) {
    for (int64_t begin = 0; begin < x.cols; begin += width) {
      const float* in = x.row(n) + begin;
      float* out = y.row(n) + begin;
      const F16 r = broadcast(inverse_rms(in, width, eps));
      for (int64_t i = 0; i < width; i += kVector) {
        const int64_t lanes = lanes_left(i, width);
        store_some(out + i, mul(mul(load_some(in + i, lanes), r), load_some(w + i, lanes)), lanes);
      }
    }
  });
}

// dx = r w dy - x r^3 / width * sum(w dy x).
void rmsnorm_backward(View dx, View dy, View x, View weight, float eps, Write write,
                      const Context& context) {
  const int64_t width = weight.cols;
  const float* w = weight.data;
  parallel_for(context, x.rows, [&](int64_t n, int) {
    for (int64_t begin = 0; begin < x.cols; begin += width) {
      const float* in = x.row(n) + begin;
      const float* gradient = dy.row(n) + begin;
      float* out = dx.row(n) + begin;
      const float inverse = inverse_rms(in, width, eps);
      F16 products = zero();
      for (int64_t i = 0; i < width; i += kVector) {
        const int64_t lanes = lanes_left(i, width);
        const F16 weighted = mul(load_some(w + i, lanes), load_some(gradient + i, lanes));
        products = fma(weighted, load_some(in + i, lanes), products);
      }
      const F16 r = broadcast(inverse);
      const F16 pull =
          broadcast(sum_lanes(products) * inverse * inverse * inverse / static_cast<float>(width));
      for (int64_t i = 0; i < width; i += kVector) {
        const int64_t lanes = lanes_left(i, width);
        const F16 weighted = mul(load_some(w + i, lanes), load_some(gradient + i, lanes));
        F16 value = sub(mul(r, weighted), mul(load_some(in + i, lanes), pull));
        if (write == Write::kAdd) value = add(load_some(out + i, lanes), value);
        store_some(out + i, value, lanes);
      }
    }
  });
}

}  // namespace valora::VALORA_ISA
