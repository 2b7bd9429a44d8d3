// JavaScript's side of lib/native.ts to the core's plain structs, and back: one function a type.
// Readers throw as Value does; lengths that must agree are checked here, meaning (a span past its
// rows, an unknown adapter) by the core.
#pragma once

#include <vector>

#include "addon/values.h"
#include "model/model.h"
#include "model/trainer.h"

namespace valora::addon {

ModelConfig read_config(const Value& value);
std::vector<TensorSource> read_tensors(const Value& value);
Compute read_compute(const Value& value);
ModelOptions read_open_options(const Value& value);
Dtype read_dtype(const Value& value);

ForestInput read_forest(const Value& value);
EmbeddingRequest read_embedding(const Value& value);
GenerationRequest read_generation(const Value& value);
JobShape read_job_shape(const Value& value);

LoraSpec read_lora_spec(const Value& value);
std::vector<LoraModule> read_lora_modules(const Value& value);
LinearKind read_linear_kind(const Value& value);
// Sets `linear` where the role has one.
TensorRole read_role(const Value& value, LinearKind* linear);

PairBatch read_pairs(const Value& value);
LossOptions read_loss(const Value& value);
AdamwOptions read_adamw(const Value& value);
OptimizerState read_optimizer_state(const Value& value);
Recompute read_recompute(const Value& value);

Napi::Value to_js(Napi::Env env, const Scores& scores);
Napi::Value to_js(Napi::Env env, const std::vector<Generated>& generated);
Napi::Value to_js(Napi::Env env, const std::vector<LoraModule>& modules);
Napi::Value to_js(Napi::Env env, const PairResults& results);
Napi::Value to_js(Napi::Env env, const OptimizerState& state);
Napi::Value to_js(Napi::Env env, const Plan& plan);
Napi::Value to_js(Napi::Env env, const std::vector<OperationTime>& times);

}  // namespace valora::addon
