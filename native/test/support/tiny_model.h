// Tiny random models of the six configurations, written to a raw tensor file, and small forests and
// pairs to run them on.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "model/engine.h"
#include "model/model.h"
#include "model/trainer.h"
#include "support/matrix.h"

namespace valora::test {

// One of the six: what distinguishes the families, at the smallest sizes that keep their traits.
struct TinyShape {
  const char* name;
  NormPlacement norm_placement = NormPlacement::kPre;
  QkNorm qk_norm = QkNorm::kNone;
  int64_t head_dim = 6;  // C = 24, H = 4
  bool biases = false;
  bool tied = false;
  int64_t channels = 24;
  int64_t feed_forward = 40;
  int64_t vocabulary = 83;
};

inline std::vector<TinyShape> tiny_shapes() {
  return {{"llama_tied", NormPlacement::kPre, QkNorm::kNone, 6, false, true},
          {"llama3", NormPlacement::kPre, QkNorm::kNone, 6, false, false},
          {"mistral_nemo", NormPlacement::kPre, QkNorm::kNone, 10, false, false},
          {"olmo2", NormPlacement::kPost, QkNorm::kWhole, 6, false, false},
          {"qwen2", NormPlacement::kPre, QkNorm::kNone, 6, true, true},
          {"qwen3", NormPlacement::kPre, QkNorm::kHead, 10, false, true}};
}
inline std::string tiny_name(const testing::TestParamInfo<TinyShape>& info) {
  return info.param.name;
}

// A file that goes when its owner does.
class TemporaryFile {
 public:
  TemporaryFile() {
    char name[] = "/tmp/valora_test_XXXXXX";
    const int descriptor = mkstemp(name);
    if (descriptor < 0) std::abort();
    close(descriptor);
    path_ = name;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(const std::vector<float>& values) const {
    std::FILE* file = std::fopen(path_.c_str(), "wb");
    if (std::fwrite(values.data(), sizeof(float), values.size(), file) != values.size()) {
      std::abort();
    }
    std::fclose(file);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class TinyModel {
 public:
  explicit TinyModel(const TinyShape& shape, int64_t layers = 3, uint64_t seed = 1)
      : random_(seed) {
    config.layers = layers;
    config.channels = shape.channels;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = shape.head_dim;
    config.feed_forward = shape.feed_forward;
    config.vocabulary = shape.vocabulary;
    config.max_positions = 160;
    config.norm_placement = shape.norm_placement;
    config.qk_norm = shape.qk_norm;
    for (int64_t i = 0; i < shape.head_dim / 2; ++i) {
      config.inverse_frequencies.push_back(std::pow(1e4, -2.0 * i / shape.head_dim));
    }
    add(TensorRole::kEmbedding, LinearKind::kQ, -1, config.vocabulary, config.channels);
    if (!shape.tied) add(TensorRole::kHead, LinearKind::kQ, -1, config.vocabulary, config.channels);
    add(TensorRole::kFinalNorm, LinearKind::kQ, -1, 1, config.channels);
    for (int64_t l = 0; l < layers; ++l) {
      add(TensorRole::kAttentionNorm, LinearKind::kQ, l, 1, config.channels);
      add(TensorRole::kFeedForwardNorm, LinearKind::kQ, l, 1, config.channels);
      if (shape.qk_norm != QkNorm::kNone) {
        const bool whole = shape.qk_norm == QkNorm::kWhole;
        add(TensorRole::kQNorm, LinearKind::kQ, l, 1, (whole ? config.heads : 1) * shape.head_dim);
        add(TensorRole::kKNorm, LinearKind::kQ, l, 1,
            (whole ? config.kv_heads : 1) * shape.head_dim);
      }
      for (int kind = 0; kind < kLinearKinds; ++kind) {
        const LinearKind linear = static_cast<LinearKind>(kind);
        const MatrixShape matrix = linear_shape(config, linear);
        add(TensorRole::kLinear, linear, l, matrix.outputs, matrix.inputs);
        if (shape.biases && kind < 3) add(TensorRole::kBias, linear, l, 1, matrix.outputs);
      }
    }
    file_.write(values_);
  }

  ModelOptions options(const Ops& ops, int threads = 1, int64_t memory = 0) const {
    return {&ops, threads, memory};
  }
  Model open(const Ops& ops, int threads = 1, int64_t memory = 0) const {
    return Model(config, tensors, options(ops, threads, memory));
  }
  // Parameters whose A and B are both far from zero, on `kinds` of every layer.
  std::vector<LoraModule> random_adapter(uint64_t seed, int64_t rank = 3,
                                         std::vector<LinearKind> kinds = all_kinds()) const {
    Random random(seed);
    std::vector<LoraModule> modules;
    for (int64_t l = 0; l < config.layers; ++l) {
      for (const LinearKind kind : kinds) {
        const MatrixShape shape = linear_shape(config, kind);
        LoraModule module{l, kind, rank, 0.5f, {}, {}};
        for (int64_t i = 0; i < rank * shape.inputs; ++i) module.a.push_back(random.number(0.4f));
        for (int64_t i = 0; i < rank * shape.outputs; ++i) module.b.push_back(random.number(0.4f));
        modules.push_back(std::move(module));
      }
    }
    return modules;
  }
  static std::vector<LinearKind> all_kinds() {
    std::vector<LinearKind> kinds;
    for (int kind = 0; kind < kLinearKinds; ++kind) kinds.push_back(static_cast<LinearKind>(kind));
    return kinds;
  }

  ModelConfig config;
  std::vector<TensorSource> tensors;

 private:
  void add(TensorRole role, LinearKind linear, int64_t layer, int64_t rows, int64_t cols) {
    TensorSource tensor;
    tensor.role = role;
    tensor.linear = linear;
    tensor.layer = layer;
    tensor.file = file_.path();
    tensor.offset = static_cast<int64_t>(values_.size() * sizeof(float));
    tensor.bytes = rows * cols * static_cast<int64_t>(sizeof(float));
    tensor.rows = rows;
    tensor.cols = cols;
    tensors.push_back(tensor);
    const bool norm = role != TensorRole::kBias && rows == 1;
    const float scale = rows == 1 ? 0.3f : 2.0f / std::sqrt(static_cast<float>(cols));
    for (int64_t i = 0; i < rows * cols; ++i) {
      values_.push_back((norm ? 1.0f : 0.0f) + random_.number(scale));
    }
  }

  Random random_;
  TemporaryFile file_;
  std::vector<float> values_;
};

// Token spans put together tree by tree.
class ForestBuilder {
 public:
  // Returns the span's index. parent -1 starts a tree with `adapter`.
  int32_t span(int32_t parent, const std::vector<int32_t>& tokens, int32_t adapter = 0) {
    const int32_t begin = static_cast<int32_t>(input.tokens.size());
    input.tokens.insert(input.tokens.end(), tokens.begin(), tokens.end());
    input.spans.push_back({parent, begin, static_cast<int32_t>(tokens.size())});
    if (parent == -1) input.adapters.push_back(adapter);
    return static_cast<int32_t>(input.spans.size()) - 1;
  }
  // A target at the row before each of a span's tokens; the first hangs from its parent's last row.
  void target_all(int32_t span) {
    const Span& s = input.spans[span];
    for (int32_t i = 0; i < s.length; ++i) {
      const int32_t token = input.tokens[s.begin + i];
      if (i > 0) {
        input.targets.push_back({s.begin + i - 1, token});
      } else if (s.parent >= 0) {
        const Span& parent = input.spans[s.parent];
        input.targets.push_back({parent.begin + parent.length - 1, token});
      }
    }
  }
  ForestInput input;
};

inline std::vector<int32_t> random_tokens(Random& random, int64_t count, int64_t vocabulary = 83) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(vocabulary));
  return tokens;
}

struct TokenPair {
  std::vector<int32_t> prompt, chosen, rejected;
};

inline std::vector<TokenPair> random_pairs(uint64_t seed, int64_t count) {
  Random random(seed);
  std::vector<TokenPair> pairs;
  for (int64_t p = 0; p < count; ++p) {
    TokenPair pair;
    pair.prompt = random_tokens(random, 1 + random.below(9));
    pair.chosen = random_tokens(random, 1 + random.below(7));
    pair.rejected = random_tokens(random, 1 + random.below(7));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

// Pairs as one batch: with `shared` prompts one tree a pair, else two.
inline PairBatch pair_batch(const std::vector<TokenPair>& pairs, int32_t adapter,
                            bool shared = true) {
  ForestBuilder builder;
  std::vector<std::pair<Target, int32_t>> targets;
  const auto respond = [&](int32_t prompt, const std::vector<int32_t>& tokens, int32_t response) {
    const int32_t span = builder.span(prompt, tokens);
    builder.input.targets.clear();
    builder.target_all(span);
    for (const Target& target : builder.input.targets) targets.push_back({target, response});
  };
  for (size_t p = 0; p < pairs.size(); ++p) {
    const int32_t response = static_cast<int32_t>(2 * p);
    int32_t prompt = builder.span(-1, pairs[p].prompt, adapter);
    respond(prompt, pairs[p].chosen, response);
    if (!shared) prompt = builder.span(-1, pairs[p].prompt, adapter);
    respond(prompt, pairs[p].rejected, response + 1);
  }
  std::stable_sort(targets.begin(), targets.end(),
                   [](const auto& a, const auto& b) { return a.first.row < b.first.row; });
  builder.input.targets.clear();
  PairBatch batch;
  for (const auto& [target, response] : targets) {
    builder.input.targets.push_back(target);
    batch.responses.push_back(response);
  }
  batch.forest = builder.input;
  batch.reference.assign(pairs.size() * 2, 0.0);
  return batch;
}

// The batch's response log-probabilities under another adapter, as its reference.
inline void set_reference(Model& model, PairBatch& batch, int32_t adapter) {
  ForestInput forest = batch.forest;
  for (int32_t& handle : forest.adapters) handle = adapter;
  const Scores scores = model.score(forest, nullptr);
  std::fill(batch.reference.begin(), batch.reference.end(), 0.0);
  for (size_t i = 0; i < scores.logprobs.size(); ++i) {
    batch.reference[batch.responses[i]] += scores.logprobs[i];
  }
}

// Every number of the modules, in order, as bits: for comparisons that admit no difference.
inline std::vector<uint32_t> bits_of(const std::vector<LoraModule>& modules) {
  std::vector<uint32_t> bits;
  for (const LoraModule& module : modules) {
    for (const std::vector<float>* values : {&module.a, &module.b}) {
      const size_t begin = bits.size();
      bits.resize(begin + values->size());
      std::memcpy(bits.data() + begin, values->data(), values->size() * sizeof(float));
    }
  }
  return bits;
}
inline std::vector<uint64_t> bits_of(const std::vector<double>& values) {
  std::vector<uint64_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size() * sizeof(double));
  return bits;
}

// A test that runs once for every model shape, and inside for every backend.
class TinyModelTest : public testing::TestWithParam<TinyShape> {};

}  // namespace valora::test
