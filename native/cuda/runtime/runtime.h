// Runtime: a device as one model uses it - its memory, the stream that everything is computed on,
// and the ways there. Used from one thread, which is bound to the device.
#pragma once

#include "core/device.h"
#include "cuda/runtime/staging.h"
#include "cuda/runtime/uploads.h"
#include "cuda/runtime/weight_loader.h"

namespace valora::cuda {

class Runtime : public Device {
 public:
  // Throws Error{kDevice}.
  explicit Runtime(int number);

  void* allocate(int64_t bytes) override;
  void release(void* memory) noexcept override;
  void write(void* to, const void* from, int64_t bytes) override;
  void read(void* to, const void* from, int64_t bytes) override;
  void copy(void* to, const void* from, int64_t bytes) override;
  void clear(void* memory, int64_t bytes) override;

  Stream stream() const { return stream_.get(); }
  Uploads& uploads() { return uploads_; }
  WeightLoader& weights() { return weights_; }

 private:
  // Binds the thread before anything is made on the device.
  struct Bound {
    explicit Bound(int number);
  };

  Bound bound_;
  OwnStream stream_;
  Staging staging_;
  Uploads uploads_;
  WeightLoader weights_;
};

}  // namespace valora::cuda
