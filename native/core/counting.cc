// The counting backend: operations that do nothing and touch no memory, so that model code run over
// it, with a counting arena, measures what the same work would take (design promise 4).
#include "core/ops.h"

namespace valora {

namespace {

template <typename Signature>
struct Nothing;

template <typename... Arguments>
struct Nothing<void (*)(Arguments...)> {
  static void call(Arguments...) {}
};

template <typename... Arguments>
struct Nothing<double (*)(Arguments...)> {
  static double call(Arguments...) { return 0; }
};

}  // namespace

const Ops& counting_ops() {
  static constexpr Ops kOps = {
      .name = "counting",
      .space = Space::kHost,
      .upload_weight = upload_mapped_weight,
      .embed_forward = Nothing<decltype(Ops::embed_forward)>::call,
      .rmsnorm_forward = Nothing<decltype(Ops::rmsnorm_forward)>::call,
      .rmsnorm_backward = Nothing<decltype(Ops::rmsnorm_backward)>::call,
      .linear_forward = Nothing<decltype(Ops::linear_forward)>::call,
      .linear_backward = Nothing<decltype(Ops::linear_backward)>::call,
      .lora_gradient = Nothing<decltype(Ops::lora_gradient)>::call,
      .rope = Nothing<decltype(Ops::rope)>::call,
      .attention_forward = Nothing<decltype(Ops::attention_forward)>::call,
      .attention_backward = Nothing<decltype(Ops::attention_backward)>::call,
      .swiglu_forward = Nothing<decltype(Ops::swiglu_forward)>::call,
      .swiglu_backward = Nothing<decltype(Ops::swiglu_backward)>::call,
      .head_forward = Nothing<decltype(Ops::head_forward)>::call,
      .head_backward = Nothing<decltype(Ops::head_backward)>::call,
      .sample = Nothing<decltype(Ops::sample)>::call,
      .add = Nothing<decltype(Ops::add)>::call,
      .gather_rows = Nothing<decltype(Ops::gather_rows)>::call,
      .scatter_rows = Nothing<decltype(Ops::scatter_rows)>::call,
      .adamw = Nothing<decltype(Ops::adamw)>::call,
      .sum_of_squares = Nothing<decltype(Ops::sum_of_squares)>::call,
  };
  return kOps;
}

}  // namespace valora
