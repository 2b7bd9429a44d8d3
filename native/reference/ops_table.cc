// The reference backend's table.
#include "reference/reference.h"

namespace valora {

const Ops& reference_ops() {
  static constexpr Ops kOps = {
      .name = "reference",
      .space = Space::kHost,
      .upload_weight = upload_mapped_weight,
      .embed_forward = reference::embed_forward,
      .rmsnorm_forward = reference::rmsnorm_forward,
      .rmsnorm_backward = reference::rmsnorm_backward,
      .linear_forward = reference::linear_forward,
      .linear_backward = reference::linear_backward,
      .lora_gradient = reference::lora_gradient,
      .rope = reference::rope,
      .attention_forward = reference::attention_forward,
      .attention_backward = reference::attention_backward,
      .swiglu_forward = reference::swiglu_forward,
      .swiglu_backward = reference::swiglu_backward,
      .head_forward = reference::head_forward,
      .head_backward = reference::head_backward,
      .sample = reference::sample,
      .add = reference::add,
      .gather_rows = reference::gather_rows,
      .scatter_rows = reference::scatter_rows,
      .adamw = reference::adamw,
      .sum_of_squares = reference::sum_of_squares,
  };
  return kOps;
}

}  // namespace valora
