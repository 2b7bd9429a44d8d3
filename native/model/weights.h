// ModelWeights: a model's frozen tensors as its layers use them. Matrices stay where the file has
// them (Ops::upload_weight decides how they are kept); norms and biases, a few thousand numbers,
// are decoded to float32. Everything is checked against the config before it is used.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/numbers.h"
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
  Numbers attention_norm;     // [C]
  Numbers feed_forward_norm;  // [C]
  Numbers q_norm;             // [H*D] or [D], or empty
  Numbers k_norm;             // [K*D] or [D], or empty
  std::unique_ptr<Weight> linear[kLinearKinds];
  Numbers bias[kLinearKinds];  // [O] or empty
};

class ModelWeights {
 public:
  // Throws Error{kFile} naming role and layer where a tensor is missing, there twice, unknown to
  // the config, of another shape, or past the end of its file.
  ModelWeights(const ModelConfig& config, const std::vector<TensorSource>& tensors,
               const Context& context);

  const Weight& embedding() const { return *embedding_; }
  const Weight& head() const { return head_ == nullptr ? *embedding_ : *head_; }
  const Numbers& final_norm() const { return final_norm_; }
  const LayerWeights& layer(int64_t l) const { return layers_[l]; }

  // Rows [begin, begin+count) of a matrix, or of a vector (which has one row), decoded.
  std::vector<float> read_rows(TensorRole role, LinearKind linear, int64_t layer, int64_t begin,
                               int64_t count) const;

  // Stored bytes of the matrices, and the decoded vectors.
  int64_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<Weight>* matrix_slot(const TensorSource& tensor);
  Numbers* vector_slot(const TensorSource& tensor);
  void add(const ModelConfig& config, const TensorSource& tensor, const MappedFile& file,
           const Context& context);
  void check_complete(const ModelConfig& config) const;

  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::unique_ptr<Weight> embedding_;
  std::unique_ptr<Weight> head_;
  Numbers final_norm_;
  std::vector<LayerWeights> layers_;
  int64_t bytes_ = 0;
};

}  // namespace valora
