// Objects whose methods are closures over what they work on: there is no `this` to be wrong about.
#pragma once

#include <napi.h>

#include <exception>
#include <utility>

#include "addon/values.h"

namespace valora::addon {

// object.name = (…) => method(info), with C++ exceptions thrown as JavaScript errors.
template <typename Method>
void add_method(Napi::Object object, const char* name, Method method) {
  const auto guarded = [method = std::move(method)](const Napi::CallbackInfo& info) -> Napi::Value {
    try {
      return method(info);
    } catch (const Napi::Error&) {
      throw;
    } catch (...) {
      throw make_error(info.Env(), std::current_exception());
    }
  };
  object.Set(name, Napi::Function::New(object.Env(), guarded, name));
}

}  // namespace valora::addon
