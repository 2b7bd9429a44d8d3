// The CUDA backend's operations over the emulated device as a table of core/ops.h, for the op tests
// of all backends: every call runs in an order of its own. Host memory stands for the device's.
// Operations without kernels are null here.
#include <vector>

#include "core/dequantize.h"
#include "cuda/cuda.h"
#include "support/device_paths.h"
#include "support/matrix.h"

namespace valora::test {

namespace {

// Runs what follows in the next order.
class NextOrder {
 public:
  NextOrder() : session_({.seed = next_++}) {}

 private:
  inline static uint64_t next_ = 0;
  emulation::Session session_;
};

// Block formats expanded to float32, so that tests of exact values see them.
struct EmulatedWeight : Weight {
  std::vector<uint8_t> bytes;
  cuda::DeviceWeight device;

  // In the numbers of products; converted when first asked for.
  cuda::DeviceWeight factors(Compute compute) const {
    const Dtype dtype = compute == Compute::kBf16 ? Dtype::kBF16 : Dtype::kF32;
    std::vector<float>& numbers = converted_[compute == Compute::kBf16];
    if (numbers.empty()) {
      const int64_t size = cuda::padded_bytes(dtype, device.rows, device.cols);
      numbers.resize(static_cast<size_t>(size / 4));
      cuda::convert_weight(numbers.data(), dtype, device, nullptr);
    }
    return {numbers.data(), dtype, device.rows, cuda::padded_cols(device.cols)};
  }

 private:
  mutable std::vector<float> converted_[2];
};

cuda::DeviceWeight factors(const Weight& weight, const Context& context) {
  return static_cast<const EmulatedWeight&>(weight).factors(context.compute);
}

// Memory of the device's that a kernel is to fill: bytes that are NaN in every dtype.
class Room {
 public:
  explicit Room(int64_t bytes) : data_(new (std::align_val_t{256}) uint8_t[bytes]) {
    std::memset(data_.get(), 0xff, static_cast<size_t>(bytes));
  }
  void* data() { return data_.get(); }

 private:
  struct Release {
    void operator()(uint8_t* p) const { operator delete[](p, std::align_val_t{256}); }
  };
  std::unique_ptr<uint8_t[], Release> data_;
};

class DeviceGroups {
 public:
  explicit DeviceGroups(const LoraView& lora) : max_rank_(lora.max_rank) {
    for (int64_t g = 0; g < lora.count; ++g) {
      groups_.push_back(cuda::lora_group(lora.groups[g]));
    }
  }
  operator cuda::DeviceLora() const {
    return {groups_.data(), static_cast<int64_t>(groups_.size()), max_rank_};
  }

 private:
  std::vector<cuda::LoraGroup> groups_;
  int64_t max_rank_;
};

std::unique_ptr<Weight> upload_weight(const WeightSource& source, const Context& context) {
  const std::unique_ptr<Weight> mapped = upload_mapped_weight(source, context);
  auto weight = std::make_unique<EmulatedWeight>();
  weight->source = source;
  weight->row_bytes = mapped->row_bytes;
  const bool plain =
      source.dtype == Dtype::kF32 || source.dtype == Dtype::kF16 || source.dtype == Dtype::kBF16;
  const int64_t row_bytes = plain ? mapped->row_bytes : source.cols * 4;
  weight->bytes.resize(static_cast<size_t>(source.rows * row_bytes));
  for (int64_t o = 0; o < source.rows; ++o) {
    uint8_t* out = weight->bytes.data() + o * row_bytes;
    if (plain) {
      std::memcpy(out, mapped->row(o), static_cast<size_t>(row_bytes));
    } else {
      dequantize(source.dtype, mapped->row(o), source.cols, reinterpret_cast<float*>(out));
    }
  }
  weight->device = {weight->bytes.data(), plain ? source.dtype : Dtype::kF32, source.rows,
                    source.cols};
  return weight;
}

// The table's function for an operation whose arguments are the same but for the last.
template <auto kOperation, typename... Arguments>
void on_host(Arguments... arguments, const Context&) {
  NextOrder order;
  kOperation(arguments..., nullptr);
}

Ops make_ops() {
  Ops ops{};
  ops.name = "cuda_emulated";
  ops.space = Space::kHost;
  ops.upload_weight = upload_weight;
  ops.embed_forward = [](View y, const Weight& table, const int32_t* ids, const Context&) {
    NextOrder order;
    cuda::embed_forward(y, static_cast<const EmulatedWeight&>(table).device, ids, nullptr);
  };
  ops.rmsnorm_forward = on_host<cuda::rmsnorm_forward, View, View, View, float>;
  ops.rmsnorm_backward = on_host<cuda::rmsnorm_backward, View, View, View, View, float, Write>;
  ops.linear_forward = [](View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                          const Scratch&, const Context& context) {
    NextOrder order;
    const cuda::DeviceWeight weight = factors(w, context);
    Room copy(cuda::padded_bytes(weight.dtype, x.rows, x.cols));
    cuda::linear_forward(y, t, copy.data(), x, weight, bias, DeviceGroups(lora), nullptr);
  };
  ops.linear_backward = [](View dx, View dt, View dy, const Weight& w, const LoraView& lora,
                           Write write, const Scratch&, const Context& context) {
    NextOrder order;
    const cuda::DeviceWeight weight = factors(w, context);
    Room copy(cuda::padded_bytes(weight.dtype, dy.rows, dy.cols));
    cuda::linear_backward(dx, dt, copy.data(), dy, weight, DeviceGroups(lora), write, nullptr);
  };
  ops.lora_gradient = [](View da, View db, View dy, View x, View t, View dt, float scale,
                         const RowRange* trees, int64_t tree_count, const Scratch&,
                         const Context&) {
    NextOrder order;
    cuda::lora_gradient(da, db, dy, x, t, dt, scale, trees, tree_count, nullptr);
  };
  // In steps of one chunk, so that the tests' vocabularies take several.
  ops.head_forward = [](const HeadResult& result, View expected, View x, const Weight& w,
                        const HeadTarget* targets, int64_t target_count, const Scratch&,
                        const Context& context) {
    NextOrder order;
    const cuda::DeviceWeight weight = factors(w, context);
    Room scratch(cuda::head_forward_bytes(x.rows, weight, kHeadChunk));
    cuda::head_forward(result, expected, x, weight, targets, target_count, scratch.data(), nullptr,
                       kHeadChunk);
  };
  ops.head_backward = [](View dx, View expected, const Weight& w, const HeadTarget* targets,
                         const float* coefficients, int64_t target_count, const Context& context) {
    NextOrder order;
    cuda::head_backward(dx, expected, factors(w, context), targets, coefficients, target_count,
                        nullptr);
  };
  ops.sample = [](int32_t* tokens, double* logprobs, View x, const Weight& w,
                  const SampleParameters& parameters, const float* uniform, const Scratch&,
                  const Context& context) {
    NextOrder order;
    const cuda::DeviceWeight weight = factors(w, context);
    Room scratch(cuda::sample_bytes(x.rows, weight));
    cuda::sample(tokens, logprobs, x, weight, parameters, uniform, scratch.data(), nullptr,
                 kHeadChunk);
  };
  ops.rope = on_host<cuda::rope, View, View, const int32_t*, int64_t, int>;
  ops.attention_forward = [](View o, View lse, View q, View k, View v, const PathsView& paths,
                             const AttentionShape& shape, const Scratch&, const Context& context) {
    NextOrder order;
    const cuda::AttentionPlan plan = cuda::plan_forward(paths, shape, context.compute);
    Room scratch(cuda::attention_forward_bytes(q.rows, k.rows, shape, context.compute));
    cuda::attention_forward(o, lse, q, k, v, device_paths(paths, plan), shape, context.compute,
                            scratch.data(), nullptr);
  };
  ops.attention_backward = [](View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                              View v, const PathsView& paths, const AttentionShape& shape,
                              const Scratch&, const Context& context) {
    NextOrder order;
    const cuda::AttentionPlan plan = cuda::plan_backward(paths, k.rows, shape, context.compute);
    Room scratch(cuda::attention_backward_bytes(q.rows, k.rows, shape, context.compute));
    cuda::attention_backward(dq, dk, dv, d_o, o, lse, q, k, v, device_paths(paths, plan), shape,
                             context.compute, scratch.data(), nullptr);
  };
  ops.swiglu_forward = on_host<cuda::swiglu_forward, View, View, View>;
  ops.swiglu_backward = on_host<cuda::swiglu_backward, View, View, View, View, View>;
  ops.add = on_host<cuda::add, View, View>;
  ops.gather_rows = on_host<cuda::gather_rows, View, View, const int32_t*>;
  ops.scatter_rows = on_host<cuda::scatter_rows, View, View, const int32_t*, Write>;
  ops.adamw = [](View parameters, View m, View v, View gradient, const AdamwParameters& options,
                 const Context&) {
    NextOrder order;
    cuda::adamw(parameters, m, v, gradient, options, nullptr);
  };
  ops.sum_of_squares = [](View x, const Context&) {
    NextOrder order;
    double result;
    std::vector<double> partial(cuda::kSumPartials);
    cuda::sum_of_squares(&result, partial.data(), x, nullptr);
    return result;
  };
  return ops;
}

}  // namespace

const Ops& cuda_test_ops() {
  static const Ops ops = make_ops();
  return ops;
}

}  // namespace valora::test
