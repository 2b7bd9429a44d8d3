// The CUDA backend, runtime and all, as a table for the op tests of every backend: what a call is
// given in host memory is taken to the device, and brought back when the call is done. Over the
// emulated device or, where the tests are built with nvcc, a real one.
#include <cstring>
#include <map>
#include <vector>

#include "core/scratch.h"
#include "cuda/backend.h"
#include "support/matrix.h"

namespace valora::test {

namespace {

constexpr int64_t kScratchBytes = int64_t{64} << 20;  // more than any test's shapes take

// Never given back: tests end after static data may be gone.
Device& device() {
  static const auto* const kDevice = new std::shared_ptr<Device>(open_cuda_device(0));
  return **kDevice;
}

Context on_device(const Context& context) {
  return {.ops = &cuda_ops(), .compute = context.compute, .device = &device()};
}

// What one call is given, on the device.
class Staged {
 public:
  explicit Staged(const Context& context) : context_(on_device(context)) {}
  ~Staged() {
    for (const auto& [host, twin] : twins_) device().release(twin.memory);
    device().release(scratch_.shared);
  }

  const Context& convert(const Context&) { return context_; }
  const Scratch& convert(const Scratch&) {
    scratch_.shared = static_cast<uint8_t*>(device().allocate(kScratchBytes));
    scratch_.shared_bytes = kScratchBytes;
    return scratch_;
  }

  // Views of one place, as of an operation in place, are views of one place there too.
  View convert(View view) {
    if (view.empty()) return view;
    const int64_t bytes = ((view.rows - 1) * view.stride + view.cols) * 4;
    const auto [at, is_new] = twins_.try_emplace(view.data);
    if (is_new) {
      at->second = {static_cast<float*>(device().allocate(bytes)), bytes};
      device().write(at->second.memory, view.data, bytes);
    } else if (at->second.bytes < bytes) {
      throw Error(ErrorCode::kInternal, "two views of one place and different sizes");
    }
    return {at->second.memory, view.rows, view.cols, view.stride, Space::kDevice};
  }

  LoraView convert(const LoraView& lora) {
    groups_.assign(lora.groups, lora.groups + lora.count);
    for (LoraRows& group : groups_) {
      group.a = convert(group.a);
      group.b = convert(group.b);
    }
    return {groups_.data(), lora.count, lora.max_rank};
  }

  // Host memory in every backend, and weights, which are on the device already.
  template <typename T>
  const T& convert(const T& value) {
    return value;
  }

  void fetch() {
    for (const auto& [host, twin] : twins_) device().read(host, twin.memory, twin.bytes);
  }

 private:
  struct Twin {
    float* memory = nullptr;
    int64_t bytes = 0;
  };
  const Context context_;
  Scratch scratch_;
  std::map<float*, Twin> twins_;
  std::vector<LoraRows> groups_;
};

const Context& last(const Context& context) { return context; }
template <typename First, typename... Others>
const Context& last(const First&, const Others&... others) {
  return last(others...);
}

template <auto kOperation, typename Signature>
struct Stage;

template <auto kOperation, typename Result, typename... Arguments>
struct Stage<kOperation, Result (*)(Arguments...)> {
  static Result call(Arguments... arguments) {
    Staged staged(last(arguments...));
    const auto run = [&] { return (cuda_ops().*kOperation)(staged.convert(arguments)...); };
    if constexpr (std::is_void_v<Result>) {
      run();
      staged.fetch();
    } else {
      return run();
    }
  }
};

std::unique_ptr<Weight> upload_weight(const WeightSource& source, const Context& context) {
  return cuda_ops().upload_weight(source, on_device(context));
}

#define VALORA_STAGE(name) .name = Stage<&Ops::name, decltype(Ops::name)>::call,

}  // namespace

const Ops& cuda_test_ops() {
  static const Ops kOps = {.name = "cuda_device",
                           .space = Space::kHost,
                           .upload_weight = upload_weight,
                           VALORA_OPERATIONS(VALORA_STAGE)};
  return kOps;
}

}  // namespace valora::test
