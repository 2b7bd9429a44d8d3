// Paths and the plan of their tiles as the CUDA backend's launchers want them, with host memory in
// place of the device's. Both must outlive the result.
#pragma once

#include "cuda/cuda.h"

namespace valora::test {

inline cuda::DevicePaths device_paths(const PathsView& paths, const cuda::AttentionPlan& plan) {
  return {paths.segments,
          paths.positions,
          plan.few,
          plan.query_tiles.data(),
          plan.query_longest.data(),
          static_cast<int64_t>(plan.query_tiles.size()),
          plan.key_tiles.data(),
          plan.visits.data(),
          static_cast<int64_t>(plan.key_tiles.size())};
}

}  // namespace valora::test
