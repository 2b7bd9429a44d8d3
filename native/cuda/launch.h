// launch(): how every kernel starts, on a device and in the emulation.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "core/error.h"
#include "cuda/device.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "cuda/emulation/runtime.h"
#endif

namespace valora::cuda {

using Stream = cudaStream_t;

struct LaunchShape {
  const char* name;  // for errors and the emulation's records
  dim3 grid;
  dim3 block;
  size_t shared_bytes;  // dynamic
  Stream stream;
};

// Queues kernel(arguments...); throws Error{kDevice} where the device refuses it. Arguments are
// converted to the kernel's parameters here, so that both compilers see the same conversions.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, Arguments... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments));
  const auto check = [&](cudaError_t status) {
    if (status == cudaSuccess) return;
    throw Error(ErrorCode::kDevice,
                std::string(shape.name) + " did not start: " + cudaGetErrorString(status));
  };
#ifdef __CUDACC__
  // Above 48 KiB a kernel has to ask.
  if (shape.shared_bytes > 48 << 10) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shape.shared_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
#else
  const emulation::StreamLaunch started(shape.stream);
  check(started.status);
  emulation::run_grid(shape.name, shape.grid, shape.block, shape.shared_bytes,
                      [&] { kernel(static_cast<Parameters>(arguments)...); });
#endif
}

}  // namespace valora::cuda
