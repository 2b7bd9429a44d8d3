// What the rest of the program sees of the CUDA backend: which devices there are, and how a model
// gets onto one. Free of CUDA's own headers. Only builds with the backend have these functions
// (VALORA_CUDA is defined there).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/ops.h"

namespace valora {

struct CudaDevice {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int64_t total_bytes = 0;
};

struct CudaDevices {
  std::vector<CudaDevice> devices;
  std::string problem;  // why there are none; empty where there are some
};

// Asks the driver, which is looked for when this is called. Never throws for want of one.
CudaDevices find_cuda_devices();

// The table for Context::device made by open_cuda_device.
const Ops& cuda_ops();

// A device for one model, used from one thread. Throws Error{kDevice}: there is none of this
// number, or its architecture is older than the kernels'.
std::shared_ptr<Device> open_cuda_device(int number);

// Bytes of its memory that are free now.
int64_t cuda_free_bytes(int number);

}  // namespace valora
