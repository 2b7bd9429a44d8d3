// KernelBench: one operation of ops.h at one shape, on one backend and number of threads, ready to
// be timed. It is timed only once its results have been found to agree with the reference
// backend's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/ops.h"

namespace valora::bench {

// What to run. Sizes that an operation has no use for are 0.
struct KernelSpec {
  std::string op;  // "linear_forward" and so on, as ops.h names them
  const Ops* ops = nullptr;
  int threads = 1;
  Dtype dtype = Dtype::kF32;  // of the stored matrix
  int64_t rows = 0;
  int64_t inputs = 0;
  int64_t outputs = 0;  // the vocabulary, for the head
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t rank = 0;  // of a LoRA term over all rows; 0 = none
  Compute compute = Compute::kFloat32;
  // Attention: the lengths of one tree's spans, the root first, the others hanging from it.
  std::vector<int32_t> spans;
};

// Largest error of any result, relative to the root mean square of its row or, where that is
// larger, of the whole output, less what bfloat16 explains; and the largest that is taken for
// float32's rounding.
struct Verification {
  double error;
  double tolerance;
};

class Kernel;

class KernelBench {
 public:
  // Makes the inputs. Throws Error{kInvalidArgument} on sizes that the operation cannot have, or
  // that take more than kLargestBytes.
  explicit KernelBench(const KernelSpec& spec);
  ~KernelBench();
  KernelBench(const KernelBench&) = delete;
  KernelBench& operator=(const KernelBench&) = delete;

  // Compares with the reference backend, on some of the rows or heads where all would take long.
  // Throws Error{kInternal} where the error exceeds the tolerance.
  Verification verify();
  // Seconds that `times` runs take; verifies first where that has not been done.
  double run(int64_t times);

  // Of one run: floating-point operations by the operation's definition (a multiply-add is two, exp
  // one), and the bytes that it has to read and write at least, weights as they are stored.
  double flops() const;
  double bytes() const;

 private:
  std::string op_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Kernel> kernel_;
  std::unique_ptr<Arena> arena_;
  Context context_;
  bool verified_ = false;
};

inline constexpr double kLargestBytes = 4.0 * (1 << 30);

}  // namespace valora::bench
