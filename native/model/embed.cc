// Embedding: means of hidden states over groups of rows, as a probe reads them.
#include <algorithm>

#include "core/error.h"
#include "model/engine.h"

namespace valora {

namespace {

void check_request(const EmbeddingRequest& request, const ModelConfig& config) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorCode::kInvalidArgument, "embedding: " + what);
  };
  if (request.layer < 0 || request.layer > config.layers) {
    refuse("there is no layer " + std::to_string(request.layer) + "; the model has " +
           std::to_string(config.layers));
  }
  if (request.groups.size() != request.forest.targets.size()) {
    refuse(std::to_string(request.groups.size()) + " groups for " +
           std::to_string(request.forest.targets.size()) + " targets");
  }
  // No more groups than targets, so that a hole among them shows before memory is taken for it.
  std::vector<bool> seen(request.groups.size());
  int32_t count = 0;
  for (const int32_t group : request.groups) {
    if (group < 0 || static_cast<size_t>(group) >= seen.size()) {
      refuse("group " + std::to_string(group) + " of at most " + std::to_string(seen.size()));
    }
    seen[group] = true;
    count = std::max(count, group + 1);
  }
  const auto hole = std::find(seen.begin(), seen.begin() + count, false);
  if (hole != seen.begin() + count) {
    refuse("group " + std::to_string(hole - seen.begin()) + " has no row");
  }
}

// The same numbers, rows back to back, where the host can read them; `copy` is filled where they
// are not there already.
View on_host(View view, std::vector<float>& copy, const Context& context) {
  if (view.space == Space::kHost) return view;
  copy.resize(static_cast<size_t>(view.size()));
  context.device->read(copy.data(), view.data, view.size() * static_cast<int64_t>(sizeof(float)));
  return make_view(copy.data(), view.rows, view.cols);
}

// Sums of rows, group by group.
class Means {
 public:
  Means(int64_t groups, int64_t channels)
      : channels_(channels), sums_(groups * channels), counts_(groups) {}

  void add(int32_t group, const float* row) {
    double* sum = sums_.data() + group * channels_;
    for (int64_t c = 0; c < channels_; ++c) sum[c] += row[c];
    ++counts_[group];
  }

  std::vector<float> take() const {
    std::vector<float> means(sums_.size());
    for (size_t i = 0; i < means.size(); ++i) {
      means[i] = static_cast<float>(sums_[i] / static_cast<double>(counts_[i / channels_]));
    }
    return means;
  }

 private:
  const int64_t channels_;
  std::vector<double> sums_;
  std::vector<int64_t> counts_;
};

}  // namespace

std::vector<float> Engine::embed(const EmbeddingRequest& request, CancelFlag cancel) {
  check_request(request, config_);
  const Forest forest(request.forest, config_.vocabulary, config_.max_positions);
  if (request.groups.empty()) return {};
  const Batch batch = make_batch(forest, finder());
  const PassModel model = pass_model(batch.longest);
  Means means(1 + *std::max_element(request.groups.begin(), request.groups.end()),
              config_.channels);
  run({"embedding", 0,
       [&](const Context& context) {
         const bool counting = context.arena->counting();
         embedding_pass(model,
                        {batch, request.layer,
                         [&](View states) {
                           if (counting) return;
                           std::vector<float> copy;
                           states = on_host(states, copy, context);
                           // Targets are sorted by row: a group's rows are added in their order.
                           for (size_t i = 0; i < request.groups.size(); ++i) {
                             means.add(request.groups[i], states.row(forest.target_index()[i]));
                           }
                         }},
                        context);
       }},
      cancel);
  return means.take();
}

}  // namespace valora
