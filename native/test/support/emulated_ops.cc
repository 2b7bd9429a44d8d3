// The CUDA backend's operations over the emulated device as a table of core/ops.h, for the op tests
// of all backends: every call runs in an order of its own. Host memory stands for the device's.
// Operations without kernels are null here.
#include <vector>

#include "core/dequantize.h"
#include "cuda/cuda.h"
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
};

std::unique_ptr<Weight> upload_weight(const WeightSource& source) {
  const std::unique_ptr<Weight> mapped = upload_mapped_weight(source);
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

// Paths and their plan where device memory would have them.
cuda::DevicePaths device_paths(const PathsView& paths, const cuda::AttentionPlan& plan) {
  return {paths.segments,
          paths.positions,
          plan.few,
          plan.query_tiles.data(),
          plan.query_longest.data(),
          static_cast<int64_t>(plan.query_tiles.size()),
          plan.key_tiles.data(),
          plan.visits.data(),
          static_cast<int64_t>(plan.key_tiles.size())};
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
  ops.rope = on_host<cuda::rope, View, View, const int32_t*, int64_t, int>;
  ops.attention_forward = [](View o, View lse, View q, View k, View v, const PathsView& paths,
                             const AttentionShape& shape, const Scratch&,
                             const Context& context) {
    NextOrder order;
    const cuda::AttentionPlan plan = cuda::plan_forward(paths, shape, context.compute);
    std::vector<uint8_t> scratch(static_cast<size_t>(
        cuda::attention_forward_bytes(q.rows, k.rows, shape, context.compute)));
    cuda::attention_forward(o, lse, q, k, v, device_paths(paths, plan), shape, context.compute,
                            scratch.data(), nullptr);
  };
  ops.attention_backward = [](View dq, View dk, View dv, View d_o, View o, View lse, View q,
                              View k, View v, const PathsView& paths, const AttentionShape& shape,
                              const Scratch&, const Context& context) {
    NextOrder order;
    const cuda::AttentionPlan plan = cuda::plan_backward(paths, k.rows, shape, context.compute);
    std::vector<uint8_t> scratch(static_cast<size_t>(
        cuda::attention_backward_bytes(q.rows, k.rows, shape, context.compute)));
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

const Ops& emulated_cuda_ops() {
  static const Ops ops = make_ops();
  return ops;
}

}  // namespace valora::test
