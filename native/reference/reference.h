// The reference backend: each operation of core/ops.h as plain loops, float32 stored, accumulated
// in double. What these compute is the definition; shapes were checked by core/ops.cc.
#pragma once

#include "core/ops.h"

namespace valora::reference {

VALORA_OPERATIONS(VALORA_DECLARE)

}  // namespace valora::reference
