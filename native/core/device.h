// Device: the memory that a backend computes in where that is not the host's, and the way there
// and back. A model has one, or none where its backend works in host memory. Everything on it
// happens in the order of the calls; only read() waits.
#pragma once

#include <cstdint>

namespace valora {

class Device {
 public:
  virtual ~Device();

  // On a multiple of 256 bytes, not cleared. Throws Error{kOutOfMemory}.
  virtual void* allocate(int64_t bytes) = 0;
  // What was queued before may still use it. Takes null; never throws.
  virtual void release(void* memory) noexcept = 0;

  // `from` may be changed as soon as this returns.
  virtual void write(void* to, const void* from, int64_t bytes) = 0;
  // Waits for all that was queued. Throws Error{kDevice} where any of it failed.
  virtual void read(void* to, const void* from, int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, int64_t bytes) = 0;
  virtual void clear(void* memory, int64_t bytes) = 0;
};

}  // namespace valora
