// linear: y = x W^T + bias + LoRA, its gradient by x, and the gradient of the LoRA pair. W stays as
// stored and is decoded row by row.
#include <algorithm>
#include <string>
#include <vector>

#include "reference/reference.h"
#include "reference/weight_rows.h"

namespace valora::reference {

namespace {

constexpr int64_t kRowBlock = 64;  // batch rows for which W is decoded once in the backward

void clear(View view) {
  for (int64_t n = 0; n < view.rows; ++n) std::fill_n(view.row(n), view.cols, 0.0f);
}

}  // namespace

void linear_forward(View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                    const Scratch&, const Context& context) {
  const int64_t outputs = w.rows();
  const int64_t blocks = (outputs + kOutputBlock - 1) / kOutputBlock;
  parallel_for(context, blocks, [&](int64_t index, int) {
    const int64_t begin = index * kOutputBlock;
    const int64_t count = std::min(kOutputBlock, outputs - begin);
    WeightBlock block(w, context.compute);
    block.load(begin, count);
    for (int64_t n = 0; n < x.rows; ++n) {
      double sums[kOutputBlock];
      block.multiply(x.row(n), sums);
      for (int64_t j = 0; j < count; ++j) {
        const double add = bias.empty() ? 0.0 : bias.data[begin + j];
        y.row(n)[begin + j] = static_cast<float>(sums[j] + add);
      }
    }
  });

  clear(t);
  for (int64_t g = 0; g < lora.count; ++g) {
    const LoraRows& group = lora.groups[g];
    parallel_for(context, group.count, [&](int64_t i, int) {
      const int64_t n = group.begin + i;
      for (int64_t r = 0; r < group.a.rows; ++r) {
        double sum = 0;
        for (int64_t c = 0; c < x.cols; ++c) sum += double{x.row(n)[c]} * group.a.row(r)[c];
        t.row(n)[r] = static_cast<float>(sum);
      }
      for (int64_t o = 0; o < outputs; ++o) {
        double sum = 0;
        for (int64_t r = 0; r < group.a.rows; ++r) sum += double{t.row(n)[r]} * group.b.row(o)[r];
        y.row(n)[o] = static_cast<float>(y.row(n)[o] + group.scale * sum);
      }
    });
  }
}

void linear_backward(View dx, View dt, View dy, const Weight& w, const LoraView& lora, Write write,
                     const Scratch&, const Context& context) {
  clear(dt);
  for (int64_t g = 0; g < lora.count; ++g) {
    const LoraRows& group = lora.groups[g];
    parallel_for(context, group.count, [&](int64_t i, int) {
      const int64_t n = group.begin + i;
      for (int64_t r = 0; r < group.a.rows; ++r) {
        double sum = 0;
        for (int64_t o = 0; o < dy.cols; ++o) sum += double{dy.row(n)[o]} * group.b.row(o)[r];
        dt.row(n)[r] = static_cast<float>(group.scale * sum);
      }
    });
  }

  if (dx.empty()) return;
  const int64_t inputs = w.cols();
  const int64_t blocks = (dy.rows + kRowBlock - 1) / kRowBlock;
  parallel_for(context, blocks, [&](int64_t index, int) {
    const int64_t begin = index * kRowBlock;
    const int64_t count = std::min(kRowBlock, dy.rows - begin);
    std::vector<double> sums(count * inputs, 0.0);
    std::vector<float> row(inputs);
    const auto add_row = [&](int64_t i, double factor, const float* values) {
      for (int64_t c = 0; c < inputs; ++c) sums[i * inputs + c] += factor * values[c];
    };
    for (int64_t o = 0; o < w.rows(); ++o) {
      read_row(w, context.compute, o, row.data());
      for (int64_t i = 0; i < count; ++i) {
        add_row(i, factor(context.compute, dy.row(begin + i)[o]), row.data());
      }
    }
    for (int64_t g = 0; g < lora.count; ++g) {
      const LoraRows& group = lora.groups[g];
      const int64_t first = std::max(begin, group.begin);
      const int64_t last = std::min(begin + count, group.begin + group.count);
      for (int64_t n = first; n < last; ++n) {
        for (int64_t r = 0; r < group.a.rows; ++r) {
          add_row(n - begin, dt.row(n)[r], group.a.row(r));
        }
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      float* out = dx.row(begin + i);
      for (int64_t c = 0; c < inputs; ++c) {
        const double before = write == Write::kAdd ? out[c] : 0.0;
        out[c] = static_cast<float>(before + sums[i * inputs + c]);
      }
    }
  });
}

void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, const Scratch&,
                   const Context& context) {
  for (int64_t b = 0; b < tree_count; ++b) {
    const int64_t begin = trees[b].begin;
    const int64_t end = begin + trees[b].count;
    if (!da.empty()) {
      parallel_for(context, da.rows, [&](int64_t r, int) {
        std::vector<double> sums(da.cols, 0.0);
        for (int64_t n = begin; n < end; ++n) {
          const double factor = dt.row(n)[r];
          for (int64_t i = 0; i < da.cols; ++i) sums[i] += factor * x.row(n)[i];
        }
        for (int64_t i = 0; i < da.cols; ++i) {
          da.row(r)[i] = static_cast<float>(da.row(r)[i] + sums[i]);
        }
      });
    }
    if (!db.empty()) {
      parallel_for(context, db.rows, [&](int64_t o, int) {
        std::vector<double> sums(db.cols, 0.0);
        for (int64_t n = begin; n < end; ++n) {
          const double factor = dy.row(n)[o];
          for (int64_t r = 0; r < db.cols; ++r) sums[r] += factor * t.row(n)[r];
        }
        for (int64_t r = 0; r < db.cols; ++r) {
          db.row(o)[r] = static_cast<float>(db.row(o)[r] + scale * sums[r]);
        }
      });
    }
  }
}

}  // namespace valora::reference
