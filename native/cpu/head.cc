// head: log p over the vocabulary chunk by chunk, so that no more than a chunk of logits is ever
// kept; the expectation of W under p that the gradient needs; that gradient; the next token.
#include "cpu/choose_token.h"
#include "cpu/cpu.h"
#include "cpu/gemm.h"

namespace valora::VALORA_ISA {

namespace {

constexpr int64_t kRowsPerTask = 16;

// What is known of one row after some part of the vocabulary (Milakov & Gimelshein 2018).
struct Running {
  double total;  // sum of exp(logit - largest)
  float largest;
  float rescale;  // what the last chunk's new maximum made of earlier terms: exp(old - new)
  int32_t argmax;
};
static_assert(sizeof(Running) <= 64);

VALORA_INLINE Running nothing_yet() { return {0, -INFINITY, 0, 0}; }

VALORA_INLINE double normaliser_of(const Running& row) {
  return static_cast<double>(row.largest) + std::log(row.total);
}

// Takes in logits [0, count) of a row, tokens begin .. begin + count; logits has room for whole
// vectors. With `keep` they become exp(logit - largest).
void take_in(Running* row, float* logits, int64_t begin, int64_t count, bool keep) {
  const int64_t width = padded(count, kVector);
  for (int64_t j = count; j < width; ++j) logits[j] = -INFINITY;
  F16 lanes = load(logits);
  for (int64_t j = kVector; j < width; j += kVector) lanes = max(lanes, load(logits + j));
  const float largest = max_lane(lanes);
  const float before = row->largest;
  if (largest > before) {
    row->largest = largest;
    int64_t first = 0;
    while (logits[first] != largest) ++first;
    row->argmax = static_cast<int32_t>(begin + first);
  }
  float rescale[kVector];
  store(rescale, exp(broadcast(before - row->largest)));
  row->rescale = rescale[0];

  double sums[kVector] = {};
  const F16 shift = broadcast(row->largest);
  for (int64_t j = 0; j < width; j += kVector) {
    const F16 weights = exp(sub(load(logits + j), shift));
    float weight[kVector];
    store(weight, weights);
    for (int64_t l = 0; l < kVector; ++l) sums[l] += static_cast<double>(weight[l]);
    if (keep) store(logits + j, weights);
  }
  for (int64_t half = kVector / 2; half > 0; half /= 2) {
    for (int64_t l = 0; l < half; ++l) sums[l] += sums[l + half];
  }
  row->total = row->total * static_cast<double>(row->rescale) + sums[0];
}

}  // namespace

void head_forward(const HeadResult& result, View expected, View x, const Weight& w,
                  const HeadTarget* targets, int64_t target_count, const Scratch& scratch,
                  const Context& context) {
  const int64_t vocabulary = w.rows();
  Running* running = reinterpret_cast<Running*>(scratch.shared);
  const View logits = {reinterpret_cast<float*>(scratch.shared + x.rows * 64), x.rows, kHeadChunk,
                       kHeadChunk, Space::kHost};
  uint8_t* after = scratch.shared + x.rows * (64 + kHeadChunk * 4);
  const LeftSide left = left_side(x, after, context);
  after += pairs_bytes(context.compute, x.rows, x.cols);
  for (int64_t n = 0; n < x.rows; ++n) running[n] = nothing_yet();
  const int64_t row_tasks = (x.rows + kRowsPerTask - 1) / kRowsPerTask;
  const bool keep = !expected.empty();

  for (int64_t begin = 0; begin < vocabulary; begin += kHeadChunk) {
    const int64_t count = min_of(kHeadChunk, vocabulary - begin);
    product(logits, left, transposed_weight(w, begin), count, scratch, context,
            [&](const Finished& part) { part.place(logits); });
    for (int64_t t = 0; t < target_count; ++t) {
      const int64_t place = targets[t].token - begin;
      if (place >= 0 && place < count) result.target_logit[t] = logits.row(targets[t].row)[place];
    }
    parallel_for(context, row_tasks, [&](int64_t task, int) {
      const int64_t end = min_of(x.rows, (task + 1) * kRowsPerTask);
      for (int64_t n = task * kRowsPerTask; n < end; ++n) {
        take_in(&running[n], logits.row(n), begin, count, keep);
      }
    });
    if (!keep) continue;
    const View weights = {logits.data, x.rows, count, kHeadChunk, Space::kHost};
    product(View{}, left_side(weights, after, context), direct_weight(w, begin), w.cols(), scratch,
            context, [&](const Finished& part) {
              for (int64_t n = 0; n < part.rows; ++n) {
                float* out = expected.row(part.row + n) + part.col;
                const F16 rescale = broadcast(running[part.row + n].rescale);
                for (int64_t j = 0; j < part.cols; j += kVector) {
                  const int64_t lanes = lanes_left(j, part.cols);
                  const F16 before = begin == 0 ? zero() : load_some(out + j, lanes);
                  store_some(out + j, fma(before, rescale, load(part.at(n) + j)), lanes);
                }
              }
            });
  }

  for (int64_t n = 0; n < x.rows; ++n) {
    result.normaliser[n] = normaliser_of(running[n]);
    result.argmax[n] = running[n].argmax;
    if (!keep) continue;
    const F16 total = broadcast(static_cast<float>(running[n].total));
    for (int64_t c = 0; c < expected.cols; c += kVector) {
      const int64_t lanes = lanes_left(c, expected.cols);
      float* out = expected.row(n) + c;
      store_some(out, div(load_some(out, lanes), total), lanes);
    }
  }
}

void head_backward(View dx, View expected, const Weight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, const Context& context) {
  parallel_for(context, (dx.rows + kRowsPerTask - 1) / kRowsPerTask, [&](int64_t task, int) {
    const int64_t begin = task * kRowsPerTask;
    const int64_t end = min_of(dx.rows, begin + kRowsPerTask);
    float row[kTileDepth];
    for (int64_t n = begin; n < end; ++n) std::memset(dx.row(n), 0, dx.cols * 4);
    for (int64_t t = 0; t < target_count; ++t) {
      const int64_t n = targets[t].row;
      if (n < begin || n >= end) continue;
      const F16 coefficient = broadcast(coefficients[t]);
      for (int64_t first = 0; first < dx.cols; first += kTileDepth) {
        const int64_t width = min_of(kTileDepth, dx.cols - first);
        expand(w.source.dtype, w.row(targets[t].token) + block_range(w, first, width).offset, width,
               row);
        for (int64_t c = 0; c < width; c += kVector) {
          const int64_t lanes = lanes_left(c, width);
          const F16 pull =
              sub(load_some(row + c, lanes), load_some(expected.row(n) + first + c, lanes));
          float* out = dx.row(n) + first + c;
          store_some(out, fma(coefficient, pull, load_some(out, lanes)), lanes);
        }
      }
    }
  });
}

void sample(int32_t* tokens, double* logprobs, View x, const Weight& w,
            const SampleParameters& parameters, const float* uniform, const Scratch& scratch,
            const Context& context) {
  const int64_t vocabulary = w.rows();
  const View logits = {reinterpret_cast<float*>(scratch.shared), x.rows, vocabulary,
                       padded(vocabulary, kHeadChunk), Space::kHost};
  const LeftSide left =
      left_side(x, scratch.shared + x.rows * padded(vocabulary, kHeadChunk) * 4, context);
  product(logits, left, transposed_weight(w), vocabulary, scratch, context,
          [&](const Finished& part) { part.place(logits); });
  parallel_for(context, x.rows, [&](int64_t n, int worker) {
    Running row = nothing_yet();
    for (int64_t begin = 0; begin < vocabulary; begin += kHeadChunk) {
      take_in(&row, logits.row(n) + begin, begin, min_of(kHeadChunk, vocabulary - begin), false);
    }
    tokens[n] = parameters.temperature > 0
                    ? choose_token(logits.row(n), vocabulary, row.largest, parameters, uniform[n],
                                   workspace(scratch, worker).rest)
                    : row.argmax;
    logprobs[n] = static_cast<double>(logits.row(n)[tokens[n]]) - normaliser_of(row);
  });
}

}  // namespace valora::VALORA_ISA
