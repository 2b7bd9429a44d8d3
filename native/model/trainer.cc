// Trainer: from a batch of pairs to gradients, and from gradients to a step of AdamW.
#include "model/trainer.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "model/engine.h"
#include "model/loss.h"
#include "model/trainer_impl.h"

namespace valora {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "training: " + what);
}

constexpr float kNotRead = 0;  // a dry run's coefficients

void check_batch(const PairBatch& batch) {
  if (batch.reference.size() % 2 != 0) {
    fail(std::to_string(batch.reference.size()) +
         " reference log-probabilities, expected two a pair");
  }
  if (batch.responses.size() != batch.forest.targets.size()) {
    fail(std::to_string(batch.responses.size()) + " response numbers for " +
         std::to_string(batch.forest.targets.size()) + " targets");
  }
  for (const int32_t response : batch.responses) {
    if (response < 0 || static_cast<size_t>(response) >= batch.reference.size()) {
      fail("a target belongs to response " + std::to_string(response) + ", there are " +
           std::to_string(batch.reference.size()));
    }
  }
  if (!std::isfinite(batch.pair_weight)) fail("the pair weight is not finite");
}

// Losses of a batch's pairs, from its targets' log-probabilities, and the gradient by each of
// these.
struct BatchLoss {
  PairResults results;
  std::vector<float> coefficients;  // [targets]
  bool finite = true;
};

BatchLoss batch_loss(const PairBatch& batch, const LossOptions& options,
                     const std::vector<double>& logprobs) {
  const size_t pairs = batch.reference.size() / 2;
  std::vector<double> sums(pairs * 2);
  std::vector<int64_t> counts(pairs * 2);
  for (size_t i = 0; i < logprobs.size(); ++i) {
    sums[batch.responses[i]] += logprobs[i];
    ++counts[batch.responses[i]];
  }
  BatchLoss loss;
  std::vector<double> gradient(pairs * 2);
  for (size_t p = 0; p < pairs; ++p) {
    const PairLogprobs pair{
        sums[2 * p],   sums[2 * p + 1],  batch.reference[2 * p], batch.reference[2 * p + 1],
        counts[2 * p], counts[2 * p + 1]};
    const PairLoss result = pair_loss(options, pair);
    loss.results.loss.push_back(result.loss);
    loss.results.chosen.push_back(pair.chosen);
    loss.results.rejected.push_back(pair.rejected);
    loss.finite = loss.finite && std::isfinite(result.loss) && std::isfinite(pair.chosen) &&
                  std::isfinite(pair.rejected);
    gradient[2 * p] = result.d_chosen * batch.pair_weight;
    gradient[2 * p + 1] = result.d_rejected * batch.pair_weight;
  }
  for (const int32_t response : batch.responses) {
    loss.coefficients.push_back(static_cast<float>(gradient[response]));
  }
  return loss;
}

}  // namespace

Trainer::Impl::Impl(Engine& engine_in, int32_t handle_in, Recompute recompute_in)
    : engine(engine_in),
      handle(handle_in),
      recompute(recompute_in),
      adapter(engine_in.adapter(handle_in)),
      reservation(engine_in, kTrainerBuffers * adapter->layout().bytes()) {
  for (Numbers* numbers : {&gradient, &in_progress, &m, &v}) {
    *numbers = Numbers(engine.device(), adapter->layout().size());
  }
}

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::~Trainer() = default;

PairResults Trainer::accumulate(const PairBatch& batch, const LossOptions& options,
                                CancelFlag cancel) {
  return impl_->accumulate(batch, options, cancel);
}
double Trainer::step(const AdamwOptions& options) { return impl_->step(options); }
void Trainer::clear() { impl_->gradient.clear(); }

PairResults Trainer::Impl::accumulate(const PairBatch& batch, const LossOptions& options,
                                      CancelFlag cancel) {
  check_batch(batch);
  const ModelConfig& config = engine.config();
  const Forest forest(batch.forest, config.vocabulary, config.max_positions);
  const Batch rows = make_batch(forest, [&](int32_t wanted) -> const Adapter* {
    if (wanted != handle) {
      fail("a tree carries adapter " + std::to_string(wanted) + ", the trainer's is " +
           std::to_string(handle));
    }
    return adapter.get();
  });
  const std::vector<HeadTarget> targets = head_targets(forest);
  if (targets.empty()) return batch_loss(batch, options, {}).results;

  // Gradients are added to a copy, which replaces them when all has gone well: a call that is
  // cancelled, fails, or meets a number that is not finite leaves them as they were.
  in_progress.copy(gradient);
  const PassModel model = engine.pass_model(rows.longest);
  BatchLoss loss;
  const auto body = [&](bool recomputing) {
    return [&, recomputing](const Context& context) {
      const bool counting = context.arena->counting();
      const TrainingPass pass{rows,
                              targets,
                              recomputing,
                              {&adapter->layout(), in_progress.view()},
                              [&](const HeadOutputs& outputs) -> const float* {
                                if (counting) return &kNotRead;
                                std::vector<double> logprobs(targets.size());
                                for (size_t i = 0; i < targets.size(); ++i)
                                  logprobs[i] = outputs.logprob(targets, i);
                                loss = batch_loss(batch, options, logprobs);
                                return loss.finite ? loss.coefficients.data() : nullptr;
                              }};
      training_pass(model, pass, context);
    };
  };
  bool recomputing = recompute == Recompute::kAlways;
  if (recompute == Recompute::kAuto) recomputing = !engine.fits(engine.count(body(false)));
  engine.run({"training", 0, body(recomputing)}, cancel);
  if (loss.finite) std::swap(gradient, in_progress);
  return loss.results;
}

double Trainer::Impl::step(const AdamwOptions& options) {
  const Context context = engine.context();
  const double norm = std::sqrt(ops::sum_of_squares(gradient.view(), context));
  if (!std::isfinite(norm)) {
    throw Error(ErrorCode::kNotFinite, "training: the gradient's norm is not finite");
  }
  // As torch.nn.utils.clip_grad_norm_ does.
  double scale = 1.0;
  if (options.clip > 0) scale = std::min(1.0, options.clip / (norm + 1e-6));
  AdamwParameters parameters;
  parameters.learning_rate = static_cast<float>(options.learning_rate);
  parameters.beta1 = static_cast<float>(options.beta1);
  parameters.beta2 = static_cast<float>(options.beta2);
  parameters.epsilon = static_cast<float>(options.epsilon);
  parameters.weight_decay = static_cast<float>(options.weight_decay);
  parameters.gradient_scale = static_cast<float>(scale);
  parameters.step = steps + 1;
  ops::adamw(adapter->values().view(), m.view(), v.view(), gradient.view(), parameters, context);
  ++steps;
  gradient.clear();
  return norm;
}

std::vector<LoraModule> Trainer::gradients() const {
  return export_modules(impl_->adapter->layout(), impl_->gradient);
}

OptimizerState Trainer::state() const { return {impl_->steps, impl_->m.read(), impl_->v.read()}; }

void Trainer::set_state(const OptimizerState& state) {
  const size_t size = static_cast<size_t>(impl_->m.size());
  if (state.step < 0 || state.m.size() != size || state.v.size() != size) {
    fail("an optimiser state of step " + std::to_string(state.step) + " with " +
         std::to_string(state.m.size()) + " and " + std::to_string(state.v.size()) +
         " numbers, the adapter has " + std::to_string(size));
  }
  impl_->steps = state.step;
  impl_->m.write(state.m);
  impl_->v.write(state.v);
}

}  // namespace valora
