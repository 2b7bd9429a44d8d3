// The part of CUDA's runtime that the backend calls, for the host and under CUDA's own names:
// devices, streams, events, copies, and memory that the host cannot touch.
//
// Stricter than a device, where CUDA leaves the outcome open:
//  * Device memory has no access rights but while a kernel or a copy runs: the host faults at once.
//    New memory is full of NaN.
//  * A kernel launched on a stream may touch device memory alone. (A launch on the null stream, as
//    tests of single kernels do, may touch any.)
//  * A copy from or to pinned memory happens as late as it may: when its stream is waited for or
//    starts a kernel. Memory that is used again too early shows.
// Kernels run when they are launched. Any call can be made to fail: see Fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Numbers as in CUDA's driver_types.h.
enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorLaunchFailure = 719,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
};
inline constexpr unsigned cudaHostAllocDefault = 0;
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor;
};

namespace valora::cuda {
struct EmulatedStream;
struct EmulatedEvent;
}  // namespace valora::cuda
using cudaStream_t = valora::cuda::EmulatedStream*;
using cudaEvent_t = valora::cuda::EmulatedEvent*;

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);

namespace valora::emulation {

struct DeviceSpec {
  std::string name = "emulated";
  int major = 8, minor = 0;
  size_t bytes = size_t{1} << 30;
};
// The devices there are from now on; at first one, as above.
void set_devices(std::vector<DeviceSpec> devices);

// While one is alive, the call of this name ("cudaMalloc"; "launch") fails: the first time after
// `after` calls, and if `lasting` every call of any name from then on, as after a fault of the
// device.
class Fault {
 public:
  Fault(std::string call, cudaError_t error, int after = 0, bool lasting = false);
  ~Fault();
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;
};

// A kernel's launch on a stream: what was queued before is done, device memory can be touched, and
// nothing else. On the null stream nothing of the kind.
class StreamLaunch {
 public:
  explicit StreamLaunch(cudaStream_t stream);
  ~StreamLaunch();
  StreamLaunch(const StreamLaunch&) = delete;
  StreamLaunch& operator=(const StreamLaunch&) = delete;
  cudaError_t status = cudaSuccess;

 private:
  const bool strict_;
};

// Fails where the running launch is on a stream and the bytes are not all in one device allocation.
void check_global(uint64_t address, size_t bytes);

// Device memory that is allocated, in bytes: a test's leak check.
size_t device_bytes();

}  // namespace valora::emulation
