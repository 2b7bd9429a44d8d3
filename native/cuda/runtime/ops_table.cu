// The CUDA backend as a table of core/ops.h: carries what operations are given in host memory to
// the device, starts their kernels, and fetches the three answers that are waited for.
#include <cstring>
#include <vector>

#include "core/scratch.h"
#include "cuda/backend.h"
#include "cuda/cuda.h"
#include "cuda/runtime/runtime.h"

namespace valora {

namespace cuda {

namespace device_ops {

namespace {

Runtime& runtime(const Context& context) { return static_cast<Runtime&>(*context.device); }
Stream stream(const Context& context) { return runtime(context).stream(); }
const DeviceWeight& on_device(const Weight& weight) {
  return static_cast<const CudaWeight&>(weight).device;
}

template <typename T>
int64_t room(int64_t count) {
  return Uploads::padded(count * static_cast<int64_t>(sizeof(T)));
}

// One array, on the device.
template <typename T>
const T* upload(const T* values, int64_t count, const Context& context) {
  Uploads& uploads = runtime(context).uploads();
  uploads.reserve(room<T>(count));
  return uploads.place(values, count);
}

DeviceLora upload(const LoraView& lora, const Context& context) {
  std::vector<LoraGroup> groups;
  for (int64_t g = 0; g < lora.count; ++g) groups.push_back(lora_group(lora.groups[g]));
  return {upload(groups.data(), lora.count, context), lora.count, lora.max_rank};
}

DevicePaths upload(const PathsView& paths, int64_t query_rows, const AttentionPlan& plan,
                   const Context& context) {
  Uploads& uploads = runtime(context).uploads();
  const auto size = [](const auto& list) { return static_cast<int64_t>(list.size()); };
  uploads.reserve(room<PathSegment>(paths.segment_count) + room<int32_t>(query_rows) +
                  room<QueryTile>(size(plan.query_tiles)) +
                  room<int32_t>(size(plan.query_longest)) + room<KeyTile>(size(plan.key_tiles)) +
                  room<KeyVisit>(size(plan.visits)));
  return {.segments = uploads.place(paths.segments, paths.segment_count),
          .positions = uploads.place(paths.positions, query_rows),
          .few = plan.few,
          .query_tiles = uploads.place(plan.query_tiles.data(), size(plan.query_tiles)),
          .query_longest = uploads.place(plan.query_longest.data(), size(plan.query_longest)),
          .query_tile_count = size(plan.query_tiles),
          .key_tiles = uploads.place(plan.key_tiles.data(), size(plan.key_tiles)),
          .visits = uploads.place(plan.visits.data(), size(plan.visits)),
          .key_tile_count = size(plan.key_tiles)};
}

}  // namespace

VALORA_OPERATIONS(VALORA_DECLARE)

std::unique_ptr<Weight> upload_weight(const WeightSource& source, const Context& context) {
  return runtime(context).weights().load(source, context.compute);
}

void embed_forward(View y, const Weight& table, const int32_t* ids, const Context& context) {
  cuda::embed_forward(y, on_device(table), upload(ids, y.rows, context), stream(context));
}

void rmsnorm_forward(View y, View x, View weight, float eps, const Context& context) {
  cuda::rmsnorm_forward(y, x, weight, eps, stream(context));
}

void rmsnorm_backward(View dx, View dy, View x, View weight, float eps, Write write,
                      const Context& context) {
  cuda::rmsnorm_backward(dx, dy, x, weight, eps, write, stream(context));
}

void linear_forward(View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                    const Scratch& scratch, const Context& context) {
  cuda::linear_forward(y, t, scratch.shared, x, on_device(w), bias, upload(lora, context),
                       stream(context));
}

void linear_backward(View dx, View dt, View dy, const Weight& w, const LoraView& lora, Write write,
                     const Scratch& scratch, const Context& context) {
  cuda::linear_backward(dx, dt, scratch.shared, dy, on_device(w), upload(lora, context), write,
                        stream(context));
}

void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, const Scratch&,
                   const Context& context) {
  cuda::lora_gradient(da, db, dy, x, t, dt, scale, upload(trees, tree_count, context), tree_count,
                      stream(context));
}

void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          const Context& context) {
  cuda::rope(x, table, upload(positions, x.rows, context), head_dim, direction, stream(context));
}

void attention_forward(View o, View lse, View q, View k, View v, const PathsView& paths,
                       const AttentionShape& shape, const Scratch& scratch,
                       const Context& context) {
  const AttentionPlan& plan =
      runtime(context).uploads().attention_plan(paths, q.rows, 0, shape, context.compute);
  cuda::attention_forward(o, lse, q, k, v, upload(paths, q.rows, plan, context), shape,
                          context.compute, scratch.shared, stream(context));
}

void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const PathsView& paths, const AttentionShape& shape,
                        const Scratch& scratch, const Context& context) {
  const AttentionPlan& plan =
      runtime(context).uploads().attention_plan(paths, q.rows, k.rows, shape, context.compute);
  cuda::attention_backward(dq, dk, dv, d_o, o, lse, q, k, v, upload(paths, q.rows, plan, context),
                           shape, context.compute, scratch.shared, stream(context));
}

void swiglu_forward(View h, View gate, View up, const Context& context) {
  cuda::swiglu_forward(h, gate, up, stream(context));
}

void swiglu_backward(View dgate, View dup, View dh, View gate, View up, const Context& context) {
  cuda::swiglu_backward(dgate, dup, dh, gate, up, stream(context));
}

void head_forward(const HeadResult& result, View expected, View x, const Weight& w,
                  const HeadTarget* targets, int64_t target_count, const Scratch& scratch,
                  const Context& context) {
  Uploads& uploads = runtime(context).uploads();
  // The three answers lie side by side: one copy brings them back.
  const int64_t normalisers = x.rows * 8, logits = target_count * 4,
                bytes = normalisers + x.rows * 4 + logits;
  uploads.reserve(room<HeadTarget>(target_count) + Uploads::padded(bytes));
  const HeadTarget* list = uploads.place(targets, target_count);
  auto* answers = static_cast<uint8_t*>(uploads.take(bytes));
  cuda::head_forward(
      {reinterpret_cast<double*>(answers), reinterpret_cast<int32_t*>(answers + normalisers),
       reinterpret_cast<float*>(answers + normalisers + x.rows * 4)},
      expected, x, on_device(w), list, target_count, scratch.shared, stream(context));
  std::vector<uint8_t> fetched(static_cast<size_t>(bytes));
  context.device->read(fetched.data(), answers, bytes);
  std::memcpy(result.normaliser, fetched.data(), static_cast<size_t>(normalisers));
  std::memcpy(result.argmax, fetched.data() + normalisers, static_cast<size_t>(x.rows * 4));
  if (logits == 0) return;
  std::memcpy(result.target_logit, fetched.data() + normalisers + x.rows * 4,
              static_cast<size_t>(logits));
}

void head_backward(View dx, View expected, const Weight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, const Context& context) {
  Uploads& uploads = runtime(context).uploads();
  uploads.reserve(room<HeadTarget>(target_count) + room<float>(target_count));
  const HeadTarget* list = uploads.place(targets, target_count);
  const float* factors = uploads.place(coefficients, target_count);
  cuda::head_backward(dx, expected, on_device(w), list, factors, target_count, stream(context));
}

void sample(int32_t* tokens, double* logprobs, View x, const Weight& w,
            const SampleParameters& parameters, const float* uniform, const Scratch& scratch,
            const Context& context) {
  Uploads& uploads = runtime(context).uploads();
  const int64_t bytes = x.rows * 12;
  uploads.reserve(room<float>(x.rows) + Uploads::padded(bytes));
  const float* draws = uploads.place(uniform, x.rows);
  auto* answers = static_cast<uint8_t*>(uploads.take(bytes));
  cuda::sample(reinterpret_cast<int32_t*>(answers + x.rows * 8), reinterpret_cast<double*>(answers),
               x, on_device(w), parameters, draws, scratch.shared, stream(context));
  std::vector<uint8_t> fetched(static_cast<size_t>(bytes));
  context.device->read(fetched.data(), answers, bytes);
  std::memcpy(logprobs, fetched.data(), static_cast<size_t>(x.rows * 8));
  std::memcpy(tokens, fetched.data() + x.rows * 8, static_cast<size_t>(x.rows * 4));
}

void add(View y, View x, const Context& context) { cuda::add(y, x, stream(context)); }

void gather_rows(View y, View x, const int32_t* rows, const Context& context) {
  cuda::gather_rows(y, x, upload(rows, y.rows, context), stream(context));
}

void scatter_rows(View y, View x, const int32_t* rows, Write write, const Context& context) {
  cuda::scatter_rows(y, x, upload(rows, x.rows, context), write, stream(context));
}

void adamw(View parameters, View m, View v, View gradient, const AdamwParameters& options,
           const Context& context) {
  cuda::adamw(parameters, m, v, gradient, options, stream(context));
}

double sum_of_squares(View x, const Context& context) {
  Uploads& uploads = runtime(context).uploads();
  uploads.reserve(2 * Uploads::padded(kSumPartials * 8));
  auto* partial = static_cast<double*>(uploads.take(kSumPartials * 8));
  auto* sum = static_cast<double*>(uploads.take(8));
  cuda::sum_of_squares(sum, partial, x, stream(context));
  double result = 0;
  context.device->read(&result, sum, sizeof result);
  return result;
}

}  // namespace device_ops

namespace {

// A weight of this size, for formulas that ask for one.
DeviceWeight matrix(Compute compute, int64_t rows, int64_t cols) {
  return {nullptr, compute == Compute::kBf16 ? Dtype::kBF16 : Dtype::kF32, rows, padded_cols(cols)};
}

const ScratchFormulas kScratch = {
    .linear =
        [](Compute compute, int64_t rows, int64_t cols) {
          return ScratchSize{0, padded_bytes(matrix(compute, 0, 0).dtype, rows, cols)};
        },
    .lora_gradient = [] { return ScratchSize{}; },
    .attention_forward =
        [](Compute compute, int64_t queries, int64_t keys, const AttentionShape& shape) {
          return ScratchSize{0, attention_forward_bytes(queries, keys, shape, compute)};
        },
    .attention_backward =
        [](Compute compute, int64_t queries, int64_t keys, const AttentionShape& shape) {
          return ScratchSize{0, attention_backward_bytes(queries, keys, shape, compute)};
        },
    .head_forward =
        [](Compute compute, int64_t rows, int64_t vocabulary, int64_t channels) {
          return ScratchSize{0, head_forward_bytes(rows, matrix(compute, vocabulary, channels))};
        },
    .sample =
        [](Compute compute, int64_t rows, int64_t vocabulary, int64_t channels) {
          return ScratchSize{0, sample_bytes(rows, matrix(compute, vocabulary, channels))};
        }};

}  // namespace

}  // namespace cuda

const Ops& cuda_ops() {
  using namespace cuda::device_ops;
  static const Ops kOps = {.name = "cuda",
                           .space = Space::kDevice,
                           .scratch = &cuda::kScratch,
                           .upload_weight = upload_weight,
                           VALORA_OPERATIONS(VALORA_FIELD)};
  return kOps;
}

}  // namespace valora
