// What CUDA's runtime hands out - streams, events, pinned memory - as objects that give it back,
// and its status codes as exceptions. On a device by <cuda_runtime.h>, in the emulation by its
// stand-in.
#pragma once

#include <cstdint>
#include <utility>

#include "cuda/launch.h"

namespace valora::cuda {

// Throws where the call failed: Error{kOutOfMemory} or, that apart, Error{kDevice}; `what` says
// what was tried ("cuda: a copy to the device").
void check(cudaError_t status, const char* what);

class OwnStream {
 public:
  OwnStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
  // A lost device refuses; nothing is left to give back then.
  ~OwnStream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

class OwnEvent {
 public:
  OwnEvent() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "an event"); }
  ~OwnEvent() { static_cast<void>(cudaEventDestroy(event_)); }
  OwnEvent(const OwnEvent&) = delete;
  OwnEvent& operator=(const OwnEvent&) = delete;

  // Marks what the stream has been given so far; nothing is waited for before the first.
  void record(Stream stream) { check(cudaEventRecord(event_, stream), "an event"); }
  void wait() { check(cudaEventSynchronize(event_), "a wait"); }
  void hold_back(Stream stream) { check(cudaStreamWaitEvent(stream, event_, 0), "a wait"); }

 private:
  cudaEvent_t event_ = nullptr;
};

// Host memory that the device copies from and to by itself.
class PinnedMemory {
 public:
  explicit PinnedMemory(int64_t bytes) {
    void* data = nullptr;
    check(cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocDefault), "pinned memory");
    data_ = static_cast<uint8_t*>(data);
  }
  ~PinnedMemory() { static_cast<void>(cudaFreeHost(data_)); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
};

}  // namespace valora::cuda
