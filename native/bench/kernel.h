// Kernel: what each operation's file gives KernelBench - its inputs, one run of it, the work that a
// run takes, and the comparison with the reference. Not for others to include.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/inputs.h"
#include "bench/kernel_bench.h"
#include "core/scratch.h"

namespace valora::bench {

// Gathers how far results are from what the reference says.
class Comparison {
 public:
  // `got` and `want` have one shape. `allowed`, of the size, is explained by other things than
  // float32's rounding and is taken off each error.
  void add(const char* name, View got, View want, double allowed = 0);
  void add(const char* name, const double* got, const double* want, int64_t count);
  void add(const char* name, const float* got, const float* want, int64_t count);

  double error() const { return error_; }
  const std::string& worst() const { return worst_; }  // the output with the largest error

 private:
  void note(const char* name, double error);

  double error_ = 0;
  std::string worst_;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const Context& context) = 0;
  // Runs the operation from its first state in `context`, the same or a part of it in `reference`,
  // and compares.
  virtual void compare(const Context& context, const Context& reference, Comparison& results) = 0;
  // What ops.cc will take for a run.
  virtual ScratchSize scratch(Compute) const { return {}; }

  double flops = 0;
  double bytes = 0;
  // Length of the sums that make a result: rounding grows with its root.
  double depth = 1;
};

// Rows that the reference computes: all, or some at the start and at the end where all `rows` of
// them, `work` multiply-adds each, would take long.
std::vector<RowRange> rows_to_verify(int64_t rows, double work);

// One a file: null where the operation is another's. The spec's sizes have been looked at.
std::unique_ptr<Kernel> make_linear_kernel(const KernelSpec& spec, Random& random);
std::unique_ptr<Kernel> make_head_kernel(const KernelSpec& spec, Random& random);
std::unique_ptr<Kernel> make_attention_kernel(const KernelSpec& spec, Random& random);
std::unique_ptr<Kernel> make_elementwise_kernel(const KernelSpec& spec, Random& random);

}  // namespace valora::bench
