// rmsnorm: y = x r w with r = 1 / sqrt(mean(x^2) + eps) over groups of neighbours (Zhang & Sennrich
// 2019), and its gradient by x.
#include <cmath>

#include "reference/reference.h"

namespace valora::reference {

namespace {

double inverse_rms(const float* x, int64_t width, float eps) {
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += double{x[i]} * x[i];
  return 1.0 / std::sqrt(sum / static_cast<double>(width) + eps);
}

}  // namespace

void rmsnorm_forward(View y, View x, View weight, float eps, const Context& context) {
  const int64_t width = weight.cols;
  const float* w = weight.data;
  parallel_for(context, x.rows, [&](int64_t n, int) {
    for (int64_t begin = 0; begin < x.cols; begin += width) {
      const float* in = x.row(n) + begin;
      float* out = y.row(n) + begin;
      const double r = inverse_rms(in, width, eps);
      for (int64_t i = 0; i < width; ++i) out[i] = static_cast<float>(in[i] * r * w[i]);
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
      const float* grad = dy.row(n) + begin;
      float* out = dx.row(n) + begin;
      const double r = inverse_rms(in, width, eps);
      double dot = 0;
      for (int64_t i = 0; i < width; ++i) dot += double{w[i]} * grad[i] * in[i];
      const double pull = dot * r * r * r / static_cast<double>(width);
      for (int64_t i = 0; i < width; ++i) {
        const double before = write == Write::kAdd ? out[i] : 0.0;
        out[i] = static_cast<float>(before + r * w[i] * grad[i] - in[i] * pull);
      }
    }
  });
}

}  // namespace valora::reference
