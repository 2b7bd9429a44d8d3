// Checked reading of JavaScript values and making of JavaScript errors. Every reader throws a
// JavaScript TypeError with code ERR_INVALID_ARGUMENT that names the property ("forest.tokens"),
// what was expected and what came.
#pragma once

#include <napi.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/error.h"

namespace valora::addon {

// The largest whole number that a JavaScript number holds exactly.
inline constexpr int64_t kMaxSafeInteger = (int64_t{1} << 53) - 1;

// "score(forest)": a value with the name it has for the caller.
class Value {
 public:
  Value(Napi::Value value, std::string name) : value_(value), name_(std::move(name)) {}

  Napi::Value raw() const { return value_; }
  const std::string& name() const { return name_; }
  bool absent() const { return value_.IsUndefined() || value_.IsNull(); }

  // The property `key` of an object.
  Value operator[](const char* key) const;

  int64_t integer(int64_t min, int64_t max) const;
  int32_t int32(int32_t min) const;
  double number(double min, double max) const;  // finite
  bool boolean() const;
  std::string text() const;  // without NUL characters
  // The index of the string among `choices`.
  size_t choice(std::initializer_list<const char*> choices) const;
  // The elements of an array.
  std::vector<Value> array() const;
  // Copies of typed arrays: JavaScript may change them while the work waits.
  std::vector<int32_t> int32_array() const;
  std::vector<float> float32_array() const;
  std::vector<double> float64_array() const;  // every entry finite
  std::vector<uint8_t> uint8_array() const;

  // Throws the TypeError: "<name> must be <expected>, not <what came>".
  [[noreturn]] void refuse(const std::string& expected) const;

 private:
  template <typename T>
  std::vector<T> typed_array(napi_typedarray_type type, const char* type_name) const;

  Napi::Value value_;
  std::string name_;
};

// Argument `index` of a call.
inline Value argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return {info[index], name};
}

// JavaScript errors with a `code`.
Napi::Error make_error(Napi::Env env, const char* code, const std::string& message);
// Of any exception that C++ code threw: Error's code, ERR_OUT_OF_MEMORY, else ERR_INTERNAL.
Napi::Error make_error(Napi::Env env, std::exception_ptr exception);

// A typed array with a copy of `values`.
template <typename T>
Napi::TypedArrayOf<T> copy_to_js(Napi::Env env, const std::vector<T>& values) {
  auto array = Napi::TypedArrayOf<T>::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

}  // namespace valora::addon
