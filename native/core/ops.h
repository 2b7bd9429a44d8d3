// ops.h: the one table of operations. A backend is a value of type Ops; the functions in namespace
// `ops` check shapes once, take scratch from the arena, and dispatch. native/reference/ defines
// what each means, with plain loops; every other backend is judged against it.
//
// Axes: N rows of the batch, B trees, C channels, H query heads, K key/value heads, D head width,
// F feed-forward width, V vocabulary, R LoRA rank, O and I a matrix's outputs and inputs.
//
// The summation rule (design promise 2), which every backend on the CPU follows to the bit:
//  * a matrix product's output element is one float32 chain, acc <- fma(a_k, b_k, acc), k
//  ascending,
//    from acc = 0; what is added to it (bias, LoRA term, what was there) is added afterwards;
//  * attention visits keys in path order, in blocks of 64 aligned to the path position, with the
//    running maximum and sum updated once a block;
//  * sums over a row (norms, the softmax normaliser of a block) use kLanes = 16 partial sums,
//  element i
//    in lane i % 16 in ascending order, then folded 8, 4, 2, 1: lane l += lane l + half;
//  * exp is core/scalar_math.h's, on every instruction set.
// So a row's result does not depend on what else is in the batch, on its place, or on the threads.
// (The reference backend accumulates in double instead: it is the judge, not a participant.)
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "core/context.h"
#include "core/view.h"
#include "core/weight.h"

namespace valora {

inline constexpr int kLanes = 16;
inline constexpr int kAttentionBlock = 64;
inline constexpr int kHeadChunk = 512;  // vocabulary entries the head looks at together

// Whether an operation replaces what its output holds or adds its (completed) result to it.
enum class Write { kOverwrite, kAdd };

// One low-rank term for rows [begin, begin+count) of the batch: y += scale * (x A^T) B^T, with A
// [R, I] and B [O, R] (PEFT's layout).
struct LoraRows {
  int64_t begin = 0;
  int64_t count = 0;
  View a;
  View b;
  float scale = 0;
};

struct LoraView {
  const LoraRows* groups = nullptr;
  int64_t count = 0;
  int64_t max_rank = 0;
};

// Rows of one tree, for gradients that are reduced within a tree before they are added.
struct RowRange {
  int64_t begin;
  int64_t count;
};

// Keys [begin, begin+length) of the key/value rows; a path is some of these, root first.
struct PathSegment {
  int32_t begin;
  int32_t length;
};

// Query rows that share one path. Query row i sees the keys at path positions 0 .. positions[i].
struct QueryGroup {
  int32_t query_begin;
  int32_t query_count;
  int32_t segment_begin;
  int32_t segment_count;
  int32_t tree;  // groups are sorted by tree; within a tree by row
};

struct PathsView {
  const PathSegment* segments = nullptr;
  int64_t segment_count = 0;
  const QueryGroup* groups = nullptr;
  int64_t group_count = 0;
  const int32_t* positions = nullptr;  // [query rows]
  int64_t tree_count = 0;
  int64_t longest = 0;  // the largest position + 1
};

struct AttentionShape {
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  float scale;  // 1 / sqrt(D)
};

struct HeadTarget {
  int32_t row;  // among the head's input rows
  int32_t token;
};

// What the head says of its input rows and targets.
struct HeadResult {
  double* normaliser;   // [rows] log of the sum over the vocabulary of exp(logit), summed in double
  int32_t* argmax;      // [rows] smallest index of the largest logit
  float* target_logit;  // [targets]
};

struct AdamwParameters {
  float learning_rate;
  float beta1;
  float beta2;
  float epsilon;
  float weight_decay;
  float gradient_scale;  // multiplies every gradient first: the clipping factor
  int64_t step;          // 1 at the first update
};

struct SampleParameters {
  float temperature;  // 0 = greedy
  int32_t top_k;      // 0 = all
  float top_p;        // 1 = all
};

// Memory for an operation's temporary needs, 64-byte aligned and not cleared, taken by ops.cc with
// the sizes of core/scratch.h: a part for each worker and a part that all of them share.
struct Scratch {
  uint8_t* data = nullptr;
  size_t bytes_per_worker = 0;
  uint8_t* shared = nullptr;
  size_t shared_bytes = 0;
  void* of(int worker) const { return data + static_cast<size_t>(worker) * bytes_per_worker; }
};

// How much scratch a backend's operations get (core/scratch.h).
struct ScratchFormulas;
extern const ScratchFormulas kHostScratch;

// A backend. Every pointer is set. Arguments: outputs, inputs, sizes and options, scratch, context.
// Views lie in the backend's space, and so do weights. Everything else that is handed over by
// pointer - indices, paths, targets, coefficients, groups and trees, and the answers of
// head_forward, sample and sum_of_squares - is host memory: a backend for a device carries it there
// and back, and of the operations only these three wait for what they answer.
struct Ops {
  const char* name;  // "reference", "avx512", "avx2", "neon", "generic", "cuda", "counting"
  Space space;
  const ScratchFormulas* scratch = &kHostScratch;
  bool counting = false;  // operations do nothing: views and indices may be addresses of nothing

  std::unique_ptr<Weight> (*upload_weight)(const WeightSource& source, const Context&);

  // y[N, C] = row ids[n] of table[V, C].
  void (*embed_forward)(View y, const Weight& table, const int32_t* ids, const Context&);

  // y = x / sqrt(mean(x^2) + eps) * weight, over groups of weight.cols neighbours of a row: the
  // whole row (Llama), the whole of q or k (OLMo-2), or one head (Qwen3). weight [1, group].
  void (*rmsnorm_forward)(View y, View x, View weight, float eps, const Context&);
  // dx += or = the gradient by x.
  void (*rmsnorm_backward)(View dx, View dy, View x, View weight, float eps, Write, const Context&);

  // y[N, O] = x[N, I] W^T + bias + LoRA. bias [1, O] or empty. t [N, max_rank] receives x A^T of
  // the rows that have a LoRA term (other rows, and columns past a group's rank, are set to 0);
  // empty when lora is.
  void (*linear_forward)(View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                         const Scratch&, const Context&);
  // dx[N, I] = or += dy W + dt A, with dt[N, max_rank] = scale * dy B, which is written as t is
  // above. With an empty dx only dt is computed: nothing needs the gradient by the first layer's
  // input.
  void (*linear_backward)(View dx, View dt, View dy, const Weight& w, const LoraView& lora, Write,
                          const Scratch&, const Context&);
  // For each tree in order: da[R, I] += sum over the tree's rows of dt^T x, db[O, R] += scale * sum
  // of dy^T t; each tree's sum is one chain in row order, then added. da or db may be empty.
  void (*lora_gradient)(View da, View db, View dy, View x, View t, View dt, float scale,
                        const RowRange* trees, int64_t tree_count, const Scratch&, const Context&);

  // Rotates each head's halves, (a, b) -> (a cos - b sin, b cos + a sin), by the angles of the
  // row's position; x [N, heads*D], table [positions, D]: D/2 cosines, then D/2 sines. direction -1
  // is the backward.
  void (*rope)(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
               const Context&);

  // o[Nq, H*D] = softmax(scale q k^T) v along paths; lse [Nq, H] = maximum + log of the sum
  // (natural log). k, v [key rows, K*D].
  void (*attention_forward)(View o, View lse, View q, View k, View v, const PathsView&,
                            const AttentionShape&, const Scratch&, const Context&);
  // dq [Nq, H*D] and dk, dv [key rows, K*D] are overwritten (rows no query sees become 0).
  void (*attention_backward)(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                             View v, const PathsView&, const AttentionShape&, const Scratch&,
                             const Context&);

  // h = silu(gate) * up, all [N, F]. h may be the same memory as gate.
  void (*swiglu_forward)(View h, View gate, View up, const Context&);
  // dgate and dup may be the same memory as gate and up.
  void (*swiglu_backward)(View dgate, View dup, View dh, View gate, View up, const Context&);

  // One pass over the vocabulary in chunks of kHeadChunk for x [rows, C] and W [V, C]. expected
  // [rows, C], unless empty, receives sum over the vocabulary of p * W (kept by online rescaling).
  void (*head_forward)(const HeadResult& result, View expected, View x, const Weight& w,
                       const HeadTarget* targets, int64_t target_count, const Scratch&,
                       const Context&);
  // dx[row] = sum over the row's targets, in order, of coefficient * (W[token] - expected[row]);
  // rows without targets become 0.
  void (*head_backward)(View dx, View expected, const Weight& w, const HeadTarget* targets,
                        const float* coefficients, int64_t target_count, const Context&);
  // tokens[rows], and the log-probability of each (temperature 1, all tokens; normaliser as
  // head_forward's), from x [rows, C]; uniform[rows] are numbers in [0, 1). Greedy: smallest index
  // of the largest logit. Else tokens are ranked by logit, equal ones by index; the first top_k
  // stay; of these the shortest run whose probability (weights exp((logit - largest) /
  // temperature), in double) reaches top_p; the token is the first, in order of the vocabulary, at
  // which the sum of weights of those that stay exceeds uniform * their total.
  void (*sample)(int32_t* tokens, double* logprobs, View x, const Weight& w,
                 const SampleParameters&, const float* uniform, const Scratch&, const Context&);

  // y += x.
  void (*add)(View y, View x, const Context&);
  // y[i] = x[rows[i]].
  void (*gather_rows)(View y, View x, const int32_t* rows, const Context&);
  // y[rows[i]] = or += x[i]; no row twice.
  void (*scatter_rows)(View y, View x, const int32_t* rows, Write, const Context&);

  // Decoupled weight decay (Loshchilov & Hutter 2019), torch.optim.AdamW's order of operations.
  void (*adamw)(View parameters, View m, View v, View gradient, const AdamwParameters&,
                const Context&);
  // The sum of squares, in double.
  double (*sum_of_squares)(View x, const Context&);
};

// X(name) for every operation of Ops, in the order of its fields: what has to be said of each is
// said once.
#define VALORA_OPERATIONS(X) \
  X(embed_forward)           \
  X(rmsnorm_forward)         \
  X(rmsnorm_backward)        \
  X(linear_forward)          \
  X(linear_backward)         \
  X(lora_gradient)           \
  X(rope)                    \
  X(attention_forward)       \
  X(attention_backward)      \
  X(swiglu_forward)          \
  X(swiglu_backward)         \
  X(head_forward)            \
  X(head_backward)           \
  X(sample)                  \
  X(add)                     \
  X(gather_rows)             \
  X(scatter_rows)            \
  X(adamw)                   \
  X(sum_of_squares)

// Declares a function of this name and signature in the namespace around it: a backend's header.
#define VALORA_DECLARE(name) std::remove_pointer_t<decltype(Ops::name)> name;
// Puts that function into an Ops: a backend's table.
#define VALORA_FIELD(name) .name = name,

// The backends. cpu_ops returns the table of an instruction set, or null where this machine or
// build lacks it; names "avx512", "avx2", "neon", "generic". best_cpu_ops never returns null.
const Ops& reference_ops();
const Ops& counting_ops();
const Ops* cpu_ops(const char* isa);
const Ops& best_cpu_ops();
// Whether this machine multiplies bfloat16 pairs in one instruction; Compute::kBf16 gives the same
// bits without it, slower than float32.
bool cpu_has_bf16();

// The same operations with every shape checked (Error{kInvalidArgument}), scratch taken, the cancel
// flag looked at, and empty inputs passed over. Model code calls these.
namespace ops {

void embed_forward(View y, const Weight& table, const int32_t* ids, const Context&);
void rmsnorm_forward(View y, View x, View weight, float eps, const Context&);
void rmsnorm_backward(View dx, View dy, View x, View weight, float eps, Write, const Context&);
void linear_forward(View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                    const Context&);
void linear_backward(View dx, View dt, View dy, const Weight& w, const LoraView& lora, Write,
                     const Context&);
void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, const Context&);
void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          const Context&);
void attention_forward(View o, View lse, View q, View k, View v, const PathsView&,
                       const AttentionShape&, const Context&);
void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const PathsView&, const AttentionShape&, const Context&);
void swiglu_forward(View h, View gate, View up, const Context&);
void swiglu_backward(View dgate, View dup, View dh, View gate, View up, const Context&);
void head_forward(const HeadResult& result, View expected, View x, const Weight& w,
                  const HeadTarget* targets, int64_t target_count, const Context&);
void head_backward(View dx, View expected, const Weight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, const Context&);
void sample(int32_t* tokens, double* logprobs, View x, const Weight& w, const SampleParameters&,
            const float* uniform, const Context&);
void add(View y, View x, const Context&);
void gather_rows(View y, View x, const int32_t* rows, const Context&);
void scatter_rows(View y, View x, const int32_t* rows, Write, const Context&);
void adamw(View parameters, View m, View v, View gradient, const AdamwParameters&, const Context&);
double sum_of_squares(View x, const Context&);

}  // namespace ops

}  // namespace valora
