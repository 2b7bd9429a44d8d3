// linear: y = x W^T + bias + LoRA and its gradient by x, as tiled products (gemm.h) whose blocks
// are finished with what is added.
#include "cpu/cpu.h"
#include "cpu/gemm.h"

namespace valora::VALORA_ISA {

namespace {

void clear(View view) {
  for (int64_t n = 0; n < view.rows; ++n) std::memset(view.row(n), 0, view.cols * 4);
}

// low[N, 0..R) = scale * x[N, K] b for the rows of each group, 0 elsewhere; `right` makes b of a
// group.
template <typename Right>
void project_down(View low, View x, const LoraView& lora, const Scratch& scratch,
                  const Context& context, const Right& right, bool scaled) {
  if (lora.count == 0) return;
  clear(low);
  for (int64_t g = 0; g < lora.count; ++g) {
    const LoraRows& group = lora.groups[g];
    const View out = low.slice_rows(group.begin, group.count);
    product(View{}, {x.slice_rows(group.begin, group.count)}, right(group), group.a.rows, scratch,
            context, [&](const Finished& part) {
              for (int64_t n = 0; n < part.rows; ++n) {
                const float* sums = part.at(n);
                float* row = out.row(part.row + n) + part.col;
                for (int64_t r = 0; r < part.cols; ++r)
                  row[r] = scaled ? group.scale * sums[r] : sums[r];
              }
            });
  }
}

// sums += scale * low[N, R] b for the rows of `part` that have a LoRA term.
template <typename Right>
void add_low_rank(const Finished& part, View low, const LoraView& lora, const Right& right,
                  bool scaled) {
  float* terms = part.work.rest;  // [kLowRows, kTileCols]
  for (int64_t g = 0; g < lora.count; ++g) {
    const LoraRows& group = lora.groups[g];
    const int64_t rank = group.a.rows;
    const int64_t begin = max_of(group.begin, part.row);
    const int64_t end = min_of(group.begin + group.count, part.row + part.rows);
    for (int64_t n = begin; n < end; n += kLowRows) {
      const int64_t rows = min_of(kLowRows, end - n);
      for (int64_t r = 0; r < rank; r += kTileDepth) {
        const int64_t depth = min_of(kTileDepth, rank - r);
        if (n == begin || rank > kTileDepth) {
          pack_tile(right(group), r, depth, part.col, part.cols, part.work.tile, part.work.strip);
        }
        multiply_tile(low.row(n) + r, low.stride, rows, part.work.tile, depth, part.cols, terms,
                      kTileCols, r == 0);
      }
      const F16 scale = broadcast(group.scale);
      for (int64_t i = 0; i < rows; ++i) {
        float* sums = part.at(n + i - part.row);
        const float* term = terms + i * kTileCols;
        for (int64_t j = 0; j < part.cols; j += kVector) {
          const F16 sum = load(sums + j);
          store(sums + j, scaled ? fma(scale, load(term + j), sum) : add(sum, load(term + j)));
        }
      }
    }
  }
}

}  // namespace

void linear_forward(View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                    const Scratch& scratch, const Context& context) {
  project_down(
      t, x, lora, scratch, context, [](const LoraRows& group) { return transposed_view(group.a); },
      false);
  const LeftSide left = left_side(x, scratch.shared, context);
  product(y, left, transposed_weight(w), w.rows(), scratch, context, [&](const Finished& part) {
    if (!bias.empty()) {
      for (int64_t n = 0; n < part.rows; ++n) {
        float* sums = part.at(n);
        for (int64_t j = 0; j < part.cols; j += kVector) {
          const F16 more = load_some(bias.data + part.col + j, lanes_left(j, part.cols));
          store(sums + j, add(load(sums + j), more));
        }
      }
    }
    add_low_rank(
        part, t, lora, [](const LoraRows& group) { return transposed_view(group.b); }, true);
    part.place(y);
  });
}

void linear_backward(View dx, View dt, View dy, const Weight& w, const LoraView& lora, Write write,
                     const Scratch& scratch, const Context& context) {
  project_down(
      dt, dy, lora, scratch, context, [](const LoraRows& group) { return direct_view(group.b); },
      true);
  if (dx.empty()) return;
  const View out = write == Write::kOverwrite ? dx : View{};
  const LeftSide left = left_side(dy, scratch.shared, context);
  product(out, left, direct_weight(w), w.cols(), scratch, context, [&](const Finished& part) {
    add_low_rank(
        part, dt, lora, [](const LoraRows& group) { return direct_view(group.a); }, false);
    if (write == Write::kOverwrite) return part.place(dx);
    for (int64_t n = 0; n < part.rows; ++n) {
      const float* sums = part.at(n);
      float* out = dx.row(part.row + n) + part.col;
      for (int64_t j = 0; j < part.cols; j += kVector) {
        const int64_t count = lanes_left(j, part.cols);
        store_some(out + j, add(load_some(out + j, count), load(sums + j)), count);
      }
    }
  });
}

}  // namespace valora::VALORA_ISA
