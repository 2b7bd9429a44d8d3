// NativeCancel. Its flag hangs on a tagged object, so that no other object can pass for one.
#include "addon/cancel_object.h"

namespace valora::addon {

namespace {

constexpr napi_type_tag kTag = {0x76616c6f72610000, 0x63616e63656c0001};

}  // namespace

Napi::Value make_cancel_object(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Cancel cancel = make_cancel();
  Napi::Object object = Napi::Object::New(env);
  object.Set("cancel", Napi::Function::New(
                           env,
                           [cancel](const Napi::CallbackInfo&) {
                             cancel->store(true, std::memory_order_relaxed);
                           },
                           "cancel"));
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<Cancel*>(data); };
  auto owned = std::make_unique<Cancel>(cancel);
  NAPI_THROW_IF_FAILED(env, napi_wrap(env, object, owned.get(), finalize, nullptr, nullptr),
                       env.Undefined());
  owned.release();
  object.TypeTag(&kTag);
  return object;
}

Cancel read_cancel(const Value& value) {
  if (value.absent()) return make_cancel();
  const Napi::Env env = value.raw().Env();
  void* data = nullptr;
  if (!value.raw().IsObject() || !value.raw().As<Napi::Object>().CheckTypeTag(&kTag) ||
      napi_unwrap(env, value.raw(), &data) != napi_ok) {
    value.refuse("an object that createCancel made");
  }
  return *static_cast<Cancel*>(data);
}

}  // namespace valora::addon
