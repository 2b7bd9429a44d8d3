// KernelBench: checks of the sizes, the comparison with the reference, and the clock.
#include "bench/kernel_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/kernel.h"

namespace valora::bench {

namespace {

// Each of a sum's n roundings is off by up to 2^-24 of the sum so far, together by about sqrt(n) /
// 2^24 of the sum's size, and the worst of very many sums by some times that. Sixteen leaves room
// for it; a term that is wrong or missing is off by far more.
constexpr double kRoundoff = 1.0 / (1 << 24);
constexpr double kWorstOfMany = 16;

// Multiply-adds that the reference does in a fraction of a second.
constexpr double kReferenceWork = 2e8;

struct Size {
  const char* name;
  int64_t KernelSpec::*value;
};

// What an operation has to be told; nothing where there is no such operation.
std::vector<Size> needed_sizes(const std::string& op) {
  const Size rows = {"rows", &KernelSpec::rows};
  const Size inputs = {"inputs", &KernelSpec::inputs};
  const Size outputs = {"outputs", &KernelSpec::outputs};
  const Size rank = {"rank", &KernelSpec::rank};
  const Size heads = {"heads", &KernelSpec::heads};
  const Size kv_heads = {"kvHeads", &KernelSpec::kv_heads};
  const Size head_dim = {"headDim", &KernelSpec::head_dim};
  if (op == "linear_forward" || op == "linear_backward" || op == "head_forward" || op == "sample") {
    return {rows, inputs, outputs};
  }
  if (op == "lora_gradient") return {rows, inputs, outputs, rank};
  if (op == "attention_forward" || op == "attention_backward") return {heads, kv_heads, head_dim};
  if (op == "rope") return {rows, heads, kv_heads, head_dim};
  if (op == "rmsnorm_forward" || op == "swiglu_forward" || op == "adamw") return {rows, inputs};
  return {};
}

[[noreturn]] void refuse(const KernelSpec& spec, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, spec.op + ": " + what);
}

void check(const KernelSpec& spec) {
  const std::vector<Size> needed = needed_sizes(spec.op);
  if (needed.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "there is no benchmark of an operation " + spec.op);
  }
  for (const Size& size : needed) {
    if (spec.*size.value < 1) refuse(spec, std::string(size.name) + " has to be given");
  }
  if (spec.op.starts_with("attention") && spec.spans.empty()) refuse(spec, "spans has to be given");
  if (spec.kv_heads > 0 && spec.heads % spec.kv_heads != 0) {
    refuse(spec, "heads has to be a multiple of kvHeads");
  }
  if (spec.op == "rope" && spec.head_dim % 2 != 0) refuse(spec, "headDim has to be even");
  // The matrix, the low-rank pair, and for each row no more than any operation keeps and compares:
  // the head also the logits of a chunk, a choice of token those of the vocabulary.
  double rows = static_cast<double>(spec.rows);
  for (const int32_t length : spec.spans) rows += length;
  const double inputs = static_cast<double>(spec.inputs);
  const double outputs = static_cast<double>(spec.outputs);
  const double logits = static_cast<double>(round_up(spec.outputs, kHeadChunk));
  const double width = static_cast<double>(spec.heads) * static_cast<double>(spec.head_dim);
  const double floats = inputs * outputs + static_cast<double>(spec.rank) * (inputs + outputs) +
                        rows * (4 * inputs + 2 * outputs + logits + 12 * width);
  if (4 * floats > kLargestBytes) refuse(spec, "these sizes take more than 4 GiB");
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

void Comparison::add(const char* name, View got, View want, double allowed) {
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
    const double scale =
        std::max(std::sqrt(squares[n] / static_cast<double>(want.cols)), std::sqrt(all / size));
    note(name, off[n] == 0 ? 0 : worse(0, off[n] / scale - allowed));
  }
}

void Comparison::add(const char* name, const double* got, const double* want, int64_t count) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += want[i] * want[i];
  const double scale = std::sqrt(squares / static_cast<double>(count));
  for (int64_t i = 0; i < count; ++i)
    note(name, got[i] == want[i] ? 0 : std::abs(got[i] - want[i]) / scale);
}

void Comparison::add(const char* name, const float* got, const float* want, int64_t count) {
  add(name, make_view(const_cast<float*>(got), 1, count),
      make_view(const_cast<float*>(want), 1, count));
}

void Comparison::note(const char* name, double error) {
  const double before = error_;
  error_ = worse(error_, error);
  if (worst_.empty() || !(error_ == before || std::isnan(before))) worst_ = name;
}

std::vector<RowRange> rows_to_verify(int64_t rows, double work) {
  const int64_t some = std::max<int64_t>(1, static_cast<int64_t>(kReferenceWork / work / 2));
  if (2 * some >= rows) return {{0, rows}};
  return {{0, some}, {rows - some, some}};
}

KernelBench::KernelBench(const KernelSpec& spec)
    : op_(spec.op), pool_(std::make_unique<ThreadPool>(spec.threads)), kernel_(make_kernel(spec)) {
  const int64_t scratch = scratch_bytes(kernel_->scratch(spec.compute), spec.threads);
  if (static_cast<double>(scratch) > kLargestBytes) {
    refuse(spec, "its temporary memory takes more than 4 GiB");
  }
  arena_ = std::make_unique<Arena>(static_cast<size_t>(scratch));
  context_.ops = spec.ops;
  context_.arena = arena_.get();
  context_.pool = pool_.get();
  context_.compute = spec.compute;
}

KernelBench::~KernelBench() = default;

Verification KernelBench::verify() {
  Context reference = context_;
  reference.ops = &reference_ops();
  Comparison results;
  kernel_->compare(context_, reference, results);
  const double tolerance = kWorstOfMany * std::sqrt(kernel_->depth) * kRoundoff;
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
