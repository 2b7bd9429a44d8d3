// NativeKernelBench: reads the spec, then hands each call to native/bench.
#include "addon/bench_object.h"

#include <memory>

#include "addon/convert.h"
#include "addon/methods.h"
#include "bench/kernel_bench.h"
#include "bench/peak.h"

namespace valora::addon {

namespace {

constexpr int64_t kLargestSize = int64_t{1} << 24;  // products of two sizes stay within 64 bits
constexpr int64_t kMostThreads = 1024;

int64_t read_size(const Value& value) {
  return value.absent() ? 0 : value.integer(0, kLargestSize);
}

int read_threads(const Value& value) { return static_cast<int>(value.integer(1, kMostThreads)); }

const Ops* read_backend(const Value& value) {
  const size_t choice = value.choice({"avx512", "avx2", "neon", "generic", "reference"});
  if (choice == 4) return &reference_ops();
  const Ops* ops = cpu_ops(value.text().c_str());
  if (ops == nullptr) value.refuse("an instruction set of this machine");
  return ops;
}

bench::KernelSpec read_kernel_spec(const Value& value) {
  bench::KernelSpec spec;
  spec.op = value["op"].text();
  spec.ops = read_backend(value["backend"]);
  spec.threads = read_threads(value["threads"]);
  if (!value["dtype"].absent()) spec.dtype = read_dtype(value["dtype"]);
  spec.rows = read_size(value["rows"]);
  spec.inputs = read_size(value["inputs"]);
  spec.outputs = read_size(value["outputs"]);
  spec.heads = read_size(value["heads"]);
  spec.kv_heads = read_size(value["kvHeads"]);
  spec.head_dim = read_size(value["headDim"]);
  spec.rank = read_size(value["rank"]);
  if (!value["compute"].absent()) spec.compute = read_compute(value["compute"]);
  if (!value["spans"].absent()) {
    for (const Value& length : value["spans"].array()) {
      spec.spans.push_back(static_cast<int32_t>(length.integer(1, kLargestSize)));
    }
  }
  return spec;
}

}  // namespace

Napi::Value create_kernel_bench(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto kernel =
      std::make_shared<bench::KernelBench>(read_kernel_spec(argument(info, 0, "spec")));
  Napi::Object object = Napi::Object::New(env);
  object.Set("flops", kernel->flops());
  object.Set("bytes", kernel->bytes());
  add_method(object, "run", [kernel](const Napi::CallbackInfo& info) -> Napi::Value {
    const int64_t times = argument(info, 0, "times").integer(1, kMaxSafeInteger);
    return Napi::Number::New(info.Env(), kernel->run(times));
  });
  add_method(object, "verify", [kernel](const Napi::CallbackInfo& info) -> Napi::Value {
    const bench::Verification verification = kernel->verify();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("error", verification.error);
    result.Set("tolerance", verification.tolerance);
    return result;
  });
  return object;
}

Napi::Value measure_peak(const Napi::CallbackInfo& info) {
  const Value isa = argument(info, 0, "isa");
  isa.choice({"avx512", "avx2", "neon", "generic"});
  const int threads = read_threads(argument(info, 1, "threads"));
  return Napi::Number::New(info.Env(), bench::measure_peak(isa.text().c_str(), threads));
}

Napi::Value measure_bandwidth(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           bench::measure_bandwidth(read_threads(argument(info, 0, "threads"))));
}

}  // namespace valora::addon
