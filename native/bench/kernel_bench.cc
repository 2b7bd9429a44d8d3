// KernelBench: checks of the sizes, the comparison with the reference, and the clock.
#include "bench/kernel_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/kernel.h"

namespace valora::bench {

namespace {

// A sum of n products in float32, in any order, is off by about sqrt(n) / 2^24 of its terms' root
// mean square times sqrt(n), which is the size of the sum; the largest of many such errors by some
// times that. Sixteen leaves room for it, and is far below what a wrong term amounts to.
constexpr double kRoundoff = 1.0 / (1 << 24);
constexpr double kLargestOfMany = 16;

// Multiply-adds that the reference does in a fraction of a second.
constexpr double kReferenceWork = 2e8;

// The sizes that each operation has to be given, and how many bytes all of it takes, roughly.
struct Demand {
  const char* op;
  bool rows, inputs, outputs, heads, head_dim, spans;
};
constexpr Demand kDemands[] = {
    {"linear_forward", true, true, true, false, false, false},
    {"linear_backward", true, true, true, false, false, false},
    {"lora_gradient", true, true, true, false, false, false},
    {"head_forward", true, true, true, false, false, false},
    {"sample", true, true, true, false, false, false},
    {"attention_forward", false, false, false, true, true, true},
    {"attention_backward", false, false, false, true, true, true},
    {"rmsnorm_forward", true, true, false, false, false, false},
    {"swiglu_forward", true, true, false, false, false, false},
    {"rope", true, false, false, true, true, false},
    {"adamw", true, true, false, false, false, false},
};

[[noreturn]] void refuse(const KernelSpec& spec, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, spec.op + ": " + what);
}

void check(const KernelSpec& spec) {
  const auto found = std::find_if(std::begin(kDemands), std::end(kDemands),
                                  [&](const Demand& demand) { return spec.op == demand.op; });
  if (found == std::end(kDemands)) {
    throw Error(ErrorCode::kInvalidArgument, "there is no benchmark of an operation " + spec.op);
  }
  const auto demand = [&](bool needed, const char* name, int64_t value) {
    if (needed && value < 1) refuse(spec, std::string(name) + " of at least 1 has to be given");
  };
  demand(found->rows, "rows", spec.rows);
  demand(found->inputs, "inputs", spec.inputs);
  demand(found->outputs, "outputs", spec.outputs);
  demand(found->heads, "heads", spec.heads);
  demand(found->heads, "kvHeads", spec.kv_heads);
  demand(found->head_dim, "headDim", spec.head_dim);
  demand(found->spans, "spans", static_cast<int64_t>(spec.spans.size()));
  if (found->heads && spec.heads % spec.kv_heads != 0) {
    refuse(spec, "heads has to be a multiple of kvHeads");
  }
  if (spec.op == "rope" && spec.head_dim % 2 != 0) refuse(spec, "headDim has to be even");
  if (spec.op == "lora_gradient") demand(true, "rank", spec.rank);
  double rows = static_cast<double>(spec.rows);
  for (const int32_t length : spec.spans) rows += length;
  const double inputs = static_cast<double>(spec.inputs);
  const double outputs = static_cast<double>(spec.outputs);
  const double width = static_cast<double>(spec.heads) * static_cast<double>(spec.head_dim);
  const double bytes = 4 * (inputs * outputs + static_cast<double>(spec.rank) * (inputs + outputs) +
                            rows * (4 * inputs + 2 * outputs + 12 * width));
  if (bytes > kLargestBytes) refuse(spec, "these sizes take more than 4 GiB");
}

std::unique_ptr<Kernel> make_kernel(const KernelSpec& spec) {
  check(spec);
  Random random(1);
  for (const auto make :
       {make_linear_kernel, make_head_kernel, make_attention_kernel, make_elementwise_kernel}) {
    if (std::unique_ptr<Kernel> kernel = make(spec, random)) return kernel;
  }
  throw Error(ErrorCode::kInternal, "no file makes the operation " + spec.op);
}

// The larger; what is no number is worse than any, and stays.
double worse(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

int64_t scratch_bytes(const ScratchSize& size, int threads) {
  return round_up(size.per_worker, kScratchAlignment) * threads +
         round_up(size.shared, kScratchAlignment) + kScratchAlignment;
}

}  // namespace

void Comparison::add(const char* name, View got, View want) {
  double all = 0;
  std::vector<double> off(want.rows, 0.0), squares(want.rows, 0.0);
  for (int64_t n = 0; n < want.rows; ++n) {
    for (int64_t c = 0; c < want.cols; ++c) {
      const double value = want.row(n)[c];
      const double difference = std::abs(got.row(n)[c] - value);
      off[n] = worse(off[n], difference);
      squares[n] += value * value;
    }
    all += squares[n];
  }
  const double size = static_cast<double>(want.size());
  for (int64_t n = 0; n < want.rows; ++n) {
    note(name, off[n],
         std::max(std::sqrt(squares[n] / static_cast<double>(want.cols)), std::sqrt(all / size)));
  }
}

void Comparison::add(const char* name, const double* got, const double* want, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += want[i] * want[i];
  const double scale = std::sqrt(squares / static_cast<double>(count));
  for (int64_t i = 0; i < count; ++i) note(name, std::abs(got[i] - want[i]), scale);
}

void Comparison::add(const char* name, const float* got, const float* want, int64_t count) {
  add(name, make_view(const_cast<float*>(got), 1, count),
      make_view(const_cast<float*>(want), 1, count));
}

void Comparison::note(const char* name, double off, double scale) {
  const double before = error_;
  error_ = worse(error_, off == 0 ? 0 : off / scale);
  if (worst_.empty() || !(error_ == before || std::isnan(before))) worst_ = name;
}

std::vector<RowRange> rows_to_verify(int64_t rows, double work) {
  const int64_t some = std::max<int64_t>(1, static_cast<int64_t>(kReferenceWork / work / 2));
  if (2 * some >= rows) return {{0, rows}};
  return {{0, some}, {rows - some, some}};
}

LoraTerm::LoraTerm(Random& random, int64_t rank, int64_t inputs, int64_t outputs)
    : a(random, rank, inputs), b(random, outputs, rank) {
  group = {0, 0, a, b, 2.0f};
}

LoraView LoraTerm::over(int64_t rows) {
  if (a.view().rows == 0) return {};
  group.count = rows;
  return {&group, 1, a.view().rows};
}

KernelBench::KernelBench(const KernelSpec& spec)
    : op_(spec.op), pool_(std::make_unique<ThreadPool>(spec.threads)), kernel_(make_kernel(spec)) {
  arena_ =
      std::make_unique<Arena>(static_cast<size_t>(scratch_bytes(kernel_->scratch(), spec.threads)));
  context_.ops = spec.ops;
  context_.arena = arena_.get();
  context_.pool = pool_.get();
}

KernelBench::~KernelBench() = default;

Verification KernelBench::verify() {
  Context reference = context_;
  reference.ops = &reference_ops();
  Comparison results;
  kernel_->compare(context_, reference, results);
  const double tolerance = kLargestOfMany * std::sqrt(kernel_->depth) * kRoundoff;
  if (!(results.error() <= tolerance)) {
    throw Error(ErrorCode::kInternal,
                op_ + " on " + context_.ops->name + ": " + results.worst() + " is off by " +
                    std::to_string(results.error()) +
                    " of its size, more than rounding explains, so it is not timed");
  }
  verified_ = true;
  return {results.error(), tolerance};
}

double KernelBench::run(int64_t times) {
  if (!verified_) verify();
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  for (int64_t i = 0; i < times; ++i) kernel_->run(context_);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double KernelBench::flops() const { return kernel_->flops; }
double KernelBench::bytes() const { return kernel_->bytes; }

}  // namespace valora::bench
