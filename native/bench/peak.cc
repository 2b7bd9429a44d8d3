// Peaks: chains of multiply-adds, and a sum over a large buffer.
#include "bench/peak.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own intrinsics' undefined registers for mistakes (gcc.gnu.org/PR105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "core/ops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace valora::bench {
namespace {

// Seconds of the fastest of several runs of `body`, each at least 10 ms: what slows one down - a
// neighbour, the clock - is no part of a peak.
template <typename Body>
double fastest(int repeats, const Body& body) {
  using Clock = std::chrono::steady_clock;
  body();
  double best = 1e30;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    int64_t rounds = 0;
    const auto start = Clock::now();
    double seconds;
    do {
      body();
      ++rounds;
      seconds = std::chrono::duration<double>(Clock::now() - start).count();
    } while (seconds < 0.01);
    best = std::min(best, seconds / static_cast<double>(rounds));
  }
  return best;
}

constexpr int64_t kRounds = 100000;

// Chains that do not wait for one another, enough of them to fill two units at their latency.
struct Chains {
  void (*run)(float* out);
  int64_t sums;  // numbers side by side in all chains
};

using Quad __attribute__((vector_size(16))) = float;
constexpr int kQuads = 12;

// Where there is no fused unit, what a multiply-add costs at least: a product and a sum.
void chains_generic(float* out) {
  Quad sums[kQuads];
  const Quad x = {0.999f, 0.999f, 0.999f, 0.999f};
  for (Quad& sum : sums) sum = x;
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (Quad& sum : sums) {
#if defined(__FP_FAST_FMAF)
      for (int lane = 0; lane < 4; ++lane) sum[lane] = __builtin_fmaf(sum[lane], x[lane], x[lane]);
#else
      sum = sum * x + x;
#endif
    }
  }
  for (const Quad& sum : sums) *out += sum[0];
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void chains_avx512(float* out) {
  __m512 sums[16];
  const __m512 x = _mm512_set1_ps(0.999f);
  for (auto& sum : sums) sum = x;
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 16
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, x, x);
  }
  for (const auto& sum : sums) *out += _mm512_reduce_add_ps(sum);
}

__attribute__((target("avx2,fma"))) void chains_avx2(float* out) {
  __m256 sums[12];
  const __m256 x = _mm256_set1_ps(0.999f);
  for (auto& sum : sums) sum = x;
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, x, x);
  }
  for (const auto& sum : sums) *out += _mm256_cvtss_f32(sum);
}
#elif defined(__aarch64__)
constexpr int kNeonChains = 24;  // server cores have four units of four cycles' latency

void chains_neon(float* out) {
  float32x4_t sums[kNeonChains];
  const float32x4_t x = vdupq_n_f32(0.999f);
  for (auto& sum : sums) sum = x;
  for (int64_t i = 0; i < kRounds; ++i) {
#pragma GCC unroll 24
    for (auto& sum : sums) sum = vfmaq_f32(sum, x, x);
  }
  for (const auto& sum : sums) *out += vaddvq_f32(sum);
}
#endif

Chains chains_of(const char* isa) {
  if (cpu_ops(isa) == nullptr) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string("this machine has no instruction set ") + isa);
  }
#if defined(__x86_64__)
  if (std::strcmp(isa, "avx512") == 0) return {chains_avx512, 16 * 16};
  if (std::strcmp(isa, "avx2") == 0) return {chains_avx2, 12 * 8};
#elif defined(__aarch64__)
  if (std::strcmp(isa, "neon") == 0) return {chains_neon, kNeonChains * 4};
#endif
  return {chains_generic, kQuads * 4};
}

constexpr int64_t kBufferBytes = int64_t{512} << 20;  // caches of servers reach 256 MiB and more
constexpr int64_t kPieceWords = int64_t{1} << 17;     // 1 MiB: many pieces a thread

// Eight sums side by side keep enough reads under way.
uint64_t sum_words(const uint64_t* words, int64_t count) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < count; i += 8) {
    for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

double measure_peak(const char* isa, int threads) {
  const Chains chains = chains_of(isa);
  ThreadPool pool(threads);
  Context context;
  context.pool = &pool;
  std::vector<float> out(static_cast<size_t>(threads) * 64);  // a cache line or more a thread
  const double seconds = fastest(5, [&] {
    parallel_for(context, threads, [&](int64_t i, int) { chains.run(&out[i * 64]); });
  });
  return 2.0 * static_cast<double>(chains.sums * kRounds * threads) / seconds;
}

double measure_bandwidth(int threads) {
  ThreadPool pool(threads);
  Context context;
  context.pool = &pool;
  const std::vector<uint64_t> words(kBufferBytes / 8, 1);
  const int64_t pieces = kBufferBytes / 8 / kPieceWords;
  std::vector<uint64_t> sums(pieces);
  const double seconds = fastest(3, [&] {
    parallel_for(context, pieces, [&](int64_t piece, int) {
      sums[piece] = sum_words(words.data() + piece * kPieceWords, kPieceWords);
    });
  });
  // What is never looked at need not be summed.
  for (const uint64_t sum : sums) {
    if (sum != static_cast<uint64_t>(kPieceWords)) {
      throw Error(ErrorCode::kInternal, "the sum over the bandwidth buffer is wrong");
    }
  }
  return static_cast<double>(kBufferBytes) / seconds;
}

}  // namespace valora::bench
