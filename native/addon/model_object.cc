// NativeModel: each method reads its arguments, then queues the core's call on the model's engine
// thread.
#include "addon/model_object.h"

#include "addon/cancel_object.h"
#include "addon/convert.h"
#include "addon/engine_thread.h"
#include "addon/methods.h"
#include "addon/trainer_object.h"
#ifdef VALORA_CUDA
#include "cuda/backend.h"
#endif

namespace valora::addon {

namespace {

using Engine = std::shared_ptr<EngineThread>;

const auto kToJs = [](Napi::Env env, const auto& result) { return to_js(env, result); };
const auto kToNumber = [](Napi::Env env, int32_t result) { return Napi::Number::New(env, result); };

Napi::Value score(const Engine& engine, const Napi::CallbackInfo& info) {
  const Cancel cancel = read_cancel(argument(info, 1, "cancel"));
  return engine->submit(
      info.Env(),
      [forest = read_forest(argument(info, 0, "forest")), cancel](EngineState& state) {
        return state.model->score(forest, cancel.get());
      },
      kToJs, cancel);
}

Napi::Value embed(const Engine& engine, const Napi::CallbackInfo& info) {
  const Cancel cancel = read_cancel(argument(info, 1, "cancel"));
  return engine->submit(
      info.Env(),
      [request = read_embedding(argument(info, 0, "request")), cancel](EngineState& state) {
        return state.model->embed(request, cancel.get());
      },
      [](Napi::Env env, const std::vector<float>& means) { return copy_to_js(env, means); },
      cancel);
}

Napi::Value generate(const Engine& engine, const Napi::CallbackInfo& info) {
  const Cancel cancel = read_cancel(argument(info, 1, "cancel"));
  const Value on_progress = argument(info, 2, "onProgress");
  std::shared_ptr<Progress> progress;
  if (!on_progress.absent()) {
    if (!on_progress.raw().IsFunction()) on_progress.refuse("a function");
    progress = std::make_shared<Progress>(on_progress.raw().As<Napi::Function>());
  }
  return engine->submit(
      info.Env(),
      [request = read_generation(argument(info, 0, "request")), cancel, progress,
       raw = engine.get()](EngineState& state) {
        return state.model->generate(request, cancel.get(), [&](int64_t tokens) {
          if (progress) raw->report(progress, tokens);
        });
      },
      kToJs, cancel, progress);
}

Napi::Value create_adapter(const Engine& engine, const Napi::CallbackInfo& info) {
  return engine->submit(
      info.Env(),
      [spec = read_lora_spec(argument(info, 0, "spec"))](EngineState& state) {
        return state.model->create_adapter(spec);
      },
      kToNumber);
}

Napi::Value load_adapter(const Engine& engine, const Napi::CallbackInfo& info) {
  return engine->submit(
      info.Env(),
      [modules = read_lora_modules(argument(info, 0, "modules"))](EngineState& state) {
        return state.model->load_adapter(modules);
      },
      kToNumber);
}

Napi::Value export_adapter(const Engine& engine, const Napi::CallbackInfo& info) {
  return engine->submit(
      info.Env(),
      [handle = argument(info, 0, "handle").int32(1)](EngineState& state) {
        return state.model->export_adapter(handle);
      },
      kToJs);
}

Napi::Value remove_adapter(const Engine& engine, const Napi::CallbackInfo& info) {
  return engine->submit(
      info.Env(),
      [handle = argument(info, 0, "handle").int32(1)](EngineState& state) {
        state.model->remove_adapter(handle);
        return true;
      },
      [](Napi::Env env, bool) { return env.Undefined(); });
}

Napi::Value create_trainer(const Engine& engine, const Napi::CallbackInfo& info) {
  const int32_t handle = argument(info, 0, "handle").int32(1);
  const Recompute recompute = read_recompute(argument(info, 1, "options")["recompute"]);
  return engine->submit(
      info.Env(),
      [handle, recompute](EngineState& state) {
        std::unique_ptr<Trainer> trainer = state.model->create_trainer(handle, recompute);
        const int32_t id = ++state.last_trainer;
        state.trainers.emplace(id, std::move(trainer));
        return id;
      },
      [engine](Napi::Env env, int32_t id) { return make_trainer_object(env, engine, id); });
}

Napi::Value read_tensor(const Engine& engine, const Napi::CallbackInfo& info) {
  LinearKind linear;
  const TensorRole role = read_role(argument(info, 0, "role"), &linear);
  const int32_t layer = argument(info, 1, "layer").int32(-1);
  const int32_t begin = argument(info, 2, "begin").int32(0);
  const int32_t count = argument(info, 3, "count").int32(0);
  const int32_t adapter = argument(info, 4, "adapter").int32(0);
  return engine->submit(
      info.Env(),
      [=](EngineState& state) {
        return state.model->read_tensor(role, linear, layer, begin, count, adapter);
      },
      [](Napi::Env env, const std::vector<float>& numbers) { return copy_to_js(env, numbers); });
}

Napi::Value take_operation_times(const Engine& engine, const Napi::CallbackInfo& info) {
  return engine->submit(
      info.Env(), [](EngineState& state) { return state.model->take_operation_times(); }, kToJs);
}

Napi::Value make_model_object(Napi::Env env, const Engine& engine) {
  Napi::Object object = Napi::Object::New(env);
  object.DefineProperty(Napi::PropertyDescriptor::Value(
      "isa", Napi::String::New(env, engine->model().isa()), napi_enumerable));
  object.DefineProperty(Napi::PropertyDescriptor::Value(
      "memoryBytes", Napi::Number::New(env, static_cast<double>(engine->model().memory_bytes())),
      napi_enumerable));
  using Method = Napi::Value (*)(const Engine&, const Napi::CallbackInfo&);
  const std::pair<const char*, Method> methods[] = {
      {"score", score},
      {"embed", embed},
      {"generate", generate},
      {"createAdapter", create_adapter},
      {"loadAdapter", load_adapter},
      {"exportAdapter", export_adapter},
      {"removeAdapter", remove_adapter},
      {"createTrainer", create_trainer},
      {"readTensor", read_tensor},
      {"takeOperationTimes", take_operation_times},
      {"plan",
       [](const Engine& engine, const Napi::CallbackInfo& info) {
         return to_js(info.Env(), engine->model().plan(read_job_shape(argument(info, 0, "shape"))));
       }},
      {"dispose",
       [](const Engine& engine, const Napi::CallbackInfo& info) -> Napi::Value {
         return engine->dispose(info.Env());
       }},
  };
  for (const auto& [name, method] : methods) {
    add_method(object, name, [engine, method = method](const Napi::CallbackInfo& info) {
      return method(engine, info);
    });
  }
  return object;
}

// On the thread that is to use it. A model on a device may take four fifths of what is free there,
// or less where it was given a limit.
void open_device([[maybe_unused]] ModelOptions& options, [[maybe_unused]] int32_t number) {
#ifdef VALORA_CUDA
  if (options.ops->space != Space::kDevice) return;
  options.device = open_cuda_device(number);
  const int64_t most = cuda_free_bytes(number) / 5 * 4;
  if (options.memory_bytes == 0 || options.memory_bytes > most) options.memory_bytes = most;
#endif
}

}  // namespace

Napi::Value open_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  ModelConfig config = read_config(argument(info, 0, "config"));
  std::vector<TensorSource> tensors = read_tensors(argument(info, 1, "tensors"));
  const Value given = argument(info, 2, "options");
  ModelOptions options = read_open_options(given);
  const Value number = given["cudaDevice"];
  const int32_t cuda_device = number.absent() ? 0 : number.int32(0);
  const Engine engine = EngineThread::start(env);
  return engine->submit(
      env,
      [config = std::move(config), tensors = std::move(tensors), options,
       cuda_device](EngineState& state) mutable {
        open_device(options, cuda_device);
        state.model = std::make_unique<Model>(config, tensors, options);
        return true;
      },
      [engine](Napi::Env env, bool) { return make_model_object(env, engine); });
}

}  // namespace valora::addon
