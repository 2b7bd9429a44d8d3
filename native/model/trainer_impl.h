// What stands behind Trainer.
#pragma once

#include <memory>
#include <vector>

#include "model/engine.h"
#include "model/trainer.h"

namespace valora {

struct Trainer::Impl {
  Impl(Engine& engine, int32_t handle, Recompute recompute);

  PairResults accumulate(const PairBatch& batch, const LossOptions& options, CancelFlag cancel);
  double step(const AdamwOptions& options);

  Engine& engine;
  const int32_t handle;
  const Recompute recompute;
  const std::shared_ptr<Adapter> adapter;
  const OptimiserBytes reservation;  // of the buffers below, all in the adapter's layout
  Numbers gradient;
  Numbers in_progress;  // what accumulate() adds to
  Numbers m, v;
  int64_t steps = 0;
};

}  // namespace valora
