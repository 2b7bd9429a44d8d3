// The addon's exports, exactly lib/native.ts's NativeAddon. This folder is the only code that
// includes napi.h: it turns checked values into plain structs, queues work, and returns outcomes.
#include <napi.h>

#include <string>

#include "addon/bench_object.h"
#include "addon/cancel_object.h"
#include "addon/convert.h"
#include "addon/methods.h"
#include "addon/model_object.h"
#include "core/dequantize.h"
#include "core/ops.h"
#ifdef VALORA_CUDA
#include "cuda/backend.h"
#endif

namespace valora::addon {

namespace {

// Null in a build without the CUDA backend.
Napi::Value cuda_info(Napi::Env env) {
#ifdef VALORA_CUDA
  // The driver takes a while to answer, and the answer stays.
  static const CudaDevices found = find_cuda_devices();
  Napi::Array devices = Napi::Array::New(env);
  for (const CudaDevice& device : found.devices) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", device.name);
    object.Set("capability", std::to_string(device.major) + "." + std::to_string(device.minor));
    object.Set("totalBytes", static_cast<double>(device.total_bytes));
    devices.Set(devices.Length(), object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("devices", devices);
  object.Set("problem", found.problem);
  return object;
#else
  return env.Null();
#endif
}

Napi::Value info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array isas = Napi::Array::New(env);
  for (const char* isa : {"avx512", "avx2", "neon", "generic"}) {
    if (cpu_ops(isa) != nullptr) isas.Set(isas.Length(), isa);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("isas", isas);
  object.Set("bf16", cpu_has_bf16());
  object.Set("cuda", cuda_info(env));
#if defined(__clang__)
  object.Set("compiler", "clang " __clang_version__);
#else
  object.Set("compiler", "gcc " __VERSION__);
#endif
  object.Set("build", VALORA_BUILD);
  return object;
}

Napi::Value dequantize(const Napi::CallbackInfo& info) {
  const Dtype dtype = read_dtype(argument(info, 0, "dtype"));
  const std::vector<uint8_t> bytes = argument(info, 1, "bytes").uint8_array();
  const int64_t count = argument(info, 2, "count").int32(0);
  const int64_t needed = dtype_row_bytes(dtype, count);
  if (static_cast<int64_t>(bytes.size()) != needed) {
    throw Error(ErrorCode::kInvalidArgument, "bytes holds " + std::to_string(bytes.size()) +
                                                 " bytes, but " + std::to_string(count) +
                                                 " numbers of " + dtype_info(dtype).name +
                                                 " take " + std::to_string(needed));
  }
  std::vector<float> numbers(static_cast<size_t>(count));
  valora::dequantize(dtype, bytes.data(), count, numbers.data());
  return copy_to_js(info.Env(), numbers);
}

}  // namespace

static Napi::Object initialise(Napi::Env, Napi::Object exports) {
  add_method(exports, "info", info);
  add_method(exports, "openModel", open_model);
  add_method(exports, "createCancel", make_cancel_object);
  add_method(exports, "dequantize", dequantize);
  add_method(exports, "createKernelBench", create_kernel_bench);
  add_method(exports, "measurePeak", measure_peak);
  add_method(exports, "measureBandwidth", measure_bandwidth);
  return exports;
}

NODE_API_MODULE(valora, initialise)

}  // namespace valora::addon
