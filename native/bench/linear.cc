// The products with a frozen matrix: linear_forward, linear_backward, and the gradient of their
// low-rank terms.
#include "bench/kernel.h"

namespace valora::bench {

namespace {

// The low-rank term that the products are measured with, the same for all rows.
class LoraTerm {
 public:
  LoraTerm(Random& random, int64_t rank, int64_t inputs, int64_t outputs)
      : a_(random, rank, inputs), b_(random, outputs, rank), group_{0, 0, a_, b_, 2.0f} {}

  // Over rows [0, rows) of a batch; no term where the rank is 0.
  LoraView over(int64_t rows) {
    if (a_.view().rows == 0) return {};
    group_.count = rows;
    return {&group_, 1, a_.view().rows};
  }
  double bytes() const { return a_.bytes() + b_.bytes(); }

 private:
  Matrix a_;
  Matrix b_;
  LoraRows group_;
};

// y[N, O] = x[N, I] W^T, with the low-rank term where there is one.
class LinearForward : public Kernel {
 public:
  LinearForward(const KernelSpec& spec, Random& random)
      : w_(random, spec.dtype, spec.outputs, spec.inputs, *spec.ops),
        x_(random, spec.rows, spec.inputs),
        lora_(random, spec.rank, spec.inputs, spec.outputs),
        y_(spec.rows, spec.outputs),
        t_(spec.rows, spec.rank) {
    flops =
        2.0 * spec.rows * (spec.inputs * spec.outputs + spec.rank * (spec.inputs + spec.outputs));
    bytes = w_.bytes() + x_.bytes() + y_.bytes() + lora_.bytes() + t_.bytes();
    depth = static_cast<double>(spec.inputs + spec.rank);
  }

  void run(const Context& context) override {
    ops::linear_forward(y_, t_, x_, w_, View{}, lora_.over(x_.view().rows), context);
  }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    run(context);
    const double work = static_cast<double>(w_.weight().rows() * w_.weight().cols());
    for (const auto& [begin, count] : rows_to_verify(x_.view().rows, work)) {
      const Matrix y(count, y_.view().cols), t(count, t_.view().cols);
      ops::linear_forward(y, t, x_.view().slice_rows(begin, count), w_, View{}, lora_.over(count),
                          reference);
      results.add("y", y_.view().slice_rows(begin, count), y);
      if (!t.view().empty()) results.add("t", t_.view().slice_rows(begin, count), t);
    }
  }

  ScratchSize scratch(Compute compute) const override {
    return linear_scratch(compute, x_.view().rows, x_.view().cols);
  }

 private:
  StoredWeight w_;
  Matrix x_;
  LoraTerm lora_;
  Matrix y_, t_;
};

// dx[N, I] = dy[N, O] W, with the low-rank term where there is one.
class LinearBackward : public Kernel {
 public:
  LinearBackward(const KernelSpec& spec, Random& random)
      : w_(random, spec.dtype, spec.outputs, spec.inputs, *spec.ops),
        dy_(random, spec.rows, spec.outputs),
        lora_(random, spec.rank, spec.inputs, spec.outputs),
        dx_(spec.rows, spec.inputs),
        dt_(spec.rows, spec.rank) {
    flops =
        2.0 * spec.rows * (spec.inputs * spec.outputs + spec.rank * (spec.inputs + spec.outputs));
    bytes = w_.bytes() + dx_.bytes() + dy_.bytes() + lora_.bytes() + dt_.bytes();
    depth = static_cast<double>(spec.outputs + spec.rank);
  }

  void run(const Context& context) override {
    ops::linear_backward(dx_, dt_, dy_, w_, lora_.over(dy_.view().rows), Write::kOverwrite,
                         context);
  }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    run(context);
    const double work = static_cast<double>(w_.weight().rows() * w_.weight().cols());
    for (const auto& [begin, count] : rows_to_verify(dy_.view().rows, work)) {
      const Matrix dx(count, dx_.view().cols), dt(count, dt_.view().cols);
      ops::linear_backward(dx, dt, dy_.view().slice_rows(begin, count), w_, lora_.over(count),
                           Write::kOverwrite, reference);
      results.add("dx", dx_.view().slice_rows(begin, count), dx);
      if (!dt.view().empty()) results.add("dt", dt_.view().slice_rows(begin, count), dt);
    }
  }

  ScratchSize scratch(Compute compute) const override {
    return linear_scratch(compute, dy_.view().rows, dy_.view().cols);
  }

 private:
  StoredWeight w_;
  Matrix dy_;
  LoraTerm lora_;
  Matrix dx_, dt_;
};

// da[R, I] += dt^T x and db[O, R] += scale dy^T t, for one tree of all rows.
class LoraGradient : public Kernel {
 public:
  LoraGradient(const KernelSpec& spec, Random& random)
      : tree_{0, spec.rows},
        dy_(random, spec.rows, spec.outputs),
        x_(random, spec.rows, spec.inputs),
        t_(random, spec.rows, spec.rank),
        dt_(random, spec.rows, spec.rank),
        da_(spec.rank, spec.inputs),
        db_(spec.outputs, spec.rank) {
    flops = 2.0 * spec.rows * spec.rank * (spec.inputs + spec.outputs);
    bytes = dy_.bytes() + x_.bytes() + t_.bytes() + dt_.bytes() + 2 * (da_.bytes() + db_.bytes());
    depth = static_cast<double>(spec.rows);
  }

  void run(const Context& context) override { add_to(da_, db_, context); }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    da_.clear();
    db_.clear();
    run(context);
    const Matrix da(da_.view().rows, da_.view().cols), db(db_.view().rows, db_.view().cols);
    add_to(da, db, reference);
    results.add("da", da_, da);
    results.add("db", db_, db);
  }

  ScratchSize scratch(Compute) const override { return lora_gradient_scratch(); }

 private:
  void add_to(View da, View db, const Context& context) {
    ops::lora_gradient(da, db, dy_, x_, t_, dt_, 2.0f, &tree_, 1, context);
  }

  RowRange tree_;
  Matrix dy_, x_, t_, dt_;
  Matrix da_, db_;
};

}  // namespace

std::unique_ptr<Kernel> make_linear_kernel(const KernelSpec& spec, Random& random) {
  if (spec.op == "linear_forward") return std::make_unique<LinearForward>(spec, random);
  if (spec.op == "linear_backward") return std::make_unique<LinearBackward>(spec, random);
  if (spec.op == "lora_gradient") return std::make_unique<LoraGradient>(spec, random);
  return nullptr;
}

}  // namespace valora::bench
