// Trainer: gradients and AdamW state of one adapter, and the step that uses them.
#pragma once

#include <memory>
#include <vector>

#include "model/model.h"

namespace valora {

class Trainer {
 public:
  ~Trainer();

  // Forward, loss, backward; gradients are added in the order of the pairs' trees.
  PairResults accumulate(const PairBatch& batch, const LossOptions& loss, CancelFlag cancel);
  // Clips by the global norm (in double), updates, clears. Returns the norm before clipping. Throws
  // Error{kNotFinite}, changing nothing, where it is not finite.
  double step(const AdamwOptions& options);
  void clear();

  std::vector<LoraModule> gradients() const;
  OptimizerState state() const;
  void set_state(const OptimizerState& state);

 private:
  friend class Model;
  struct Impl;
  explicit Trainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace valora
