// Uploads: the small host arrays of operations - indices, paths, tiles of attention, groups and
// trees - in the device's memory. An array that is there already, byte for byte, is not sent again,
// so that what all layers of a pass share is uploaded once, by the first that asks.
#pragma once

#include <list>
#include <unordered_map>
#include <vector>

#include "core/ops.h"
#include "cuda/attention_plan.h"
#include "cuda/runtime/staging.h"

namespace valora::cuda {

class Runtime;

class Uploads {
 public:
  explicit Uploads(Runtime& runtime) : runtime_(runtime) {}
  ~Uploads();

  // What an operation may place and take in all before the next reserve(); addresses of earlier
  // operations are void after it. Every array counts padded(its bytes).
  void reserve(int64_t bytes);
  static int64_t padded(int64_t bytes) { return (bytes + 255) / 256 * 256; }

  // The array's address on the device; null where it is empty.
  template <typename T>
  const T* place(const T* values, int64_t count) {
    return static_cast<const T*>(place_bytes(values, count * static_cast<int64_t>(sizeof(T))));
  }
  // Memory for an answer, not cleared.
  void* take(int64_t bytes);

  // The tiles of these paths; made where they are not those of a recent call. key_rows is 0 for the
  // forward.
  const AttentionPlan& attention_plan(const PathsView& paths, int64_t query_rows, int64_t key_rows,
                                      const AttentionShape& shape, Compute compute);

 private:
  struct Entry {
    void* place;
    std::vector<uint8_t> bytes;
  };
  struct Planned {
    std::vector<uint8_t> key;  // all that a plan follows from
    AttentionPlan plan;
  };

  const void* place_bytes(const void* from, int64_t bytes);

  Runtime& runtime_;
  uint8_t* memory_ = nullptr;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
  std::unordered_map<uint64_t, Entry> entries_;
  std::list<Planned> plans_;  // latest first
};

}  // namespace valora::cuda
