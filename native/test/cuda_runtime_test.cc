// The CUDA runtime's own work over the emulated one: memory, the ways there, and every failure that
// a device can answer with, which must leave the process alive and say what happened.
#include <numeric>

#include "cuda/backend.h"
#include "cuda/runtime/runtime.h"
#include "support/tiny_model.h"
#include "support/weights.h"

namespace valora::test {
namespace {

using emulation::Fault;

// The devices there are, for as long as one is alive.
class Devices {
 public:
  explicit Devices(std::vector<emulation::DeviceSpec> devices) {
    emulation::set_devices(std::move(devices));
  }
  ~Devices() { emulation::set_devices({emulation::DeviceSpec{}}); }
};

struct Failure {
  ErrorCode code;
  std::string text;
};

// The Error that the body ends in.
template <typename Body>
Failure failure_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "nothing failed";
  return {};
}

void expect_failure(const Failure& failure, ErrorCode code, const std::string& text) {
  EXPECT_EQ(error_code_name(failure.code), std::string(error_code_name(code))) << failure.text;
  EXPECT_NE(failure.text.find(text), std::string::npos) << failure.text;
}

const TinyShape kShape = tiny_shapes().front();

Model open(const TinyModel& tiny) {
  ModelOptions options = tiny.options(cuda_ops());
  options.device = open_cuda_device(0);
  return Model(tiny.config, tiny.tensors, options);
}

ForestInput small_forest() {
  ForestBuilder builder;
  builder.target_all(builder.span(builder.span(-1, {1, 2, 3}), {4, 5}));
  return builder.input;
}

TEST(CudaRuntimeTest, DeviceMemoryIsOutOfTheHostsReach) {
  cuda::Runtime runtime(0);
  auto* memory = static_cast<volatile float*>(runtime.allocate(64));
  // By SIGSEGV, which AddressSanitizer turns into an exit of its own.
  EXPECT_DEATH(std::printf("%f", static_cast<double>(*memory)), "");
  EXPECT_DEATH(*memory = 1, "");
  runtime.release(const_cast<float*>(memory));
}

TEST(CudaRuntimeTest, KernelsOnAStreamAreOutOfReachOfTheHostsMemory) {
  cuda::Runtime runtime(0);
  Numbers there(&runtime, 8);
  Matrix here(1, 8);
  here.fill(1);
  try {
    cuda::add(there.view(), here.view(), runtime.stream());
    FAIL() << "a kernel read host memory";
  } catch (const emulation::EmulationError& error) {
    EXPECT_NE(std::string(error.what()).find("in no allocation"), std::string::npos)
        << error.what();
  }
}

// Three times what the ring holds, from one place that changes between calls.
TEST(CudaRuntimeTest, WhatIsWrittenInPiecesArrivesWhole) {
  cuda::Runtime runtime(0);
  const int64_t pieces = 13, size = 1 << 18;
  std::vector<float> piece(size), back(size);
  Numbers there(&runtime, pieces * size);
  for (int64_t p = 0; p < pieces; ++p) {
    std::iota(piece.begin(), piece.end(), static_cast<float>(p));
    runtime.write(there.view().data + p * size, piece.data(), size * 4);
  }
  for (int64_t p = 0; p < pieces; ++p) {
    std::iota(piece.begin(), piece.end(), static_cast<float>(p));
    EXPECT_EQ(there.read(p * size, size), piece) << p;
  }
}

TEST(CudaRuntimeTest, NumbersAreClearedCopiedAndMoved) {
  cuda::Runtime runtime(0);
  Numbers a(&runtime, std::vector<float>{1, 2, 3}), b(&runtime, 3);
  EXPECT_EQ(b.read(), std::vector<float>({0, 0, 0}));
  b.copy(a);
  a.clear();
  EXPECT_EQ(b.read(1, 2), std::vector<float>({2, 3}));
  std::swap(a, b);
  EXPECT_EQ(a.read(), std::vector<float>({1, 2, 3}));
  EXPECT_EQ(b.read(), std::vector<float>({0, 0, 0}));
}

// Slots of a few rows, so that both are filled again and again.
TEST(CudaRuntimeTest, WeightsOfEveryDtypeArriveRowByRow) {
  cuda::Runtime runtime(0);
  cuda::WeightLoader loader(runtime, 4096);
  Random random(31);
  for (const Dtype dtype : kAllDtypes) {
    for (const int64_t heads : {0, 2}) {
      const StoredWeight stored = random_weight(random, dtype, 24, 256, heads);
      for (const Compute compute : {Compute::kFloat32, Compute::kBf16}) {
        const auto weight = loader.load(stored.source, compute);
        const cuda::DeviceWeight& device = static_cast<const cuda::CudaWeight&>(*weight).device;
        ASSERT_EQ(device.cols, 256);
        ASSERT_EQ(weight->own_bytes, 24 * 256 * (compute == Compute::kBf16 ? 2 : 4));
        std::vector<uint8_t> bytes(static_cast<size_t>(weight->own_bytes));
        runtime.read(bytes.data(), device.data, weight->own_bytes);
        for (int64_t i = 0; i < 24 * 256; ++i) {
          const float want = stored.values.at(i / 256, i % 256);
          if (compute == Compute::kBf16) {
            uint16_t got;
            std::memcpy(&got, bytes.data() + 2 * i, 2);
            ASSERT_EQ(got, __float2bfloat16_rn(want).bits) << dtype_info(dtype).name << " " << i;
          } else {
            float got;
            std::memcpy(&got, bytes.data() + 4 * i, 4);
            ASSERT_EQ(got, want) << dtype_info(dtype).name << " " << i;
          }
        }
      }
    }
  }
}

TEST(CudaRuntimeTest, AnArrayThatIsThereIsNotSentAgain) {
  cuda::Runtime runtime(0);
  cuda::Uploads& uploads = runtime.uploads();
  std::vector<int32_t> list(5000);
  std::iota(list.begin(), list.end(), 0);
  uploads.reserve(1 << 20);
  const int32_t* first = uploads.place(list.data(), 5000);
  EXPECT_EQ(uploads.place(list.data(), 5000), first);
  const std::vector<int32_t> few = {1, 2, 3}, same = {1, 2, 3};
  EXPECT_EQ(uploads.place(few.data(), 3), uploads.place(same.data(), 3));
  // In the same memory, but another array.
  list[4999] = 7;
  const int32_t* second = uploads.place(list.data(), 5000);
  EXPECT_NE(second, first);
  std::vector<int32_t> back(5000);
  runtime.read(back.data(), second, 5000 * 4);
  EXPECT_EQ(back, list);
  EXPECT_EQ(failure_of([&] { uploads.take(int64_t{1} << 30); }).code, ErrorCode::kInternal);
}

TEST(CudaRuntimeTest, EverythingIsGivenBack) {
  const TinyModel tiny(kShape, 1);
  {
    Model model = open(tiny);
    const int32_t adapter = model.load_adapter(tiny.random_adapter(3));
    PairBatch batch = pair_batch(random_pairs(5, 1), adapter);
    const auto trainer = model.create_trainer(adapter, Recompute::kAlways);
    trainer->accumulate(batch, {}, nullptr);
    trainer->step({});
    EXPECT_GT(emulation::device_bytes(), size_t{1} << 20);
  }
  EXPECT_EQ(emulation::device_bytes(), 0u);
}

TEST(CudaRuntimeTest, SaysWhyThereIsNoDevice) {
  {
    const Fault fault("cudaGetDeviceCount", cudaErrorInsufficientDriver);
    expect_failure(failure_of([] { open_cuda_device(0); }), ErrorCode::kDevice,
                   "no CUDA driver was found, or one too old");
  }
  {
    const Devices none({});
    EXPECT_EQ(find_cuda_devices().problem, "the CUDA driver sees no device");
    expect_failure(failure_of([] { open_cuda_device(0); }), ErrorCode::kDevice, "sees no device");
  }
  const Devices two({{"one", 9, 0, 1 << 30}, {"two", 7, 5, 1 << 30}});
  ASSERT_EQ(find_cuda_devices().devices.size(), 2u);
  expect_failure(failure_of([] { open_cuda_device(2); }), ErrorCode::kDevice,
                 "device cuda:2: there are 2");
  expect_failure(failure_of([] { open_cuda_device(1); }), ErrorCode::kDevice,
                 "two has compute capability 7.5, the kernels need 8.0");
  EXPECT_NE(open_cuda_device(0), nullptr);
}

TEST(CudaRuntimeTest, AModelThatDoesNotFitIsRefusedAndLeavesNothing) {
  const TinyModel tiny(kShape, 2);
  {
    // Room for the slots of weights, not for the weights.
    const Devices small({{"small", 8, 0, (8 << 20) + 4096}});
    expect_failure(failure_of([&] { open(tiny); }), ErrorCode::kOutOfMemory, "out of memory");
    EXPECT_EQ(emulation::device_bytes(), 0u);
  }
  EXPECT_EQ(open(tiny).score(small_forest(), nullptr).logprobs.size(), 2u);
}

TEST(CudaRuntimeTest, ALaunchThatIsRefusedFailsItsJobAlone) {
  const TinyModel tiny(kShape, 1);
  Model model = open(tiny);
  const std::vector<double> before = model.score(small_forest(), nullptr).logprobs;
  for (const int after : {0, 3, 9}) {
    const Fault fault("launch", cudaErrorLaunchOutOfResources, after);
    expect_failure(failure_of([&] { model.score(small_forest(), nullptr); }), ErrorCode::kDevice,
                   "did not start: too many resources requested");
  }
  EXPECT_EQ(model.score(small_forest(), nullptr).logprobs, before);
}

TEST(CudaRuntimeTest, ALostDeviceFailsEveryJobAndTheProcessLives) {
  const TinyModel tiny(kShape, 1);
  {
    Model model = open(tiny);
    const Fault fault("cudaStreamSynchronize", cudaErrorIllegalAddress, 0, true);
    expect_failure(failure_of([&] { model.score(small_forest(), nullptr); }), ErrorCode::kDevice,
                   "the device is lost to this process");
    expect_failure(failure_of([&] { model.score(small_forest(), nullptr); }), ErrorCode::kDevice,
                   "an illegal memory access was encountered");
  }
  EXPECT_EQ(open(tiny).score(small_forest(), nullptr).logprobs.size(), 2u);
}

TEST(CudaRuntimeTest, EveryCallThatFailsIsSaid) {
  const TinyModel tiny(kShape, 1);
  for (const char* call :
       {"cudaSetDevice", "cudaStreamCreateWithFlags", "cudaHostAlloc", "cudaMalloc",
        "cudaEventCreateWithFlags", "cudaEventRecord", "cudaEventSynchronize",
        "cudaStreamWaitEvent", "cudaMemcpyAsync", "cudaStreamSynchronize"}) {
    const Fault fault(call, cudaErrorInvalidValue);
    expect_failure(failure_of([&] { open(tiny).score(small_forest(), nullptr); }),
                   ErrorCode::kDevice, "failed: invalid argument");
  }
}

}  // namespace
}  // namespace valora::test
