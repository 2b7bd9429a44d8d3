// JavaScript values to plain structs, and back. The order of names in a choice is the order of its
// enum.
#include "addon/convert.h"

#include <limits>
#include <string>

#include "core/dequantize.h"
#ifdef VALORA_CUDA
#include "cuda/backend.h"
#endif

namespace valora::addon {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kMaxThreads = 1024;  // beyond any machine: a wrong number, not a wish

// An Int32Array of whole groups of `width` numbers.
std::vector<int32_t> read_groups(const Value& value, size_t width) {
  std::vector<int32_t> numbers = value.int32_array();
  if (numbers.size() % width != 0) {
    value.refuse("an Int32Array whose length is a multiple of " + std::to_string(width));
  }
  return numbers;
}

// An Int32Array with one number for each of `count` things.
std::vector<int32_t> read_one_each(const Value& value, size_t count, const char* things) {
  std::vector<int32_t> numbers = value.int32_array();
  if (numbers.size() != count) {
    value.refuse("an Int32Array with one entry for each of the " + std::to_string(count) + " " +
                 things);
  }
  return numbers;
}

uint64_t read_seed(const Value& value) {
  return static_cast<uint64_t>(value.integer(0, kMaxSafeInteger));
}

const char* linear_name(LinearKind kind) {
  constexpr const char* kNames[kLinearKinds] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                "gate_proj", "up_proj", "down_proj"};
  return kNames[static_cast<int>(kind)];
}

}  // namespace

ModelConfig read_config(const Value& value) {
  ModelConfig config;
  config.layers = value["layers"].int32(1);
  config.channels = value["channels"].int32(1);
  config.heads = value["heads"].int32(1);
  config.kv_heads = value["kvHeads"].int32(1);
  config.head_dim = value["headDim"].int32(2);
  config.feed_forward = value["feedForward"].int32(1);
  config.vocabulary = value["vocabulary"].int32(1);
  config.max_positions = value["maxPositions"].int32(1);
  config.norm_epsilon = static_cast<float>(value["normEpsilon"].number(0, 1));
  config.norm_placement =
      static_cast<NormPlacement>(value["normPlacement"].choice({"pre", "post"}));
  config.qk_norm = static_cast<QkNorm>(value["qkNorm"].choice({"none", "whole", "head"}));
  config.inverse_frequencies = value["inverseFrequencies"].float64_array();
  if (config.heads % config.kv_heads != 0) {
    value["kvHeads"].refuse("a divisor of heads, " + std::to_string(config.heads));
  }
  if (config.head_dim % 2 != 0) value["headDim"].refuse("even");
  if (static_cast<int64_t>(config.inverse_frequencies.size()) != config.head_dim / 2) {
    value["inverseFrequencies"].refuse("a Float64Array of headDim / 2 entries");
  }
  return config;
}

TensorRole read_role(const Value& value, LinearKind* linear) {
  struct Named {
    TensorRole role;
    LinearKind linear;
  };
  using enum TensorRole;
  using enum LinearKind;
  constexpr Named kRoles[] = {
      {kEmbedding, kQ},
      {kHead, kQ},
      {kFinalNorm, kQ},
      {kAttentionNorm, kQ},
      {kFeedForwardNorm, kQ},
      {kQNorm, kQ},
      {kKNorm, kQ},
      {kLinear, kQ},
      {kLinear, kK},
      {kLinear, kV},
      {kLinear, kO},
      {kLinear, kGate},
      {kLinear, kUp},
      {kLinear, kDown},
      {kBias, kQ},
      {kBias, kK},
      {kBias, kV},
      {kBias, kO},
  };
  const size_t index =
      value.choice({"embedding", "head", "final_norm", "attention_norm", "feed_forward_norm",
                    "q_norm", "k_norm", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                    "up_proj", "down_proj", "q_bias", "k_bias", "v_bias", "o_bias"});
  *linear = kRoles[index].linear;
  return kRoles[index].role;
}

LinearKind read_linear_kind(const Value& value) {
  return static_cast<LinearKind>(
      value.choice({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}));
}

Dtype read_dtype(const Value& value) {
  Dtype dtype;
  if (!value.raw().IsString() || !dtype_from_name(value.text().c_str(), &dtype)) {
    value.refuse("the name of a dtype, such as F32 or Q4_K");
  }
  return dtype;
}

std::vector<TensorSource> read_tensors(const Value& value) {
  std::vector<TensorSource> tensors;
  for (const Value& item : value.array()) {
    TensorSource tensor{};
    tensor.role = read_role(item["role"], &tensor.linear);
    tensor.layer = item["layer"].int32(-1);
    tensor.file = item["file"].text();
    tensor.offset = item["offset"].integer(0, kMaxSafeInteger);
    tensor.bytes = item["bytes"].integer(0, kMaxSafeInteger);
    tensor.dtype = read_dtype(item["dtype"]);
    tensor.rows = item["rows"].int32(1);
    tensor.cols = item["cols"].int32(1);
    tensor.interleaved_heads = item["interleavedHeads"].int32(0);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Compute read_compute(const Value& value) {
  return value.choice({"float32", "bf16"}) == 1 ? Compute::kBf16 : Compute::kFloat32;
}

ModelOptions read_open_options(const Value& value) {
  ModelOptions options;
  const size_t backend = value["backend"].choice({"cpu", "reference", "cuda"});
  const Value isa = value["isa"];
  if (backend == 2) {
#ifdef VALORA_CUDA
    options.ops = &cuda_ops();
#else
    value["backend"].refuse("a backend of this build, which has no CUDA");
#endif
  } else if (backend == 1) {
    options.ops = &reference_ops();
  } else if (isa.absent()) {
    options.ops = &best_cpu_ops();
  } else {
    isa.choice({"avx512", "avx2", "neon", "generic"});
    options.ops = cpu_ops(isa.text().c_str());
    if (options.ops == nullptr) isa.refuse("an instruction set that this machine and build have");
  }
  options.threads = static_cast<int>(value["threads"].integer(1, kMaxThreads));
  const Value memory = value["memoryBytes"];
  // On a device the limit may be left to what is free there.
  if (!memory.absent() || backend != 2) options.memory_bytes = memory.integer(1, kMaxSafeInteger);
  options.compute = read_compute(value["compute"]);
  return options;
}

ForestInput read_forest(const Value& value) {
  ForestInput forest;
  forest.tokens = value["tokens"].int32_array();
  const std::vector<int32_t> spans = read_groups(value["spans"], 3);
  for (size_t i = 0; i < spans.size(); i += 3) {
    forest.spans.push_back({spans[i], spans[i + 1], spans[i + 2]});
  }
  forest.adapters = value["adapters"].int32_array();
  const std::vector<int32_t> targets = read_groups(value["targets"], 2);
  for (size_t i = 0; i < targets.size(); i += 2) {
    forest.targets.push_back({targets[i], targets[i + 1]});
  }
  return forest;
}

EmbeddingRequest read_embedding(const Value& value) {
  EmbeddingRequest request;
  request.forest = read_forest(value["forest"]);
  request.groups = read_one_each(value["groups"], request.forest.targets.size(), "targets");
  request.layer = value["layer"].int32(0);
  return request;
}

GenerationRequest read_generation(const Value& value) {
  GenerationRequest request;
  for (const Value& prompt : value["prompts"].array()) {
    request.prompts.push_back(prompt.int32_array());
  }
  const size_t prompts = request.prompts.size();
  request.adapters = read_one_each(value["adapters"], prompts, "prompts");
  request.samples = value["samples"].int32(1);
  request.max_new_tokens = value["maxNewTokens"].int32(0);
  request.sampling.temperature = static_cast<float>(value["temperature"].number(0, 1e6));
  request.sampling.top_k = value["topK"].int32(0);
  request.sampling.top_p = static_cast<float>(value["topP"].number(0, 1));
  request.seed = read_seed(value["seed"]);
  request.streams = read_one_each(value["streams"], prompts, "prompts");
  request.stop_tokens = value["stopTokens"].int32_array();
  return request;
}

JobShape read_job_shape(const Value& value) {
  JobShape shape;
  shape.job =
      static_cast<JobShape::Job>(value["job"].choice({"score", "train", "generate", "embed"}));
  shape.rows = value["rows"].int32(0);
  shape.target_rows = value["targetRows"].int32(0);
  shape.trees = value["trees"].int32(0);
  shape.longest_path = value["longestPath"].int32(0);
  shape.recompute = value["recompute"].boolean();
  shape.sequences = value["sequences"].int32(0);
  shape.cache_rows = value["cacheRows"].int32(0);
  return shape;
}

LoraSpec read_lora_spec(const Value& value) {
  LoraSpec spec;
  for (const Value& kind : value["kinds"].array()) spec.kinds.push_back(read_linear_kind(kind));
  spec.rank = value["rank"].int32(1);
  spec.scale = static_cast<float>(value["scale"].number(-1e6, 1e6));
  spec.seed = read_seed(value["seed"]);
  return spec;
}

std::vector<LoraModule> read_lora_modules(const Value& value) {
  std::vector<LoraModule> modules;
  for (const Value& item : value.array()) {
    LoraModule module;
    module.layer = item["layer"].int32(0);
    module.kind = read_linear_kind(item["kind"]);
    module.rank = item["rank"].int32(1);
    module.scale = static_cast<float>(item["scale"].number(-1e6, 1e6));
    module.a = item["a"].float32_array();
    module.b = item["b"].float32_array();
    modules.push_back(std::move(module));
  }
  return modules;
}

PairBatch read_pairs(const Value& value) {
  PairBatch batch;
  batch.forest = read_forest(value["forest"]);
  batch.responses = read_one_each(value["responses"], batch.forest.targets.size(), "targets");
  batch.reference = value["reference"].float64_array();
  if (batch.reference.size() % 2 != 0) {
    value["reference"].refuse("a Float64Array with two entries a pair");
  }
  for (const int32_t response : batch.responses) {
    if (response < 0 || static_cast<size_t>(response) >= batch.reference.size()) {
      value["responses"].refuse("an Int32Array of numbers below the length of reference, " +
                                std::to_string(batch.reference.size()));
    }
  }
  batch.pair_weight = value["pairWeight"].number(0, kInfinity);
  return batch;
}

LossOptions read_loss(const Value& value) {
  LossOptions loss;
  loss.kind =
      static_cast<LossKind>(value["kind"].choice({"sigmoid", "ipo", "hinge", "robust", "sft"}));
  loss.beta = value["beta"].number(0, kInfinity);
  loss.label_smoothing = value["labelSmoothing"].number(0, 0.5);
  loss.rpo_alpha = value["rpoAlpha"].number(0, kInfinity);
  return loss;
}

AdamwOptions read_adamw(const Value& value) {
  AdamwOptions options;
  options.learning_rate = value["learningRate"].number(0, kInfinity);
  options.beta1 = value["beta1"].number(0, 1);
  options.beta2 = value["beta2"].number(0, 1);
  options.epsilon = value["epsilon"].number(0, kInfinity);
  options.weight_decay = value["weightDecay"].number(0, kInfinity);
  options.clip = value["clip"].number(0, kInfinity);
  return options;
}

OptimizerState read_optimizer_state(const Value& value) {
  OptimizerState state;
  state.step = value["step"].integer(0, kMaxSafeInteger);
  state.m = value["m"].float32_array();
  state.v = value["v"].float32_array();
  return state;
}

Recompute read_recompute(const Value& value) {
  return static_cast<Recompute>(value.choice({"auto", "always", "never"}));
}

Napi::Value to_js(Napi::Env env, const Scores& scores) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("logprobs", copy_to_js(env, scores.logprobs));
  object.Set("greedy", copy_to_js(env, scores.greedy));
  return object;
}

Napi::Value to_js(Napi::Env env, const std::vector<Generated>& generated) {
  Napi::Array tokens = Napi::Array::New(env, generated.size());
  Napi::Array logprobs = Napi::Array::New(env, generated.size());
  Napi::Array finish = Napi::Array::New(env, generated.size());
  for (uint32_t i = 0; i < generated.size(); ++i) {
    const Napi::HandleScope scope(env);
    tokens.Set(i, copy_to_js(env, generated[i].tokens));
    logprobs.Set(i, copy_to_js(env, generated[i].logprobs));
    finish.Set(i, generated[i].stopped ? "stop" : "length");
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", tokens);
  object.Set("logprobs", logprobs);
  object.Set("finish", finish);
  return object;
}

Napi::Value to_js(Napi::Env env, const std::vector<LoraModule>& modules) {
  Napi::Array array = Napi::Array::New(env, modules.size());
  for (uint32_t i = 0; i < modules.size(); ++i) {
    const Napi::HandleScope scope(env);
    Napi::Object object = Napi::Object::New(env);
    object.Set("layer", static_cast<double>(modules[i].layer));
    object.Set("kind", linear_name(modules[i].kind));
    object.Set("rank", static_cast<double>(modules[i].rank));
    object.Set("scale", static_cast<double>(modules[i].scale));
    object.Set("a", copy_to_js(env, modules[i].a));
    object.Set("b", copy_to_js(env, modules[i].b));
    array.Set(i, object);
  }
  return array;
}

Napi::Value to_js(Napi::Env env, const PairResults& results) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("loss", copy_to_js(env, results.loss));
  object.Set("chosen", copy_to_js(env, results.chosen));
  object.Set("rejected", copy_to_js(env, results.rejected));
  return object;
}

Napi::Value to_js(Napi::Env env, const OptimizerState& state) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("step", static_cast<double>(state.step));
  object.Set("m", copy_to_js(env, state.m));
  object.Set("v", copy_to_js(env, state.v));
  return object;
}

Napi::Value to_js(Napi::Env env, const Plan& plan) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("weights", static_cast<double>(plan.weights));
  object.Set("adapters", static_cast<double>(plan.adapters));
  object.Set("optimiser", static_cast<double>(plan.optimiser));
  object.Set("activations", static_cast<double>(plan.activations));
  object.Set("cache", static_cast<double>(plan.cache));
  object.Set("total", static_cast<double>(plan.total()));
  return object;
}

Napi::Value to_js(Napi::Env env, const std::vector<OperationTime>& times) {
  Napi::Array array = Napi::Array::New(env, times.size());
  for (uint32_t i = 0; i < times.size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("operation", times[i].operation);
    object.Set("calls", static_cast<double>(times[i].calls));
    object.Set("seconds", times[i].seconds);
    object.Set("busySeconds", times[i].busy_seconds);
    array.Set(i, object);
  }
  return array;
}

}  // namespace valora::addon
