// KernelBench: every operation agrees with the reference on every backend, and one that is wrong is
// found out and not timed.
#include "bench/kernel_bench.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/matrix.h"

namespace valora::bench {
namespace {

// One spec for each operation, of awkward sizes.
std::vector<KernelSpec> small_specs(const Ops& ops, Compute compute = Compute::kFloat32) {
  std::vector<KernelSpec> specs;
  const auto add = [&](const char* op) -> KernelSpec& {
    KernelSpec& spec = specs.emplace_back();
    spec.op = op;
    spec.ops = &ops;
    spec.compute = compute;
    spec.threads = 2;
    spec.rows = 5;
    spec.inputs = 64;
    spec.outputs = 37;
    spec.heads = 4;
    spec.kv_heads = 2;
    spec.head_dim = 8;
    spec.spans = {9, 3, 1};
    return spec;
  };
  add("linear_forward").dtype = Dtype::kQ4_1;
  add("linear_forward").rank = 3;
  add("linear_backward").dtype = Dtype::kBF16;
  add("linear_backward").rank = 3;
  add("lora_gradient").rank = 3;
  add("head_forward").outputs = 700;
  add("sample").outputs = 700;
  for (const char* op : {"attention_forward", "attention_backward", "rmsnorm_forward",
                         "swiglu_forward", "rope", "adamw"}) {
    add(op);
  }
  return specs;
}

TEST(KernelBench, AgreesWithTheReference) {
  std::vector<KernelSpec> specs;
  for (const Ops* ops : test::backends()) {
    for (const Compute compute : {Compute::kFloat32, Compute::kBf16}) {
      for (const KernelSpec& spec : small_specs(*ops, compute)) specs.push_back(spec);
    }
  }
  for (const KernelSpec& spec : specs) {
    KernelBench bench(spec);
    const Verification verification = bench.verify();
    EXPECT_LE(verification.error, verification.tolerance) << spec.op << " on " << spec.ops->name;
    EXPECT_LT(verification.tolerance, 1e-3) << spec.op;
    EXPECT_GT(bench.run(2), 0) << spec.op;
    EXPECT_GT(bench.flops(), 0) << spec.op;
    EXPECT_GT(bench.bytes(), 0) << spec.op;
  }
}

template <float (*spoil)(float)>
void spoil_one(View view) {
  float& number = view.row(view.rows - 1)[0];
  number = spoil(number);
}

// Operations with one result of each spoilt.
template <float (*spoil)(float)>
Ops broken_ops() {
  static const Ops& good = *cpu_ops("generic");
  Ops broken = good;
  broken.linear_forward = [](View y, View t, View x, const Weight& w, View bias,
                             const LoraView& lora, const Scratch& scratch, const Context& context) {
    good.linear_forward(y, t, x, w, bias, lora, scratch, context);
    spoil_one<spoil>(y);
  };
  broken.linear_backward = [](View dx, View dt, View dy, const Weight& w, const LoraView& lora,
                              Write write, const Scratch& scratch, const Context& context) {
    good.linear_backward(dx, dt, dy, w, lora, write, scratch, context);
    spoil_one<spoil>(dx);
  };
  broken.lora_gradient = [](View da, View db, View dy, View x, View t, View dt, float scale,
                            const RowRange* trees, int64_t count, const Scratch& scratch,
                            const Context& context) {
    good.lora_gradient(da, db, dy, x, t, dt, scale, trees, count, scratch, context);
    spoil_one<spoil>(db);
  };
  broken.head_forward = [](const HeadResult& result, View expected, View x, const Weight& w,
                           const HeadTarget* targets, int64_t count, const Scratch& scratch,
                           const Context& context) {
    good.head_forward(result, expected, x, w, targets, count, scratch, context);
    result.target_logit[count - 1] = spoil(result.target_logit[count - 1]);
  };
  broken.sample = [](int32_t* tokens, double* logprobs, View x, const Weight& w,
                     const SampleParameters& parameters, const float* uniform,
                     const Scratch& scratch, const Context& context) {
    good.sample(tokens, logprobs, x, w, parameters, uniform, scratch, context);
    tokens[0] = (tokens[0] + 1) % static_cast<int32_t>(w.rows());
  };
  broken.attention_forward = [](View o, View lse, View q, View k, View v, const PathsView& paths,
                                const AttentionShape& shape, const Scratch& scratch,
                                const Context& context) {
    good.attention_forward(o, lse, q, k, v, paths, shape, scratch, context);
    spoil_one<spoil>(lse);
  };
  broken.attention_backward = [](View dq, View dk, View dv, View d_o, View o, View lse, View q,
                                 View k, View v, const PathsView& paths,
                                 const AttentionShape& shape, const Scratch& scratch,
                                 const Context& context) {
    good.attention_backward(dq, dk, dv, d_o, o, lse, q, k, v, paths, shape, scratch, context);
    spoil_one<spoil>(dk);
  };
  broken.rmsnorm_forward = [](View y, View x, View weight, float eps, const Context& context) {
    good.rmsnorm_forward(y, x, weight, eps, context);
    spoil_one<spoil>(y);
  };
  broken.swiglu_forward = [](View h, View gate, View up, const Context& context) {
    good.swiglu_forward(h, gate, up, context);
    spoil_one<spoil>(h);
  };
  broken.rope = [](View x, View table, const int32_t* positions, int64_t head_dim, int direction,
                   const Context& context) {
    good.rope(x, table, positions, head_dim, direction, context);
    spoil_one<spoil>(x);
  };
  broken.adamw = [](View parameters, View m, View v, View gradient, const AdamwParameters& options,
                    const Context& context) {
    good.adamw(parameters, m, v, gradient, options, context);
    spoil_one<spoil>(parameters);
  };
  return broken;
}

void expect_found_out(const Ops& broken) {
  for (const KernelSpec& spec : small_specs(broken)) {
    KernelBench bench(spec);
    for (const bool timed : {false, true}) {
      try {
        timed ? static_cast<void>(bench.run(1)) : static_cast<void>(bench.verify());
        ADD_FAILURE() << spec.op << " is wrong and was not found out";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kInternal) << error.what();
      }
    }
  }
}

float slightly_off(float value) { return value * 1.001f + 0.001f; }
TEST(KernelBench, FindsOutAWrongNumber) { expect_found_out(broken_ops<slightly_off>()); }

float not_a_number(float) { return NAN; }
TEST(KernelBench, FindsOutWhatIsNoNumber) { expect_found_out(broken_ops<not_a_number>()); }

void expect_refused(const char* op, void (*change)(KernelSpec&)) {
  KernelSpec spec = small_specs(reference_ops()).front();
  spec.op = op;
  change(spec);
  try {
    KernelBench bench(spec);
    ADD_FAILURE() << op << " was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
  }
}

TEST(KernelBench, RefusesSizesThatCannotBe) {
  expect_refused("embed", [](KernelSpec&) {});
  expect_refused("linear_forward", [](KernelSpec& spec) { spec.outputs = 0; });
  expect_refused("linear_forward", [](KernelSpec& spec) { spec.inputs = 33; });
  expect_refused("lora_gradient", [](KernelSpec&) {});
  expect_refused("rope", [](KernelSpec& spec) { spec.head_dim = 7; });
  expect_refused("attention_forward", [](KernelSpec& spec) { spec.kv_heads = 3; });
  expect_refused("attention_backward", [](KernelSpec& spec) { spec.spans.clear(); });
  expect_refused("attention_forward", [](KernelSpec& spec) { spec.spans[0] = 1 << 30; });
  expect_refused("adamw", [](KernelSpec& spec) { spec.rows = spec.inputs = 1 << 24; });
  expect_refused("head_forward", [](KernelSpec& spec) {  // its logits
    spec.rows = 1 << 22;
    spec.inputs = spec.outputs = 1;
  });
}

}  // namespace
}  // namespace valora::bench
