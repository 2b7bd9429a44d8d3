// NativeTrainer: what createTrainer promises.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "addon/engine_thread.h"

namespace valora::addon {

// The object for the trainer `id` of the engine's state. The trainer goes when the object is
// disposed of or forgotten.
Napi::Value make_trainer_object(Napi::Env env, const std::shared_ptr<EngineThread>& engine,
                                int32_t id);

}  // namespace valora::addon
