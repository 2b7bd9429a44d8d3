// Starting small kernels under the emulation, in many orders, and asking what became of them.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "cuda/launch.h"
#include "cuda/ptx.h"

namespace valora::test {

inline constexpr int kSeeds = 20;

// kernel(arguments...) on one block unless told otherwise; its counters.
template <typename... Parameters, typename... Arguments>
emulation::LaunchRecord run_kernel(void (*kernel)(Parameters...), const emulation::Options& options,
                                   dim3 grid, dim3 block, size_t shared_bytes,
                                   Arguments... arguments) {
  emulation::Session session(options);
  cuda::launch(kernel, {"kernel", grid, block, shared_bytes, nullptr}, arguments...);
  return session.launches.at(0);
}

// In every order the kernel ends in an EmulationError that says `what`.
template <typename... Parameters, typename... Arguments>
void expect_caught(const std::string& what, void (*kernel)(Parameters...), dim3 block,
                   size_t shared_bytes, Arguments... arguments) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    try {
      run_kernel(kernel, {.seed = seed}, 1, block, shared_bytes, arguments...);
      ADD_FAILURE() << "seed " << seed << ": nothing was caught, expected \"" << what << "\"";
      return;
    } catch (const emulation::EmulationError& error) {
      if (std::string(error.what()).find(what) == std::string::npos) {
        ADD_FAILURE() << "seed " << seed << ": \"" << error.what() << "\", expected \"" << what
                      << "\"";
        return;
      }
    }
  }
}

// In every order the kernel ends well.
template <typename... Parameters, typename... Arguments>
void expect_clean(void (*kernel)(Parameters...), dim3 block, size_t shared_bytes,
                  Arguments... arguments) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    EXPECT_NO_THROW(run_kernel(kernel, {.seed = seed}, 1, block, shared_bytes, arguments...))
        << "seed " << seed;
  }
}

inline int thread_number() { return static_cast<int>(threadIdx.x); }

}  // namespace valora::test
