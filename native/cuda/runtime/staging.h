// Staging: the pinned ring through which small data goes to the device. A copy from the caller's
// own memory would have to wait for the device, or for the driver's copy of it; a copy from pinned
// memory is only queued. Two halves: while one is being sent, the other is filled.
#pragma once

#include "cuda/runtime/handles.h"

namespace valora::cuda {

class Staging {
 public:
  Staging(Stream stream, int64_t half_bytes)
      : stream_(stream), half_bytes_(half_bytes), memory_(2 * half_bytes) {}

  // Queues it on the stream; `from` may be changed when this returns.
  void send(void* to, const void* from, int64_t bytes);

 private:
  Stream stream_;
  int64_t half_bytes_;
  PinnedMemory memory_;
  OwnEvent sent_[2];
  int half_ = 0;
  int64_t used_ = 0;  // of this half
};

}  // namespace valora::cuda
