// NativeModel: what openModel promises.
#pragma once

#include <napi.h>

namespace valora::addon {

// openModel(config, tensors, options): Promise<NativeModel>.
Napi::Value open_model(const Napi::CallbackInfo& info);

}  // namespace valora::addon
