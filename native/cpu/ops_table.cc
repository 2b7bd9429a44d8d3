// The CPU backend's table for one instruction set.
#include "core/weight.h"
#include "cpu/cpu.h"

#define VALORA_TEXT_OF(name) #name
#define VALORA_TEXT(name) VALORA_TEXT_OF(name)

namespace valora::VALORA_ISA {

const Ops& table() {
  static constexpr Ops kOps = {
      .name = VALORA_TEXT(VALORA_ISA),
      .space = Space::kHost,
      .upload_weight = upload_mapped_weight,
      .embed_forward = embed_forward,
      .rmsnorm_forward = rmsnorm_forward,
      .rmsnorm_backward = rmsnorm_backward,
      .linear_forward = linear_forward,
      .linear_backward = linear_backward,
      .lora_gradient = lora_gradient,
      .rope = rope,
      .attention_forward = attention_forward,
      .attention_backward = attention_backward,
      .swiglu_forward = swiglu_forward,
      .swiglu_backward = swiglu_backward,
      .head_forward = head_forward,
      .head_backward = head_backward,
      .sample = sample,
      .add = add,
      .gather_rows = gather_rows,
      .scatter_rows = scatter_rows,
      .adamw = adamw,
      .sum_of_squares = sum_of_squares,
  };
  return kOps;
}

}  // namespace valora::VALORA_ISA
