// What the emulation counts of linear, its gradients and the head at a shape of whole tiles, as one
// JSON line a launch: scripts/roofline.mjs holds its formulas against them. No test by itself.
//
//     cuda_counts
#include <cstdio>

#include "cuda/cuda.h"
#include "support/device_buffer.h"

namespace valora::test {
namespace {

constexpr int64_t kRows = 128, kOutputs = 384, kInputs = 256, kRank = 16, kEntries = 1024;

void print(const char* op, const emulation::Session& session) {
  for (const emulation::LaunchRecord& launch : session.launches) {
    const emulation::Counters& counters = launch.counters;
    std::printf(
        "{\"op\": \"%s\", \"kernel\": \"%s\", \"bytes\": %lld, \"mma\": %lld, \"ldmatrix\": %lld, "
        "\"conflicts\": %lld}\n",
        op, launch.kernel.c_str(), static_cast<long long>(counters.memory_bytes()),
        static_cast<long long>(counters.mma), static_cast<long long>(counters.ldmatrix),
        static_cast<long long>(counters.bank_conflicts()));
  }
}

void count() {
  Random random(1);
  const Buffer x = Buffer::random(random, kRows, kInputs), y(kRows, kOutputs);
  const Buffer w = Buffer::random(random, kOutputs, kInputs);
  const Buffer entries = Buffer::random(random, kEntries, kInputs);
  const Buffer a = Buffer::random(random, kRank, kInputs),
               b = Buffer::random(random, kOutputs, kRank);
  const Buffer t(kRows, kRank), copy(kRows, kOutputs / 2), numbers(kEntries, kInputs / 2);
  const cuda::LoraGroup group = cuda::lora_group({0, kRows, a.view(), b.view(), 2});
  const cuda::DeviceLora lora{&group, 1, kRank};
  const auto bfloat16 = [&](const Buffer& m) -> cuda::DeviceWeight {
    const View view = m.view();
    cuda::convert_weight(numbers.view().data, Dtype::kBF16,
                         {view.data, Dtype::kF32, view.rows, view.cols}, nullptr);
    return {numbers.view().data, Dtype::kBF16, view.rows, view.cols};
  };
  const emulation::Options options{.seed = 1, .l2_bytes = 8 << 20};
  const cuda::DeviceWeight weight = bfloat16(w);
  {
    emulation::Session session(options);
    cuda::linear_forward(y.view(), t.view(), copy.view().data, x.view(), weight, {}, lora, nullptr);
    print("linear_forward", session);
  }
  {
    emulation::Session session(options);
    cuda::linear_backward(x.view(), t.view(), copy.view().data, y.view(), weight, lora, Write::kAdd,
                          nullptr);
    print("linear_backward", session);
  }
  {
    const RowRange tree{0, kRows};
    emulation::Session session(options);
    cuda::lora_gradient(a.view(), b.view(), y.view(), x.view(), t.view(), t.view(), 1, &tree, 1,
                        nullptr);
    print("lora_gradient", session);
  }
  {
    const cuda::DeviceWeight head = bfloat16(entries);
    const Buffer scratch(1, cuda::head_forward_bytes(kRows, head) / 4), expected(kRows, kInputs);
    std::vector<double> normaliser(kRows);
    std::vector<int32_t> argmax(kRows);
    emulation::Session session(options);
    cuda::head_forward({normaliser.data(), argmax.data(), nullptr}, expected.view(), x.view(), head,
                       nullptr, 0, scratch.view().data, nullptr);
    print("head_forward", session);
  }
}

}  // namespace
}  // namespace valora::test

int main() {
  std::printf(
      "{\"rows\": %lld, \"outputs\": %lld, \"inputs\": %lld, \"rank\": %lld, \"entries\": %lld}\n",
      static_cast<long long>(valora::test::kRows), static_cast<long long>(valora::test::kOutputs),
      static_cast<long long>(valora::test::kInputs), static_cast<long long>(valora::test::kRank),
      static_cast<long long>(valora::test::kEntries));
  valora::test::count();
}
