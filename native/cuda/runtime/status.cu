// CUDA's status codes in words.
#include <string>

#include "cuda/runtime/handles.h"

namespace valora::cuda {

namespace {

// After one of these every later call of the process fails in the same way.
bool is_lost(cudaError_t status) {
  // Of "Sticky errors" in the runtime's documentation, by number: 214 ECC, 226 contained error, 700
  // illegal address, 702 timeout, 710 assert, 714 to 719 faults of a kernel.
  const int code = static_cast<int>(status);
  return code == 214 || code == 226 || code == 700 || code == 702 || code == 710 ||
         (code >= 714 && code <= 719);
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  // Else the next launch would report it as its own.
  static_cast<void>(cudaGetLastError());
  const std::string text = std::string("cuda: ") + what + " failed: " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) throw Error(ErrorCode::kOutOfMemory, text);
  if (is_lost(status)) {
    throw Error(ErrorCode::kDevice, text + "; the device is lost to this process, start it again");
  }
  throw Error(ErrorCode::kDevice, text);
}

}  // namespace valora::cuda
