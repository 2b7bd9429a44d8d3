// NativeTrainer: like NativeModel, over one trainer of the engine's state.
#include "addon/trainer_object.h"

#include "addon/cancel_object.h"
#include "addon/convert.h"
#include "addon/methods.h"

namespace valora::addon {

namespace {

// The trainer's place in the engine's state. The methods share it; when the last of them is
// collected, so is it.
class TrainerHandle {
 public:
  TrainerHandle(std::shared_ptr<EngineThread> engine, int32_t id)
      : engine_(std::move(engine)), id_(id) {}
  ~TrainerHandle() { dispose(); }
  TrainerHandle(const TrainerHandle&) = delete;
  TrainerHandle& operator=(const TrainerHandle&) = delete;

  EngineThread& engine() const { return *engine_; }
  int32_t id() const { return id_; }

  // After the work that was queued before.
  void dispose() {
    if (disposed_) return;
    disposed_ = true;
    engine_->post([id = id_](EngineState& state) { state.trainers.erase(id); });
  }

 private:
  std::shared_ptr<EngineThread> engine_;
  int32_t id_;
  bool disposed_ = false;
};

using Handle = std::shared_ptr<TrainerHandle>;

const auto kToJs = [](Napi::Env env, const auto& result) { return to_js(env, result); };
const auto kNothing = [](Napi::Env env, bool) { return env.Undefined(); };

Napi::Value accumulate(const Handle& handle, const Napi::CallbackInfo& info) {
  const Cancel cancel = read_cancel(argument(info, 2, "cancel"));
  return handle->engine().submit(
      info.Env(),
      [id = handle->id(), pairs = read_pairs(argument(info, 0, "pairs")),
       loss = read_loss(argument(info, 1, "loss")), cancel](EngineState& state) {
        return state.trainer(id).accumulate(pairs, loss, cancel.get());
      },
      kToJs, cancel);
}

Napi::Value step(const Handle& handle, const Napi::CallbackInfo& info) {
  return handle->engine().submit(
      info.Env(),
      [id = handle->id(), options = read_adamw(argument(info, 0, "options"))](EngineState& state) {
        return state.trainer(id).step(options);
      },
      [](Napi::Env env, double norm) {
        Napi::Object object = Napi::Object::New(env);
        object.Set("gradNorm", norm);
        return object;
      });
}

Napi::Value clear(const Handle& handle, const Napi::CallbackInfo& info) {
  return handle->engine().submit(
      info.Env(),
      [id = handle->id()](EngineState& state) {
        state.trainer(id).clear();
        return true;
      },
      kNothing);
}

Napi::Value gradients(const Handle& handle, const Napi::CallbackInfo& info) {
  return handle->engine().submit(
      info.Env(), [id = handle->id()](EngineState& state) { return state.trainer(id).gradients(); },
      kToJs);
}

Napi::Value get_state(const Handle& handle, const Napi::CallbackInfo& info) {
  return handle->engine().submit(
      info.Env(), [id = handle->id()](EngineState& state) { return state.trainer(id).state(); },
      kToJs);
}

Napi::Value set_state(const Handle& handle, const Napi::CallbackInfo& info) {
  return handle->engine().submit(
      info.Env(),
      [id = handle->id(),
       wanted = read_optimizer_state(argument(info, 0, "state"))](EngineState& state) {
        state.trainer(id).set_state(wanted);
        return true;
      },
      kNothing);
}

}  // namespace

Napi::Value make_trainer_object(Napi::Env env, const std::shared_ptr<EngineThread>& engine,
                                int32_t id) {
  const Handle handle = std::make_shared<TrainerHandle>(engine, id);
  Napi::Object object = Napi::Object::New(env);
  using Method = Napi::Value (*)(const Handle&, const Napi::CallbackInfo&);
  const std::pair<const char*, Method> methods[] = {
      {"accumulate", accumulate},
      {"step", step},
      {"clear", clear},
      {"gradients", gradients},
      {"state", get_state},
      {"setState", set_state},
      {"dispose",
       [](const Handle& handle, const Napi::CallbackInfo& info) -> Napi::Value {
         handle->dispose();
         return info.Env().Undefined();
       }},
  };
  for (const auto& [name, method] : methods) {
    add_method(object, name, [handle, method = method](const Napi::CallbackInfo& info) {
      return method(handle, info);
    });
  }
  return object;
}

}  // namespace valora::addon
