// What the emulation counts of the CUDA backend's operations at shapes of whole tiles, as JSON
// lines: an operation's name and shape, then its launches. scripts/roofline.mjs holds its formulas
// against them. No test by itself.
//
//     cuda_counts
#include <cstdio>
#include <functional>

#include "cuda/cuda.h"
#include "support/attention_answer.h"
#include "support/device_buffer.h"
#include "support/device_paths.h"

namespace valora::test {
namespace {

constexpr int64_t kRows = 256, kOutputs = 384, kInputs = 256, kRank = 16;

// Runs `operation` in a cache that holds all operands, and prints what its launches cost. `shape`:
// the inside of a JSON object.
void count(const char* op, const std::string& shape, const std::function<void()>& operation) {
  emulation::Session session({.seed = 1, .l2_bytes = 32 << 20});
  operation();
  std::printf("{\"op\": \"%s\", \"shape\": {%s}}\n", op, shape.c_str());
  for (const emulation::LaunchRecord& launch : session.launches) {
    const emulation::Counters& counters = launch.counters;
    std::printf(
        "{\"kernel\": \"%s\", \"bytes\": %lld, \"mma\": %lld, \"ldmatrix\": %lld, \"conflicts\": "
        "%lld, \"accesses\": %lld}\n",
        launch.kernel.c_str(), static_cast<long long>(counters.memory_bytes()),
        static_cast<long long>(counters.mma), static_cast<long long>(counters.ldmatrix),
        static_cast<long long>(counters.bank_conflicts()),
        static_cast<long long>(counters.shared_read.requests + counters.shared_write.requests));
  }
}

std::string field(const char* name, int64_t value) {
  return "\"" + std::string(name) + "\": " + std::to_string(value);
}
std::string matrix_shape(int64_t rows, int64_t cols) {
  return field("rows", rows) + ", " + field("cols", cols);
}

// A bfloat16 weight of random numbers.
class Numbers {
 public:
  Numbers(Random& random, int64_t rows, int64_t cols)
      : rows_(rows), cols_(cols), data_(rows, cols / 2) {
    const Buffer from = Buffer::random(random, rows, cols);
    cuda::convert_weight(data_.view().data, Dtype::kBF16,
                         {from.view().data, Dtype::kF32, rows, cols}, nullptr);
  }
  operator cuda::DeviceWeight() const { return {data_.view().data, Dtype::kBF16, rows_, cols_}; }

 private:
  int64_t rows_, cols_;
  Buffer data_;
};

void count_products() {
  Random random(1);
  const Buffer x = Buffer::random(random, kRows, kInputs), y(kRows, kOutputs);
  const Numbers w(random, kOutputs, kInputs);
  const Buffer a = Buffer::random(random, kRank, kInputs);
  const Buffer b = Buffer::random(random, kOutputs, kRank);
  const Buffer t(kRows, kRank), copy(kRows, kOutputs / 2);
  const cuda::LoraGroup group = cuda::lora_group({0, kRows, a.view(), b.view(), 2});
  const cuda::DeviceLora lora{&group, 1, kRank};
  const std::string shape = field("rows", kRows) + ", " + field("outputs", kOutputs) + ", " +
                            field("inputs", kInputs) + ", " + field("rank", kRank);
  count("linearForward", shape, [&] {
    cuda::linear_forward(y.view(), t.view(), copy.view().data, x.view(), w, {}, lora, nullptr);
  });
  count("linearBackward", shape, [&] {
    cuda::linear_backward(x.view(), t.view(), copy.view().data, y.view(), w, lora, Write::kAdd,
                          nullptr);
  });
  const RowRange trees[] = {{0, kRows / 2}, {kRows / 2, kRows / 2}};
  count("loraGradient", shape, [&] {
    cuda::lora_gradient(a.view(), b.view(), y.view(), x.view(), t.view(), t.view(), 1, trees, 2,
                        nullptr);
  });
}

void count_head() {
  constexpr int64_t kVocabulary = 1024, kStep = 512;
  Random random(2);
  const Buffer x = Buffer::random(random, kRows, kInputs), expected(kRows, kInputs);
  const Numbers w(random, kVocabulary, kInputs);
  const Buffer scratch(1, cuda::head_forward_bytes(kRows, w, kStep) / 4);
  std::vector<double> normaliser(kRows);
  std::vector<int32_t> argmax(kRows);
  count("headForward",
        field("rows", kRows) + ", " + field("inputs", kInputs) + ", " +
            field("vocabulary", kVocabulary) + ", " + field("headStep", kStep),
        [&] {
          cuda::head_forward({normaliser.data(), argmax.data(), nullptr}, expected.view(), x.view(),
                             w, nullptr, 0, scratch.view().data, nullptr, kStep);
        });
}

// A prompt of 128 rows and two responses of 64.
void count_attention() {
  constexpr int64_t kHeads = 2, kKvHeads = 1, kWidth = 128;
  Random random(3);
  const AttentionShape shape = attention_shape(kHeads, kKvHeads, kWidth);
  const Forest forest = make_forest(make_spans({{-1, 128}, {0, 64}, {0, 64}}));
  const PathsView paths = forest.all_paths();
  const auto queries = [&] { return Buffer::random(random, kRows, kHeads * kWidth); };
  const auto keys = [&] { return Buffer::random(random, kRows, kKvHeads * kWidth); };
  const Buffer q = queries(), o = queries(), d_o = queries(), dq = queries();
  const Buffer k = keys(), v = keys(), dk = keys(), dv = keys(), lse(kRows, kHeads);
  const Buffer scratch(1, cuda::attention_backward_bytes(kRows, kRows, shape, Compute::kBf16) / 4);
  const std::string text = "\"trees\": [{\"prompt\": 128, \"responses\": [64, 64]}], " +
                           field("heads", kHeads) + ", " + field("kvHeads", kKvHeads) + ", " +
                           field("width", kWidth);
  const cuda::AttentionPlan forward = cuda::plan_forward(paths, shape, Compute::kBf16);
  count("attentionForward", text, [&] {
    cuda::attention_forward(o.view(), lse.view(), q.view(), k.view(), v.view(),
                            device_paths(paths, forward), shape, Compute::kBf16,
                            scratch.view().data, nullptr);
  });
  const cuda::AttentionPlan backward = cuda::plan_backward(paths, kRows, shape, Compute::kBf16);
  count("attentionBackward", text, [&] {
    cuda::attention_backward(dq.view(), dk.view(), dv.view(), d_o.view(), o.view(), lse.view(),
                             q.view(), k.view(), v.view(), device_paths(paths, backward), shape,
                             Compute::kBf16, scratch.view().data, nullptr);
  });
}

void count_rows() {
  constexpr int64_t kFewRows = 64, kCols = 1024, kWidth = 128;
  Random random(4);
  const auto matrix = [&] { return Buffer::random(random, kFewRows, kCols); };
  const Buffer x = matrix(), y = matrix(), z = matrix(), m = matrix(), v = matrix();
  const Buffer weight = Buffer::random(random, 1, kCols);
  const std::string shape = matrix_shape(kFewRows, kCols);
  count("rmsnormForward", shape,
        [&] { cuda::rmsnorm_forward(y.view(), x.view(), weight.view(), 1e-5f, nullptr); });
  count("rmsnormBackward", shape, [&] {
    cuda::rmsnorm_backward(z.view(), y.view(), x.view(), weight.view(), 1e-5f, Write::kOverwrite,
                           nullptr);
  });
  const Buffer table = Buffer::random(random, kFewRows, kWidth);
  std::vector<int32_t> positions(kFewRows);
  for (int64_t n = 0; n < kFewRows; ++n) positions[n] = static_cast<int32_t>(n);
  count("rope", shape + ", " + field("positions", kFewRows) + ", " + field("width", kWidth),
        [&] { cuda::rope(x.view(), table.view(), positions.data(), kWidth, 1, nullptr); });
  count("swigluForward", shape,
        [&] { cuda::swiglu_forward(z.view(), x.view(), y.view(), nullptr); });
  count("swigluBackward", shape,
        [&] { cuda::swiglu_backward(m.view(), v.view(), z.view(), x.view(), y.view(), nullptr); });
  count("add", shape, [&] { cuda::add(y.view(), x.view(), nullptr); });
  std::fill_n(v.view().data, kFewRows * kCols, 1.0f);  // squares are not negative
  count("adamw", shape, [&] {
    cuda::adamw(y.view(), m.view(), v.view(), x.view(), {1e-3f, 0.9f, 0.999f, 1e-8f, 0, 1, 1},
                nullptr);
  });
}

}  // namespace
}  // namespace valora::test

int main() {
  valora::test::count_products();
  valora::test::count_head();
  valora::test::count_attention();
  valora::test::count_rows();
}
