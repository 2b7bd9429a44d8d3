// ModelWeights: a model's frozen tensors as its layers use them. Matrices stay where the file has
// them (Ops::upload_weight decides how they are kept); norms and biases, a few thousand numbers,
// are decoded to float32. Everything is checked against the config before it is used.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/ops.h"
#include "model/model.h"

namespace valora {

// Outputs and inputs of a matrix.
struct MatrixShape {
  int64_t outputs;
  int64_t inputs;
};

MatrixShape linear_shape(const ModelConfig& config, LinearKind kind);

// "q_proj" and so on; "layer 3 q_proj", "final_norm" and so on.
const char* linear_name(LinearKind kind);
std::string tensor_name(TensorRole role, LinearKind linear, int64_t layer);

// Throws Error{kInvalidArgument} naming the entry that is out of its range.
void check_config(const ModelConfig& config);

struct LayerWeights {
  std::vector<float> attention_norm;     // [C]
  std::vector<float> feed_forward_norm;  // [C]
  std::vector<float> q_norm;             // [H*D] or [D], or empty
  std::vector<float> k_norm;             // [K*D] or [D], or empty
  std::unique_ptr<Weight> linear[kLinearKinds];
  std::vector<float> bias[kLinearKinds];  // [O] or empty
};

class ModelWeights {
 public:
  // Throws Error{kFile} naming role and layer where a tensor is missing, there twice, unknown to
  // the config, of another shape, or past the end of its file.
  ModelWeights(const ModelConfig& config, const std::vector<TensorSource>& tensors, const Ops& ops);

  const Weight& embedding() const { return *embedding_; }
  const Weight& head() const { return head_ == nullptr ? *embedding_ : *head_; }
  const std::vector<float>& final_norm() const { return final_norm_; }
  const LayerWeights& layer(int64_t l) const { return layers_[l]; }

  // Rows [begin, begin+count) of a matrix, or of a vector (which has one row), decoded.
  std::vector<float> read_rows(TensorRole role, LinearKind linear, int64_t layer, int64_t begin,
                               int64_t count) const;

  // Stored bytes of the matrices, and the decoded vectors.
  int64_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<Weight>* matrix_slot(const TensorSource& tensor);
  std::vector<float>* vector_slot(const TensorSource& tensor);
  void add(const ModelConfig& config, const TensorSource& tensor, const MappedFile& file,
           const Ops& ops);
  void check_complete(const ModelConfig& config) const;

  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::unique_ptr<Weight> embedding_;
  std::unique_ptr<Weight> head_;
  std::vector<float> final_norm_;
  std::vector<LayerWeights> layers_;
  int64_t bytes_ = 0;
};

// A vector as a [1, size] view; empty where the vector is.
inline View row_view(const std::vector<float>& values) {
  if (values.empty()) return {};
  return make_view(const_cast<float*>(values.data()), 1, static_cast<int64_t>(values.size()));
}

}  // namespace valora
