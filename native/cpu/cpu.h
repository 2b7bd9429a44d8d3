// The CPU backend: each operation of core/ops.h over F16 lanes, by the summation rule stated there.
// The files of this folder are compiled once for each instruction set into namespace
// valora::VALORA_ISA; ops_table.cc makes a table of them and dispatch.cc chooses one at run time.
// Shapes were checked by core/ops.cc.
#pragma once

#include "core/ops.h"

namespace valora::VALORA_ISA {

VALORA_DECLARE(upload_weight)
VALORA_OPERATIONS(VALORA_DECLARE)

}  // namespace valora::VALORA_ISA
