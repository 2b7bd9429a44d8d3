// NativeCancel: a flag that JavaScript sets and running work reads.
#pragma once

#include <napi.h>

#include "addon/engine_thread.h"
#include "addon/values.h"

namespace valora::addon {

Napi::Value make_cancel_object(const Napi::CallbackInfo& info);

// The flag of an optional argument; a fresh one where it is left out.
Cancel read_cancel(const Value& value);

}  // namespace valora::addon
