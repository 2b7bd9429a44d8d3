// Generation: prompts are read once, then every unfinished sequence grows by one row a step.
#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "model/engine.h"

namespace valora {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "generation: " + what);
}

constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();

void check_request(const GenerationRequest& request, const ModelConfig& config) {
  const size_t prompts = request.prompts.size();
  if (request.adapters.size() != prompts || request.streams.size() != prompts) {
    fail(std::to_string(prompts) + " prompts with " + std::to_string(request.adapters.size()) +
         " adapters and " + std::to_string(request.streams.size()) + " streams");
  }
  if (request.samples < 1) fail("samples is " + std::to_string(request.samples));
  if (request.max_new_tokens < 0) {
    fail("max_new_tokens is " + std::to_string(request.max_new_tokens));
  }
  int64_t cache_rows = 0;
  for (size_t p = 0; p < prompts; ++p) {
    const int64_t length = static_cast<int64_t>(request.prompts[p].size());
    if (length == 0) fail("prompt " + std::to_string(p) + " is empty");
    if (request.max_new_tokens > config.max_positions - length) {
      fail("prompt " + std::to_string(p) + " has " + std::to_string(length) +
           " tokens, which with " + std::to_string(request.max_new_tokens) +
           " new ones exceed the model's " + std::to_string(config.max_positions) + " positions");
    }
    if (request.samples >
        (kMostRows - length - cache_rows) / std::max<int64_t>(request.max_new_tokens, 1)) {
      fail("the cache would need more rows than 32-bit row numbers reach");
    }
    cache_rows += length + request.samples * request.max_new_tokens;
  }
}

ForestInput prompt_forest(const GenerationRequest& request) {
  ForestInput input;
  for (const std::vector<int32_t>& prompt : request.prompts) {
    const int32_t begin = static_cast<int32_t>(input.tokens.size());
    const int32_t length = static_cast<int32_t>(prompt.size());
    input.tokens.insert(input.tokens.end(), prompt.begin(), prompt.end());
    input.spans.push_back({-1, begin, length});
    input.targets.push_back({begin + length - 1, 0});  // any token: the row is what counts
  }
  input.adapters = request.adapters;
  return input;
}

// The sequences that still grow, and the rows of their next step.
class Sequences {
 public:
  Sequences(const GenerationRequest& request, const Forest& prompts,
            const FindAdapter& find_adapter)
      : request_(request), results_(request.prompts.size() * request.samples) {
    int64_t cache_row = prompts.rows();
    for (size_t p = 0; p < request.prompts.size(); ++p) {
      const Adapter* adapter = find_adapter(request.adapters[p]);
      for (int64_t sample = 0; sample < request.samples; ++sample) {
        const uint64_t stream = uint64_t{static_cast<uint32_t>(request.streams[p])} << 32 |
                                static_cast<uint32_t>(sample);
        growing_.push_back({static_cast<int64_t>(growing_.size()), adapter, prompts.spans()[p],
                            static_cast<int32_t>(cache_row), stream});
        prompt_of_.push_back(static_cast<int32_t>(p));
        cache_row += request.max_new_tokens - 1;
      }
    }
    cache_rows_ = cache_row;
  }

  int64_t cache_rows() const { return cache_rows_; }
  const int32_t* prompt_of() const { return prompt_of_.data(); }
  int64_t tokens_made() const { return tokens_made_; }
  std::vector<Generated> take_results() { return std::move(results_); }

  // Random numbers for the growing sequences' next token.
  const float* uniforms() {
    uniforms_.clear();
    for (const Sequence& sequence : growing_) {
      const uint64_t step = results_[sequence.result].tokens.size();
      uniforms_.push_back(random_uniform(request_.seed, sequence.stream, step));
    }
    return uniforms_.data();
  }

  // Appends a token to each growing sequence, and makes a step of those that go on; null when none
  // does.
  const StepBatch* advance(const int32_t* tokens, const double* logprobs) {
    std::vector<Sequence> going_on;
    for (size_t i = 0; i < growing_.size(); ++i) {
      Generated& result = results_[growing_[i].result];
      result.tokens.push_back(tokens[i]);
      result.logprobs.push_back(logprobs[i]);
      result.stopped = std::find(request_.stop_tokens.begin(), request_.stop_tokens.end(),
                                 tokens[i]) != request_.stop_tokens.end();
      const bool full = static_cast<int64_t>(result.tokens.size()) == request_.max_new_tokens;
      if (!result.stopped && !full) going_on.push_back(growing_[i]);
    }
    tokens_made_ += static_cast<int64_t>(growing_.size());
    growing_ = std::move(going_on);
    if (growing_.empty()) return nullptr;
    make_step();
    return &step_;
  }

 private:
  struct Sequence {
    int64_t result;
    const Adapter* adapter;
    Span prompt;        // its keys are the cache rows of the same numbers
    int32_t first_row;  // of its own keys
    uint64_t stream;
  };

  void make_step() {
    tokens_.clear();
    positions_.clear();
    rows_.clear();
    cache_row_of_.clear();
    segments_.clear();
    groups_.clear();
    BatchRows all;
    for (const Sequence& sequence : growing_) {
      const std::vector<int32_t>& own = results_[sequence.result].tokens;
      const int32_t row = static_cast<int32_t>(rows_.size());
      const int32_t length = static_cast<int32_t>(own.size());
      tokens_.push_back(own.back());
      positions_.push_back(sequence.prompt.length + length - 1);
      rows_.push_back(row);
      cache_row_of_.push_back(sequence.first_row + length - 1);
      groups_.push_back({row, 1, static_cast<int32_t>(segments_.size()), 2, row});
      segments_.push_back({sequence.prompt.begin, sequence.prompt.length});
      segments_.push_back({sequence.first_row, length});
      append_adapter_rows(all.adapters, sequence.adapter, row, 1);
    }
    all.count = static_cast<int64_t>(growing_.size());
    all.paths.segments = segments_.data();
    all.paths.segment_count = static_cast<int64_t>(segments_.size());
    all.paths.groups = groups_.data();
    all.paths.group_count = all.count;
    all.paths.positions = positions_.data();
    all.paths.tree_count = all.count;
    all.paths.longest = 1 + *std::max_element(positions_.begin(), positions_.end());
    step_.batch.tokens = tokens_.data();
    step_.batch.all = all;
    step_.batch.targets = all;
    step_.batch.target_rows = rows_.data();
    step_.batch.longest = all.paths.longest;
    step_.cache_rows = cache_row_of_.data();
  }

  const GenerationRequest& request_;
  std::vector<Generated> results_;
  std::vector<Sequence> growing_;
  std::vector<int32_t> prompt_of_;
  int64_t cache_rows_ = 0;
  int64_t tokens_made_ = 0;
  std::vector<float> uniforms_;
  StepBatch step_{};
  std::vector<int32_t> tokens_, positions_, rows_, cache_row_of_;
  std::vector<PathSegment> segments_;
  std::vector<QueryGroup> groups_;
};

}  // namespace

std::vector<Generated> Engine::generate(const GenerationRequest& request, CancelFlag cancel,
                                        const std::function<void(int64_t)>& on_progress) {
  check_request(request, config_);
  const int64_t sequence_count = static_cast<int64_t>(request.prompts.size()) * request.samples;
  if (sequence_count == 0 || request.max_new_tokens == 0) {
    return std::vector<Generated>(sequence_count);
  }
  const Forest forest(prompt_forest(request), config_.vocabulary, config_.max_positions);
  const Batch prompts = make_batch(forest, finder());
  const int64_t longest = forest.longest_path() + request.max_new_tokens - 1;
  const PassModel model = pass_model(longest);
  Sequences sequences(request, forest, finder());

  // In the dry run one step stands for all: that of every sequence at its longest.
  const AdapterLayout* layout = nullptr;
  for (const AdapterRows& rows : prompts.all.adapters) {
    if (layout == nullptr || rows.layout->max_rank() > layout->max_rank()) layout = rows.layout;
  }
  const StepBatch longest_step{
      make_planned_batch(sequence_count, sequence_count, sequence_count, longest, layout), nullptr};

  const auto body = [&](const Context& context) {
    const bool counting = context.arena->counting();
    const StepBatch* planned = request.max_new_tokens > 1 ? &longest_step : nullptr;
    GenerationPass pass{prompts,
                        sequence_count,
                        sequences.cache_rows(),
                        sequences.prompt_of(),
                        request.sampling,
                        [&] { return sequences.uniforms(); },
                        {}};
    pass.next = [&](const int32_t* tokens, const double* logprobs) -> const StepBatch* {
      if (counting) return std::exchange(planned, nullptr);
      const StepBatch* step = sequences.advance(tokens, logprobs);
      if (on_progress) on_progress(sequences.tokens_made());
      return step;
    };
    generation_pass(model, pass, context);
  };
  run({"generation", cache_bytes(config_, sequences.cache_rows()), body}, cancel);
  return sequences.take_results();
}

}  // namespace valora
