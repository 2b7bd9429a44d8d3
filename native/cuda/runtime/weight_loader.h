// WeightLoader: matrices to the device in the numbers that products take. Rows are read, or decoded
// from their blocks, into one of two pinned slots, sent by a stream of its own, and converted by a
// kernel on the compute stream: while one slot is sent and converted, the other is filled.
#pragma once

#include <memory>

#include "cuda/cuda.h"
#include "cuda/runtime/handles.h"

namespace valora::cuda {

class Runtime;

struct CudaWeight : Weight {
  explicit CudaWeight(Runtime& owner) : runtime(owner) {}
  ~CudaWeight() override;
  Runtime& runtime;
  DeviceWeight device{};
};

// Holds a row of the widest matrix there is (2^20 inputs, model/weights.cc) as float32.
inline constexpr int64_t kWeightSlotBytes = int64_t{4} << 20;

class WeightLoader {
 public:
  explicit WeightLoader(Runtime& runtime, int64_t slot_bytes = kWeightSlotBytes)
      : runtime_(runtime), slot_bytes_(slot_bytes) {}
  ~WeightLoader();

  // Under Compute::kBf16 in bfloat16, whatever it is stored as: one copy serves the products and
  // the embedding alike. Throws Error{kOutOfMemory}.
  std::unique_ptr<Weight> load(const WeightSource& source, Compute compute);

 private:
  struct Slot {
    Slot(Runtime& runtime, int64_t bytes);
    PinnedMemory host;
    void* device;
    OwnEvent sent;
    OwnEvent converted;
  };

  Runtime& runtime_;
  const int64_t slot_bytes_;
  OwnStream stream_;
  std::unique_ptr<Slot> slots_[2];
  int next_ = 0;
};

}  // namespace valora::cuda
