// Operations that do little with each number: rmsnorm, swiglu, rope, AdamW.
#include <cmath>
#include <numeric>

#include "bench/kernel.h"

namespace valora::bench {

namespace {

// y[N, C] = x / rms(x) * weight.
class RmsnormForward : public Kernel {
 public:
  RmsnormForward(const KernelSpec& spec, Random& random)
      : x_(random, spec.rows, spec.inputs),
        weight_(random, 1, spec.inputs),
        y_(spec.rows, spec.inputs) {
    flops = 4.0 * static_cast<double>(x_.view().size());
    bytes = x_.bytes() + weight_.bytes() + y_.bytes();
    depth = static_cast<double>(spec.inputs);
  }

  void run(const Context& context) override { into(y_, context); }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    run(context);
    const Matrix y(y_.view().rows, y_.view().cols);
    into(y, reference);
    results.add("y", y_, y);
  }

 private:
  void into(View y, const Context& context) {
    ops::rmsnorm_forward(y, x_, weight_, 1e-5f, context);
  }
  Matrix x_, weight_, y_;
};

// h[N, F] = silu(gate) * up; F is the spec's inputs.
class SwigluForward : public Kernel {
 public:
  SwigluForward(const KernelSpec& spec, Random& random)
      : gate_(random, spec.rows, spec.inputs, 4),
        up_(random, spec.rows, spec.inputs, 4),
        h_(spec.rows, spec.inputs) {
    flops = 5.0 * static_cast<double>(h_.view().size());
    bytes = gate_.bytes() + up_.bytes() + h_.bytes();
    depth = 16;  // the roundings of exp, a division and two products
  }

  void run(const Context& context) override { ops::swiglu_forward(h_, gate_, up_, context); }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    run(context);
    const Matrix h(h_.view().rows, h_.view().cols);
    ops::swiglu_forward(h, gate_, up_, reference);
    results.add("h", h_, h);
  }

 private:
  Matrix gate_, up_, h_;
};

// Rotates the heads of q, row n by the angles of position n. In place: each run goes on from the
// last, which changes neither sizes nor speed.
class Rope : public Kernel {
 public:
  Rope(const KernelSpec& spec, Random& random)
      : head_dim_(spec.head_dim),
        x_(random, spec.rows, spec.heads * spec.head_dim),
        start_(x_.copy()),
        table_(spec.rows, spec.head_dim),
        positions_(spec.rows) {
    std::iota(positions_.begin(), positions_.end(), 0);
    const int64_t half = head_dim_ / 2;
    for (int64_t n = 0; n < spec.rows; ++n) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(n) * std::pow(1e4, -2.0 * i / head_dim_);
        table_.view().row(n)[i] = static_cast<float>(std::cos(angle));
        table_.view().row(n)[half + i] = static_cast<float>(std::sin(angle));
      }
    }
    flops = 3.0 * static_cast<double>(x_.view().size());
    bytes = 2 * x_.bytes() + table_.bytes();
    depth = 2;
  }

  void run(const Context& context) override { rotate(x_, context); }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    const Matrix got = start_.copy();
    const Matrix want = start_.copy();
    rotate(got, context);
    rotate(want, reference);
    results.add("x", got, want);
  }

 private:
  void rotate(View x, const Context& context) {
    ops::rope(x, table_, positions_.data(), head_dim_, 1, context);
  }

  int64_t head_dim_;
  Matrix x_, start_, table_;
  std::vector<int32_t> positions_;
};

// One update of rows x inputs parameters. Each run goes on from the last.
class Adamw : public Kernel {
 public:
  Adamw(const KernelSpec& spec, Random& random)
      : gradient_(random, spec.rows, spec.inputs),
        start_(random, spec.rows, spec.inputs),
        state_(start_) {
    flops = 15.0 * static_cast<double>(start_.view().size());
    bytes = 7 * start_.bytes();  // parameters, m and v read and written, the gradient read
    depth = 16;                  // the roundings of the update's fifteen steps
  }

  void run(const Context& context) override { update(state_, context); }

  void compare(const Context& context, const Context& reference, Comparison& results) override {
    const State got(start_), want(start_);
    update(got, context);
    update(want, reference);
    results.add("parameters", got.parameters, want.parameters);
    results.add("m", got.m, want.m);
    results.add("v", got.v, want.v);
  }

 private:
  struct State {
    Matrix parameters, m, v;
    explicit State(const Matrix& start)
        : parameters(start.copy()),
          m(start.view().rows, start.view().cols),
          v(start.view().rows, start.view().cols) {}
  };

  void update(const State& state, const Context& context) {
    const AdamwParameters options = {1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.5f, 2};
    ops::adamw(state.parameters, state.m, state.v, gradient_, options, context);
  }

  Matrix gradient_, start_;
  State state_;
};

}  // namespace

std::unique_ptr<Kernel> make_elementwise_kernel(const KernelSpec& spec, Random& random) {
  if (spec.op == "rmsnorm_forward") return std::make_unique<RmsnormForward>(spec, random);
  if (spec.op == "swiglu_forward") return std::make_unique<SwigluForward>(spec, random);
  if (spec.op == "rope") return std::make_unique<Rope>(spec, random);
  if (spec.op == "adamw") return std::make_unique<Adamw>(spec, random);
  return nullptr;
}

}  // namespace valora::bench
