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

#define VALORA_NOTHING(name) .name = Nothing<decltype(Ops::name)>::call,

}  // namespace

const Ops& counting_ops() {
  static constexpr Ops kOps = {.name = "counting",
                               .space = Space::kHost,
                               .counting = true,
                               .upload_weight = upload_mapped_weight,
                               VALORA_OPERATIONS(VALORA_NOTHING)};
  return kOps;
}

}  // namespace valora
