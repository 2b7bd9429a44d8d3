// Checked reading of JavaScript values.
#include "addon/values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

namespace valora::addon {

namespace {

// How a message shows a value that was not wanted: numbers as they are, others by their kind.
std::string describe(Napi::Value value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsNumber() || value.IsBoolean() || value.IsBigInt()) {
    return value.ToString().Utf8Value();
  }
  if (value.IsString()) {
    const std::string text = value.As<Napi::String>().Utf8Value();
    return text.size() <= 40 ? '"' + text + '"'
                             : "a string of " + std::to_string(text.size()) + " bytes";
  }
  if (value.IsTypedArray()) return "a typed array of another type";
  if (value.IsArray()) return "an array";
  if (value.IsFunction()) return "a function";
  return "an object";
}

}  // namespace

Value Value::operator[](const char* key) const {
  if (!value_.IsObject()) refuse("an object");
  return {value_.As<Napi::Object>().Get(key), name_ + "." + key};
}

void Value::refuse(const std::string& expected) const {
  const Napi::Env env = value_.Env();
  const Napi::TypeError error =
      Napi::TypeError::New(env, name_ + " must be " + expected + ", not " + describe(value_));
  error.Set("code", Napi::String::New(env, error_code_name(ErrorCode::kInvalidArgument)));
  throw error;
}

int64_t Value::integer(int64_t min, int64_t max) const {
  const double number = value_.IsNumber() ? value_.As<Napi::Number>().DoubleValue() : std::nan("");
  // NaN fails the first comparison.
  if (!(number >= static_cast<double>(min)) || number > static_cast<double>(max) ||
      number != std::trunc(number)) {
    refuse("a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return static_cast<int64_t>(number);
}

int32_t Value::int32(int32_t min) const {
  return static_cast<int32_t>(integer(min, std::numeric_limits<int32_t>::max()));
}

double Value::number(double min, double max) const {
  const double number = value_.IsNumber() ? value_.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!std::isfinite(number) || number < min || number > max) {
    std::string expected = "a finite number";
    if (std::isfinite(min)) expected += " of at least " + std::to_string(min);
    if (std::isfinite(max)) expected += " and at most " + std::to_string(max);
    refuse(expected);
  }
  return number;
}

bool Value::boolean() const {
  if (!value_.IsBoolean()) refuse("true or false");
  return value_.As<Napi::Boolean>().Value();
}

std::string Value::text() const {
  if (!value_.IsString()) refuse("a string");
  std::string text = value_.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos) refuse("a string without NUL characters");
  return text;
}

size_t Value::choice(std::initializer_list<const char*> choices) const {
  std::string expected;
  if (value_.IsString()) {
    const std::string text = value_.As<Napi::String>().Utf8Value();
    const auto found = std::find(choices.begin(), choices.end(), text);
    if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
  }
  for (const char* choice : choices) {
    if (!expected.empty()) expected += ", ";
    expected += choice;
  }
  refuse("one of " + expected);
}

std::vector<Value> Value::array() const {
  if (!value_.IsArray()) refuse("an array");
  const auto array = value_.As<Napi::Array>();
  std::vector<Value> elements;
  elements.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    elements.emplace_back(array.Get(i), name_ + "[" + std::to_string(i) + "]");
  }
  return elements;
}

template <typename T>
std::vector<T> Value::typed_array(napi_typedarray_type type, const char* type_name) const {
  if (!value_.IsTypedArray() || value_.As<Napi::TypedArray>().TypedArrayType() != type) {
    refuse(std::string("a ") + type_name);
  }
  const auto array = value_.As<Napi::TypedArrayOf<T>>();
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

std::vector<int32_t> Value::int32_array() const {
  return typed_array<int32_t>(napi_int32_array, "Int32Array");
}

std::vector<float> Value::float32_array() const {
  return typed_array<float>(napi_float32_array, "Float32Array");
}

std::vector<double> Value::float64_array() const {
  std::vector<double> numbers = typed_array<double>(napi_float64_array, "Float64Array");
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!std::isfinite(numbers[i])) {
      Value(Napi::Number::New(value_.Env(), numbers[i]), name_ + "[" + std::to_string(i) + "]")
          .refuse("a finite number");
    }
  }
  return numbers;
}

std::vector<uint8_t> Value::uint8_array() const {
  return typed_array<uint8_t>(napi_uint8_array, "Uint8Array");
}

Napi::Error make_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

Napi::Error make_error(Napi::Env env, std::exception_ptr exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Napi::Error& error) {
    return error;
  } catch (const Error& error) {
    return make_error(env, error_code_name(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return make_error(env, error_code_name(ErrorCode::kOutOfMemory),
                      "the system has no memory left for this");
  } catch (const std::exception& error) {
    return make_error(env, error_code_name(ErrorCode::kInternal), error.what());
  }
}

}  // namespace valora::addon
