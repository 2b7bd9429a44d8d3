// A device's memory and copies, and which devices there are.
#include <string>

#include "cuda/backend.h"
#include "cuda/runtime/runtime.h"

namespace valora {

namespace {

// The oldest compute capability that the kernels are built for: cp.async and mma with bfloat16.
constexpr int kOldestMajor = 8;

std::string capability(const CudaDevice& device) {
  return std::to_string(device.major) + "." + std::to_string(device.minor);
}

std::string problem_of(cudaError_t status) {
  if (status == cudaErrorInsufficientDriver) {
    return "no CUDA driver was found, or one too old for this build";
  }
  if (status == cudaErrorNoDevice) return "the CUDA driver sees no device";
  return std::string("the CUDA driver does not answer: ") + cudaGetErrorString(status);
}

}  // namespace

CudaDevices find_cuda_devices() {
  CudaDevices found;
  int count = 0;
  const auto refuse = [&](cudaError_t status) {
    static_cast<void>(cudaGetLastError());
    return CudaDevices{{}, problem_of(status)};
  };
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    return refuse(status);
  }
  for (int number = 0; number < count; ++number) {
    cudaDeviceProp properties{};
    const cudaError_t status = cudaGetDeviceProperties(&properties, number);
    if (status != cudaSuccess) return refuse(status);
    found.devices.push_back({properties.name, properties.major, properties.minor,
                             static_cast<int64_t>(properties.totalGlobalMem)});
  }
  if (count == 0) found.problem = problem_of(cudaErrorNoDevice);
  return found;
}

std::shared_ptr<Device> open_cuda_device(int number) {
  const CudaDevices found = find_cuda_devices();
  const std::string name = "cuda:" + std::to_string(number);
  if (found.devices.empty()) {
    throw Error(ErrorCode::kDevice, "device " + name + ": " + found.problem);
  }
  if (number < 0 || static_cast<size_t>(number) >= found.devices.size()) {
    throw Error(ErrorCode::kDevice, "device " + name + ": there are " +
                                        std::to_string(found.devices.size()) +
                                        " CUDA devices, numbered from 0");
  }
  const CudaDevice& device = found.devices[static_cast<size_t>(number)];
  if (device.major < kOldestMajor) {
    throw Error(ErrorCode::kDevice, "device " + name + ": " + device.name +
                                        " has compute capability " + capability(device) +
                                        ", the kernels need " + std::to_string(kOldestMajor) +
                                        ".0 or newer");
  }
  return std::make_shared<cuda::Runtime>(number);
}

int64_t cuda_free_bytes(int number) {
  size_t free = 0, total = 0;
  cuda::check(cudaSetDevice(number), "the choice of the device");
  cuda::check(cudaMemGetInfo(&free, &total), "the question for free memory");
  return static_cast<int64_t>(free);
}

namespace cuda {

namespace {

constexpr int64_t kStagingHalf = int64_t{2} << 20;

}  // namespace

Runtime::Bound::Bound(int number) { check(cudaSetDevice(number), "the choice of the device"); }

Runtime::Runtime(int number)
    : bound_(number), staging_(stream_.get(), kStagingHalf), uploads_(*this), weights_(*this) {}

void* Runtime::allocate(int64_t bytes) {
  void* memory = nullptr;
  const std::string what = "an allocation of " + std::to_string(bytes) + " bytes on the device";
  check(cudaMalloc(&memory, static_cast<size_t>(bytes)), what.c_str());
  return memory;
}

void Runtime::release(void* memory) noexcept { static_cast<void>(cudaFree(memory)); }

void Runtime::write(void* to, const void* from, int64_t bytes) { staging_.send(to, from, bytes); }

void Runtime::read(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream()),
        "a copy from the device");
  check(cudaStreamSynchronize(stream()), "the work on the device");
}

void Runtime::copy(void* to, const void* from, int64_t bytes) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream()),
        "a copy on the device");
}

void Runtime::clear(void* memory, int64_t bytes) {
  check(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream()), "a clearing of memory");
}

}  // namespace cuda

}  // namespace valora
