// The CPU backend's table for one instruction set.
#include "core/weight.h"
#include "cpu/cpu.h"

#define VALORA_TEXT_OF(name) #name
#define VALORA_TEXT(name) VALORA_TEXT_OF(name)

namespace valora::VALORA_ISA {

const Ops& table() {
  static constexpr Ops kOps = {.name = VALORA_TEXT(VALORA_ISA),
                               .space = Space::kHost,
                               .upload_weight = upload_weight,
                               VALORA_OPERATIONS(VALORA_FIELD)};
  return kOps;
}

}  // namespace valora::VALORA_ISA
