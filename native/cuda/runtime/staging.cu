// The pinned ring.
#include <algorithm>
#include <cstring>

#include "cuda/runtime/staging.h"

namespace valora::cuda {

void Staging::send(void* to, const void* from, int64_t bytes) {
  auto* target = static_cast<uint8_t*>(to);
  const auto* source = static_cast<const uint8_t*>(from);
  while (bytes > 0) {
    if (used_ == half_bytes_) {
      sent_[half_].record(stream_);
      half_ = 1 - half_;
      sent_[half_].wait();  // until what this half held has left it
      used_ = 0;
    }
    const int64_t part = std::min(bytes, half_bytes_ - used_);
    uint8_t* place = memory_.data() + half_ * half_bytes_ + used_;
    std::memcpy(place, source, static_cast<size_t>(part));
    check(
        cudaMemcpyAsync(target, place, static_cast<size_t>(part), cudaMemcpyHostToDevice, stream_),
        "a copy to the device");
    used_ += part;
    target += part;
    source += part;
    bytes -= part;
  }
}

}  // namespace valora::cuda
