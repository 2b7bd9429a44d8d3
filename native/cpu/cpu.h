// The CPU backend: each operation of core/ops.h over F16 lanes, by the summation rule stated there.
// The files of this folder are compiled once for each instruction set into namespace
// valora::VALORA_ISA; ops_table.cc makes a table of them and dispatch.cc chooses one at run time.
// Shapes were checked by core/ops.cc.
#pragma once

#include "core/ops.h"

namespace valora::VALORA_ISA {

// linear.cc
void linear_forward(View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                    const Scratch&, const Context&);
void linear_backward(View dx, View dt, View dy, const Weight& w, const LoraView& lora, Write,
                     const Scratch&, const Context&);

// lora_gradient.cc
void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, const Scratch&, const Context&);

// rmsnorm.cc
void rmsnorm_forward(View y, View x, View weight, float eps, const Context&);
void rmsnorm_backward(View dx, View dy, View x, View weight, float eps, Write, const Context&);

// attention_forward.cc, attention_backward.cc
void attention_forward(View o, View lse, View q, View k, View v, const PathsView&,
                       const AttentionShape&, const Scratch&, const Context&);
void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const PathsView&, const AttentionShape&, const Scratch&,
                        const Context&);

// head.cc
void head_forward(const HeadResult& result, View expected, View x, const Weight& w,
                  const HeadTarget* targets, int64_t target_count, const Scratch&, const Context&);
void head_backward(View dx, View expected, const Weight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, const Context&);
void sample(int32_t* tokens, double* logprobs, View x, const Weight& w, const SampleParameters&,
            const float* uniform, const Scratch&, const Context&);

// elementwise.cc
void embed_forward(View y, const Weight& table, const int32_t* ids, const Context&);
void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          const Context&);
void swiglu_forward(View h, View gate, View up, const Context&);
void swiglu_backward(View dgate, View dup, View dh, View gate, View up, const Context&);
void add(View y, View x, const Context&);
void gather_rows(View y, View x, const int32_t* rows, const Context&);
void scatter_rows(View y, View x, const int32_t* rows, Write, const Context&);
void adamw(View parameters, View m, View v, View gradient, const AdamwParameters&, const Context&);
double sum_of_squares(View x, const Context&);

}  // namespace valora::VALORA_ISA
