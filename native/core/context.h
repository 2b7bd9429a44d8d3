// Context: what an operation runs with - the backend's table, the arena, the threads, the cancel
// flag.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/arena.h"
#include "core/device.h"
#include "core/error.h"
#include "core/thread_pool.h"

namespace valora {

struct Ops;
class OperationTimes;

// The arithmetic of products with frozen matrices: float32, or both sides rounded to bfloat16
// (core/bf16.h) and summed in float32. Low-rank terms, attention and norms are float32 in either.
enum class Compute { kFloat32, kBf16 };

struct Context {
  const Ops* ops = nullptr;
  Arena* arena = nullptr;
  ThreadPool* pool = nullptr;
  const std::atomic<bool>* cancel = nullptr;
  Compute compute = Compute::kFloat32;
  OperationTimes* times = nullptr;  // null: nobody asks
  Device* device = nullptr;         // what the backend computes on; null: the host

  int threads() const { return pool == nullptr ? 1 : pool->threads(); }
  void check_cancelled() const {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) {
      throw Error(ErrorCode::kCancelled, "the work was cancelled");
    }
  }
};

// body(index, worker) for every index in [0, count) over the context's threads. The lambda's type
// is local to its file, so per-instruction-set files share no code through this template.
template <typename Body>
void parallel_for(const Context& context, int64_t count, const Body& body) {
  if (count <= 0) return;
  if (context.pool == nullptr) {
    for (int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  context.pool->run(
      count,
      [](void* arg, int64_t index, int worker) { (*static_cast<const Body*>(arg))(index, worker); },
      const_cast<Body*>(&body));
}

}  // namespace valora
