// How near the matrix products of linear come to what this machine's multiply-add units can do:
// each instruction set, shapes of the default model, beside the peak measured in the same run.
//
//     cmake -S . -B build-bench -DVALORA_BENCH=ON && cmake --build build-bench --target gemm_bench
//     build-bench/bench/gemm_bench [threads]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "core/dequantize.h"
#include "core/ops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace valora {
namespace {

// Seconds of the fastest of several runs of `body`, each at least 20 ms.
template <typename Body>
double fastest(const Body& body) {
  using Clock = std::chrono::steady_clock;
  body();
  double best = 1e30;
  for (int repeat = 0; repeat < 7; ++repeat) {
    int64_t rounds = 0;
    const auto start = Clock::now();
    double seconds;
    do {
      body();
      ++rounds;
      seconds = std::chrono::duration<double>(Clock::now() - start).count();
    } while (seconds < 0.02);
    best = std::min(best, seconds / static_cast<double>(rounds));
  }
  return best;
}

#if defined(__x86_64__)
constexpr int64_t kPeakRounds = 100000;

// Independent chains of multiply-adds, enough to fill both units at their latency.
__attribute__((target("avx512f"))) void chains_avx512(float* out) {
  __m512 sums[16];
  const __m512 x = _mm512_set1_ps(0.999f);
  for (auto& sum : sums) sum = x;
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 16
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, x, x);
  }
  for (const auto& sum : sums) *out += _mm512_reduce_add_ps(sum);
}

__attribute__((target("avx2,fma"))) void chains_avx2(float* out) {
  __m256 sums[12];
  const __m256 x = _mm256_set1_ps(0.999f);
  for (auto& sum : sums) sum = x;
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, x, x);
  }
  for (const auto& sum : sums) *out += _mm256_cvtss_f32(sum);
}
#endif

// Multiply-adds a second of all threads together; 0 where there is nothing to compare with.
double peak(const char* isa, const Context& context) {
#if defined(__x86_64__)
  const bool wide = std::strcmp(isa, "avx512") == 0;
  if (!wide && std::strcmp(isa, "avx2") != 0) return 0;
  std::vector<float> out(context.threads() * 64);
  const double seconds = fastest([&] {
    parallel_for(context, context.threads(), [&](int64_t i, int) {
      wide ? chains_avx512(&out[i * 64]) : chains_avx2(&out[i * 64]);
    });
  });
  const double sums = wide ? 16 * 16 : 12 * 8;
  return sums * kPeakRounds * context.threads() / seconds;
#else
  return 0;
#endif
}

struct Shape {
  int64_t rows, inputs, outputs;
};

// Numbers about 2^-6 in every format: random bytes, scales set.
std::vector<uint8_t> weight_bytes(Dtype dtype, int64_t rows, int64_t cols) {
  std::vector<uint8_t> bytes(rows * dtype_row_bytes(dtype, cols));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  if (dtype == Dtype::kF32) {
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = static_cast<float>(i % 251 - 125) / 4096;
      std::memcpy(&bytes[i * 4], &value, 4);
    }
  } else {
    const DtypeInfo& info = dtype_info(dtype);
    for (size_t i = 0; i < bytes.size(); i += info.block_bytes) {
      bytes[i] = bytes[i + 2] = 0;
      bytes[i + 1] = bytes[i + 3] = 0x24;  // 2^-6 as float16
    }
  }
  return bytes;
}

void measure(const Ops& ops, Dtype dtype, const Shape& shape, double limit, const Context& base,
             Arena& arena) {
  const std::vector<uint8_t> bytes = weight_bytes(dtype, shape.outputs, shape.inputs);
  const auto weight = ops.upload_weight({bytes.data(), dtype, shape.outputs, shape.inputs, 0});
  std::vector<float> x(shape.rows * shape.inputs, 0.5f), y(shape.rows * shape.outputs, 0.25f);
  std::vector<float> dx(x.size());
  Context context = base;
  context.ops = &ops;
  context.arena = &arena;
  const View x_view = make_view(x.data(), shape.rows, shape.inputs);
  const View y_view = make_view(y.data(), shape.rows, shape.outputs);
  const double work = static_cast<double>(shape.rows * shape.inputs * shape.outputs);
  const double forward =
      work /
      fastest([&] { ops::linear_forward(y_view, View{}, x_view, *weight, View{}, {}, context); });
  const double backward =
      work / fastest([&] {
        ops::linear_backward(make_view(dx.data(), shape.rows, shape.inputs), View{}, y_view,
                             *weight, {}, Write::kOverwrite, context);
      });
  std::printf("%-8s %-5s %5ld x %4ld x %4ld  %8.1f %8.1f", ops.name, dtype_info(dtype).name,
              static_cast<long>(shape.rows), static_cast<long>(shape.inputs),
              static_cast<long>(shape.outputs), forward / 1e9, backward / 1e9);
  if (limit > 0) std::printf("  %5.0f %% %5.0f %%", 100 * forward / limit, 100 * backward / limit);
  std::printf("\n");
}

int run(int threads) {
  ThreadPool pool(threads);
  Arena arena(size_t{256} << 20);
  Context context;
  context.pool = &pool;
  std::printf("%d threads; thousand million multiply-adds a second, and share of the peak\n",
              threads);
  std::printf("set      type   rows     in    out   forward backward  of peak\n");
  for (const char* isa : {"avx512", "avx2"}) {
    const Ops* ops = cpu_ops(isa);
    if (ops == nullptr) continue;
    // The machine's speed wavers with its neighbours and its clock: each shape is held against the
    // highest peak seen so far, with one more look just before it.
    double limit = 0;
    for (const Dtype dtype : {Dtype::kF32, Dtype::kQ4_1}) {
      for (const Shape& shape :
           {Shape{512, 576, 1536}, Shape{512, 1536, 576}, Shape{512, 576, 192},
            Shape{2048, 2048, 2048}, Shape{8, 576, 1536}, Shape{1, 576, 1536}}) {
        limit = std::max(limit, peak(isa, context));
        measure(*ops, dtype, shape, limit, context, arena);
      }
    }
    std::printf("%-8s peak %31.1f\n", isa, limit / 1e9);
  }
  return 0;
}

}  // namespace
}  // namespace valora

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (threads < 1) {
    std::fprintf(stderr, "gemm_bench: the number of threads is at least 1\n");
    return 2;
  }
  return valora::run(threads);
}
