// The reference backend's table.
#include "reference/reference.h"

namespace valora {

const Ops& reference_ops() {
  using namespace reference;
  static constexpr Ops kOps = {.name = "reference",
                               .space = Space::kHost,
                               .upload_weight = upload_mapped_weight,
                               VALORA_OPERATIONS(VALORA_FIELD)};
  return kOps;
}

}  // namespace valora
