// ModelWeights: what a config demands of each tensor, and the tensors that meet it.
#include "model/weights.h"

#include <limits>
#include <map>

#include "core/dequantize.h"
#include "core/error.h"

namespace valora {

namespace {

[[noreturn]] void fail(const std::string& name, const std::string& what) {
  throw Error(ErrorCode::kFile, "tensor " + name + ": " + what);
}

std::string shape_text(int64_t rows, int64_t cols) {
  return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
}

bool outside_layers(TensorRole role) {
  return role == TensorRole::kEmbedding || role == TensorRole::kHead ||
         role == TensorRole::kFinalNorm;
}

bool is_matrix(TensorRole role) {
  return role == TensorRole::kEmbedding || role == TensorRole::kHead || role == TensorRole::kLinear;
}

bool can_have_bias(LinearKind kind) { return kind <= LinearKind::kO; }

// The shape a tensor must have; {0, 0} where a model of this config has no such tensor.
MatrixShape expected_shape(const ModelConfig& config, TensorRole role, LinearKind linear) {
  switch (role) {
    case TensorRole::kEmbedding:
    case TensorRole::kHead:
      return {config.vocabulary, config.channels};
    case TensorRole::kFinalNorm:
    case TensorRole::kAttentionNorm:
    case TensorRole::kFeedForwardNorm:
      return {1, config.channels};
    case TensorRole::kQNorm:
    case TensorRole::kKNorm:
      if (config.qk_norm == QkNorm::kNone) return {0, 0};
      if (config.qk_norm == QkNorm::kHead) return {1, config.head_dim};
      return {1, (role == TensorRole::kQNorm ? config.heads : config.kv_heads) * config.head_dim};
    case TensorRole::kLinear:
      return linear_shape(config, linear);
    case TensorRole::kBias:
      if (!can_have_bias(linear)) return {0, 0};
      return {1, linear_shape(config, linear).outputs};
  }
  return {0, 0};
}

// The heads whose rotary halves may be stored interleaved: those of q and k.
int64_t rotary_heads(const ModelConfig& config, const TensorSource& tensor) {
  if (tensor.role != TensorRole::kLinear && tensor.role != TensorRole::kBias) return 0;
  if (tensor.linear == LinearKind::kQ) return config.heads;
  if (tensor.linear == LinearKind::kK) return config.kv_heads;
  return 0;
}

std::vector<float> decode_vector(const TensorSource& tensor, const uint8_t* data) {
  std::vector<float> stored(tensor.cols);
  dequantize(tensor.dtype, data, tensor.cols, stored.data());
  if (tensor.interleaved_heads == 0) return stored;
  // A bias is a matrix of one column: Weight::row knows where its entries lie.
  Weight order;
  order.source.rows = tensor.cols;
  order.source.cols = 1;
  order.source.interleaved_heads = tensor.interleaved_heads;
  order.source.data = reinterpret_cast<const uint8_t*>(stored.data());
  order.row_bytes = sizeof(float);
  std::vector<float> values(tensor.cols);
  for (int64_t o = 0; o < tensor.cols; ++o) {
    values[o] = *reinterpret_cast<const float*>(order.row(o));
  }
  return values;
}

void check_range(const char* name, int64_t value, int64_t smallest, int64_t largest) {
  if (value < smallest || value > largest) {
    throw Error(ErrorCode::kInvalidArgument,
                std::string("the model's config has ") + name + " = " + std::to_string(value) +
                    ", expected " + std::to_string(smallest) + " to " + std::to_string(largest));
  }
}

}  // namespace

MatrixShape linear_shape(const ModelConfig& config, LinearKind kind) {
  const int64_t queries = config.heads * config.head_dim;
  const int64_t keys = config.kv_heads * config.head_dim;
  switch (kind) {
    case LinearKind::kQ:
      return {queries, config.channels};
    case LinearKind::kK:
    case LinearKind::kV:
      return {keys, config.channels};
    case LinearKind::kO:
      return {config.channels, queries};
    case LinearKind::kGate:
    case LinearKind::kUp:
      return {config.feed_forward, config.channels};
    case LinearKind::kDown:
      return {config.channels, config.feed_forward};
  }
  throw Error(ErrorCode::kInvalidArgument, "there is no such linear layer");
}

const char* linear_name(LinearKind kind) {
  static const char* const kNames[kLinearKinds] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                   "gate_proj", "up_proj", "down_proj"};
  const int index = static_cast<int>(kind);
  return index >= 0 && index < kLinearKinds ? kNames[index] : "unknown";
}

std::string tensor_name(TensorRole role, LinearKind linear, int64_t layer) {
  const std::string prefix = "layer " + std::to_string(layer) + " ";
  switch (role) {
    case TensorRole::kEmbedding:
      return "embedding";
    case TensorRole::kHead:
      return "head";
    case TensorRole::kFinalNorm:
      return "final_norm";
    case TensorRole::kAttentionNorm:
      return prefix + "attention_norm";
    case TensorRole::kFeedForwardNorm:
      return prefix + "feed_forward_norm";
    case TensorRole::kQNorm:
      return prefix + "q_norm";
    case TensorRole::kKNorm:
      return prefix + "k_norm";
    case TensorRole::kLinear:
      return prefix + linear_name(linear);
    case TensorRole::kBias:
      return prefix + linear_name(linear) + " bias";
  }
  return prefix + "unknown";
}

void check_config(const ModelConfig& config) {
  // Sizes are far above any model and far below what could overflow a product of three of them.
  constexpr int64_t kLargest = int64_t{1} << 20;
  check_range("layers", config.layers, 1, 4096);
  check_range("channels", config.channels, 1, kLargest);
  check_range("heads", config.heads, 1, 4096);
  check_range("kv_heads", config.kv_heads, 1, config.heads);
  check_range("head_dim", config.head_dim, 2, 4096);
  check_range("feed_forward", config.feed_forward, 1, kLargest);
  check_range("vocabulary", config.vocabulary, 1, int64_t{1} << 24);
  check_range("max_positions", config.max_positions, 1, int64_t{1} << 30);
  if (config.heads % config.kv_heads != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "the model's config has heads = " + std::to_string(config.heads) +
                    ", no multiple of kv_heads = " + std::to_string(config.kv_heads));
  }
  if (config.head_dim % 2 != 0) {
    throw Error(ErrorCode::kInvalidArgument,
                "the model's config has head_dim = " + std::to_string(config.head_dim) +
                    ", which has no two halves to rotate");
  }
  if (static_cast<int64_t>(config.inverse_frequencies.size()) != config.head_dim / 2) {
    throw Error(
        ErrorCode::kInvalidArgument,
        "the model's config has " + std::to_string(config.inverse_frequencies.size()) +
            " rotary frequencies, expected head_dim / 2 = " + std::to_string(config.head_dim / 2));
  }
}

std::unique_ptr<Weight>* ModelWeights::matrix_slot(const TensorSource& tensor) {
  if (tensor.role == TensorRole::kEmbedding) return &embedding_;
  if (tensor.role == TensorRole::kHead) return &head_;
  return &layers_[tensor.layer].linear[static_cast<int>(tensor.linear)];
}

Numbers* ModelWeights::vector_slot(const TensorSource& tensor) {
  if (tensor.role == TensorRole::kFinalNorm) return &final_norm_;
  LayerWeights& layer = layers_[tensor.layer];
  switch (tensor.role) {
    case TensorRole::kAttentionNorm:
      return &layer.attention_norm;
    case TensorRole::kFeedForwardNorm:
      return &layer.feed_forward_norm;
    case TensorRole::kQNorm:
      return &layer.q_norm;
    case TensorRole::kKNorm:
      return &layer.k_norm;
    default:
      return &layer.bias[static_cast<int>(tensor.linear)];
  }
}

void ModelWeights::add(const ModelConfig& config, const TensorSource& tensor,
                       const MappedFile& file, const Context& context) {
  const std::string name = tensor_name(tensor.role, tensor.linear, tensor.layer);
  const MatrixShape expected = expected_shape(config, tensor.role, tensor.linear);
  if (expected.outputs == 0) fail(name, "a model of this config has no such tensor");
  if (outside_layers(tensor.role) ? tensor.layer != -1
                                  : tensor.layer < 0 || tensor.layer >= config.layers) {
    fail(name, "the model has " + std::to_string(config.layers) + " layers");
  }
  if (tensor.rows != expected.outputs || tensor.cols != expected.inputs) {
    fail(name, "its shape is " + shape_text(tensor.rows, tensor.cols) + ", the config asks for " +
                   shape_text(expected.outputs, expected.inputs));
  }
  const int64_t heads = rotary_heads(config, tensor);
  if (tensor.interleaved_heads != 0 && tensor.interleaved_heads != heads) {
    fail(name, "it is said to interleave " + std::to_string(tensor.interleaved_heads) +
                   " heads, it has " + std::to_string(heads));
  }
  const uint8_t* data = nullptr;
  try {
    const int64_t bytes = dtype_row_bytes(tensor.dtype, tensor.cols) * tensor.rows;
    if (tensor.bytes != bytes) {
      fail(name, "its header gives it " + std::to_string(tensor.bytes) + " bytes, its shape as " +
                     dtype_info(tensor.dtype).name + " takes " + std::to_string(bytes));
    }
    data = file.range(tensor.offset, tensor.bytes);
  } catch (const Error& error) {
    const std::string what = error.what();
    if (what.rfind("tensor ", 0) == 0) throw;
    fail(name, what);
  }

  if (!is_matrix(tensor.role)) {
    Numbers* slot = vector_slot(tensor);
    if (!slot->empty()) fail(name, "it is there twice");
    *slot = Numbers(context.device, decode_vector(tensor, data));
    bytes_ += tensor.cols * static_cast<int64_t>(sizeof(float));
    return;
  }
  std::unique_ptr<Weight>* slot = matrix_slot(tensor);
  if (*slot != nullptr) fail(name, "it is there twice");
  *slot = context.ops->upload_weight(
      {data, tensor.dtype, tensor.rows, tensor.cols, tensor.interleaved_heads}, context);
  // Pages that were only read to be copied need not stay in memory.
  if ((*slot)->own_bytes != 0) file.leave(tensor.offset, tensor.bytes);
  bytes_ += (*slot)->own_bytes != 0 ? (*slot)->own_bytes : tensor.bytes;
}

void ModelWeights::check_complete(const ModelConfig& config) const {
  const auto demand = [](bool there, TensorRole role, LinearKind linear, int64_t layer) {
    if (!there) fail(tensor_name(role, linear, layer), "it is missing");
  };
  demand(embedding_ != nullptr, TensorRole::kEmbedding, LinearKind::kQ, -1);
  demand(!final_norm_.empty(), TensorRole::kFinalNorm, LinearKind::kQ, -1);
  for (int64_t l = 0; l < config.layers; ++l) {
    const LayerWeights& layer = layers_[l];
    demand(!layer.attention_norm.empty(), TensorRole::kAttentionNorm, LinearKind::kQ, l);
    demand(!layer.feed_forward_norm.empty(), TensorRole::kFeedForwardNorm, LinearKind::kQ, l);
    if (config.qk_norm != QkNorm::kNone) {
      demand(!layer.q_norm.empty(), TensorRole::kQNorm, LinearKind::kQ, l);
      demand(!layer.k_norm.empty(), TensorRole::kKNorm, LinearKind::kQ, l);
    }
    for (int kind = 0; kind < kLinearKinds; ++kind) {
      demand(layer.linear[kind] != nullptr, TensorRole::kLinear, static_cast<LinearKind>(kind), l);
    }
  }
}

ModelWeights::ModelWeights(const ModelConfig& config, const std::vector<TensorSource>& tensors,
                           const Context& context)
    : layers_(config.layers) {
  std::map<std::string, std::shared_ptr<const MappedFile>> mapped;
  for (const TensorSource& tensor : tensors) {
    std::shared_ptr<const MappedFile>& file = mapped[tensor.file];
    if (file == nullptr) {
      file = std::make_shared<const MappedFile>(tensor.file);
      files_.push_back(file);
    }
    add(config, tensor, *file, context);
  }
  check_complete(config);
}

std::vector<float> ModelWeights::read_rows(TensorRole role, LinearKind linear, int64_t layer,
                                           int64_t begin, int64_t count) const {
  const std::string name = tensor_name(role, linear, layer);
  if (!outside_layers(role) && (layer < 0 || layer >= static_cast<int64_t>(layers_.size()))) {
    throw Error(ErrorCode::kInvalidArgument,
                name + ": the model has " + std::to_string(layers_.size()) + " layers");
  }
  TensorSource source;
  source.role = role;
  source.linear = linear;
  source.layer = layer;
  const auto check_rows = [&](int64_t rows) {
    if (begin < 0 || count < 0 || begin > rows || count > rows - begin) {
      throw Error(ErrorCode::kInvalidArgument, name + " has " + std::to_string(rows) +
                                                   " rows; asked for " + std::to_string(count) +
                                                   " from row " + std::to_string(begin));
    }
  };
  // Slots are looked up by the same functions that fill them; nothing is changed here.
  ModelWeights& self = const_cast<ModelWeights&>(*this);
  if (!is_matrix(role)) {
    const Numbers& values = *self.vector_slot(source);
    if (values.empty()) throw Error(ErrorCode::kInvalidArgument, "the model has no " + name);
    check_rows(1);
    return count == 1 ? values.read() : std::vector<float>();
  }
  const Weight& weight = role == TensorRole::kHead
                             ? head()
                             : *static_cast<const Weight*>(self.matrix_slot(source)->get());
  check_rows(weight.rows());
  std::vector<float> values(count * weight.cols());
  for (int64_t o = 0; o < count; ++o) {
    dequantize(weight.source.dtype, weight.row(begin + o), weight.cols(),
               values.data() + o * weight.cols());
  }
  return values;
}

}  // namespace valora
