// Which of the CPU backend's tables this machine can run, asked of the processor at run time.
#include <cstring>

#include "core/ops.h"

namespace valora {

#if defined(__x86_64__)

namespace avx512 {
const Ops& table();
}
namespace avx2 {
const Ops& table();
}

namespace {

// What -march=x86-64-v3 and -v4 let the compiler use, as far as it tells programs apart.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

}  // namespace

#elif defined(__aarch64__)

namespace neon {
const Ops& table();
}

#endif

namespace generic {
const Ops& table();
}

const Ops* cpu_ops(const char* isa) {
#if defined(__x86_64__)
  if (std::strcmp(isa, "avx512") == 0) return has_avx512() ? &avx512::table() : nullptr;
  if (std::strcmp(isa, "avx2") == 0) return has_avx2() ? &avx2::table() : nullptr;
#elif defined(__aarch64__)
  // No question: Advanced SIMD is a part of AArch64 that every operating system relies on.
  if (std::strcmp(isa, "neon") == 0) return &neon::table();
#endif
  return std::strcmp(isa, "generic") == 0 ? &generic::table() : nullptr;
}

const Ops& best_cpu_ops() {
  for (const char* isa : {"avx512", "avx2", "neon"}) {
    if (const Ops* ops = cpu_ops(isa)) return *ops;
  }
  return generic::table();
}

bool cpu_has_bf16() {
#if defined(__x86_64__)
  return has_avx512() && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace valora
