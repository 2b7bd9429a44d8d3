// What a model refuses to open, and that the error names the tensor; and GGUF's interleaved q and k
// rows.
#include <cstring>

#include "core/error.h"
#include "support/tiny_model.h"

namespace valora::test {
namespace {

struct Failure {
  ErrorCode code = ErrorCode::kInternal;
  std::string message = "no error";
};

Failure open_error(const ModelConfig& config, const std::vector<TensorSource>& tensors) {
  try {
    const Model model(config, tensors, {&reference_ops(), 1, 0});
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

class ModelLoadTest : public testing::Test {
 protected:
  // Expects an Error{kFile} that contains `words` once `change` was made to a tensor.
  template <typename Change>
  void expect_error(TensorRole role, LinearKind linear, const char* words, const Change& change) {
    std::vector<TensorSource> tensors = tiny.tensors;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorSource& t = tensors[i];
      if (t.role != role || t.linear != linear || (t.layer != 1 && t.layer != -1)) continue;
      change(tensors, i);
      break;
    }
    const Failure failure = open_error(tiny.config, tensors);
    EXPECT_EQ(failure.code, ErrorCode::kFile);
    EXPECT_NE(failure.message.find(words), std::string::npos) << failure.message;
  }

  using Tensors = std::vector<TensorSource>;
  TinyModel tiny{tiny_shapes()[4]};  // qwen2: biases
};

TEST_F(ModelLoadTest, OpensWhatIsWhole) {
  EXPECT_EQ(open_error(tiny.config, tiny.tensors).message, "no error");
}

TEST_F(ModelLoadTest, MissingExtraAndTwice) {
  const auto erase = [](Tensors& t, size_t i) { t.erase(t.begin() + i); };
  const auto twice = [](Tensors& t, size_t i) { t.push_back(TensorSource(t[i])); };
  expect_error(TensorRole::kLinear, LinearKind::kGate, "layer 1 gate_proj: it is missing", erase);
  expect_error(TensorRole::kEmbedding, LinearKind::kQ, "embedding: it is missing", erase);
  expect_error(TensorRole::kFinalNorm, LinearKind::kQ, "final_norm: it is missing", erase);
  expect_error(TensorRole::kLinear, LinearKind::kV, "layer 1 v_proj: it is there twice", twice);
  expect_error(TensorRole::kBias, LinearKind::kV, "layer 1 v_proj bias: it is there twice", twice);
  expect_error(TensorRole::kAttentionNorm, LinearKind::kQ, "layer 1 q_norm: a model of this config",
               [](Tensors& t, size_t i) { t[i].role = TensorRole::kQNorm; });
  expect_error(TensorRole::kBias, LinearKind::kQ, "layer 1 down_proj bias: a model of this config",
               [](Tensors& t, size_t i) { t[i].linear = LinearKind::kDown; });
}

TEST_F(ModelLoadTest, ShapesBytesAndPlaces) {
  expect_error(TensorRole::kLinear, LinearKind::kK, "layer 1 k_proj: its shape is [13, 24]",
               [](Tensors& t, size_t i) { t[i].rows = 13; });
  expect_error(TensorRole::kLinear, LinearKind::kK, "layer 1 k_proj: its header gives it 1151",
               [](Tensors& t, size_t i) { t[i].bytes = 1151; });
  expect_error(TensorRole::kLinear, LinearKind::kK, "layer 1 k_proj",
               [](Tensors& t, size_t i) { t[i].dtype = Dtype::kQ4_1; });  // 24 is no whole block
  expect_error(TensorRole::kLinear, LinearKind::kK, "layer 1 k_proj",
               [](Tensors& t, size_t i) { t[i].offset = int64_t{1} << 40; });
  expect_error(TensorRole::kLinear, LinearKind::kK, "layer 1 k_proj",
               [](Tensors& t, size_t i) { t[i].offset = -4; });
  expect_error(TensorRole::kLinear, LinearKind::kK, "interleave 3 heads",
               [](Tensors& t, size_t i) { t[i].interleaved_heads = 3; });
  expect_error(TensorRole::kLinear, LinearKind::kV, "interleave 2 heads",
               [](Tensors& t, size_t i) { t[i].interleaved_heads = 2; });
  expect_error(TensorRole::kLinear, LinearKind::kK, "layer 7 k_proj",
               [](Tensors& t, size_t i) { t[i].layer = 7; });
  expect_error(TensorRole::kLinear, LinearKind::kK, "nowhere",
               [](Tensors& t, size_t i) { t[i].file = "/nowhere/model.gguf"; });
}

TEST_F(ModelLoadTest, ConfigsThatCannotBe) {
  const auto expect = [&](const char* words, const auto& change) {
    ModelConfig config = tiny.config;
    change(config);
    const Failure failure = open_error(config, tiny.tensors);
    EXPECT_EQ(failure.code, ErrorCode::kInvalidArgument);
    EXPECT_NE(failure.message.find(words), std::string::npos) << failure.message;
  };
  expect("layers = 0", [](ModelConfig& c) { c.layers = 0; });
  expect("no multiple of kv_heads", [](ModelConfig& c) { c.kv_heads = 3; });
  expect("head_dim = 7", [](ModelConfig& c) { c.head_dim = 7; });
  expect("rotary frequencies", [](ModelConfig& c) { c.inverse_frequencies.pop_back(); });
  expect("vocabulary", [](ModelConfig& c) { c.vocabulary = int64_t{1} << 60; });
}

// The same q and k, bias included, with the rotary halves of each head interleaved as GGUF has
// them.
TEST_F(ModelLoadTest, InterleavedRowsAreUndone) {
  std::vector<float> bytes;
  std::vector<TensorSource> tensors = tiny.tensors;
  const TemporaryFile file;
  Model plain = tiny.open(reference_ops());
  for (TensorSource& tensor : tensors) {
    const std::vector<float> values =
        plain.read_tensor(tensor.role, tensor.linear, tensor.layer, 0, tensor.rows, 0);
    tensor.file = file.path();
    tensor.offset = static_cast<int64_t>(bytes.size() * sizeof(float));
    const bool rotates = (tensor.role == TensorRole::kLinear || tensor.role == TensorRole::kBias) &&
                         (tensor.linear == LinearKind::kQ || tensor.linear == LinearKind::kK);
    if (!rotates) {
      bytes.insert(bytes.end(), values.begin(), values.end());
      continue;
    }
    const bool bias = tensor.role == TensorRole::kBias;
    const int64_t rows = bias ? tensor.cols : tensor.rows;
    const int64_t cols = bias ? 1 : tensor.cols;
    const int64_t width = tiny.config.head_dim;
    tensor.interleaved_heads = rows / width;
    for (int64_t stored = 0; stored < rows; ++stored) {
      const int64_t j = stored % width;
      const int64_t logical = stored - j + j % 2 * (width / 2) + j / 2;
      bytes.insert(bytes.end(), values.begin() + logical * cols,
                   values.begin() + (logical + 1) * cols);
    }
  }
  file.write(bytes);
  Model interleaved(tiny.config, tensors, {&reference_ops(), 1, 0});
  Random random(3);
  ForestBuilder builder;
  builder.target_all(builder.span(-1, random_tokens(random, 20)));
  EXPECT_EQ(bits_of(interleaved.score(builder.input, nullptr).logprobs),
            bits_of(plain.score(builder.input, nullptr).logprobs));
}

}  // namespace
}  // namespace valora::test
