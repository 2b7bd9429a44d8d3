// The checked operations: shapes, memory space and indices are looked at here, once for all
// backends; scratch is taken from the arena by core/scratch.h; then the backend of the context does
// the work.
#include "core/ops.h"

#include <string>

#include "core/operation_times.h"
#include "core/scratch.h"

namespace valora::ops {

namespace {

std::string text(int64_t value) { return std::to_string(value); }
std::string shape_text(int64_t rows, int64_t cols) {
  return "[" + text(rows) + ", " + text(cols) + "]";
}

// The checks of one call of one operation, and its time.
class Check {
 public:
  Check(const char* op, const Context& context)
      : op_(op), context_(context), timer_(op, context.times, context.pool) {
    context.check_cancelled();
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::kInvalidArgument, std::string(op_) + ": " + what);
  }

  void expect(bool holds, const char* rule) const {
    if (!holds) fail(std::string("expected ") + rule);
  }

  void equal(const char* name, int64_t value, int64_t wanted) const {
    if (value != wanted)
      fail(std::string(name) + " is " + text(value) + ", expected " + text(wanted));
  }

  void shape(const char* name, View view, int64_t rows, int64_t cols) const {
    if (view.rows != rows || view.cols != cols) {
      fail(std::string(name) + " is " + shape_text(view.rows, view.cols) + ", expected " +
           shape_text(rows, cols));
    }
    layout(name, view);
  }

  // What every view must satisfy, whatever its shape.
  void layout(const char* name, View view) const {
    if (view.rows < 0 || view.cols < 0 || (view.rows > 1 && view.stride < view.cols)) {
      fail(std::string(name) + " is " + shape_text(view.rows, view.cols) + " with stride " +
           text(view.stride) + ", expected sizes >= 0 and stride >= columns");
    }
    if (!view.empty() && view.space != context_.ops->space && !context_.ops->counting) {
      fail(std::string(name) + " is in the wrong memory space for backend " + context_.ops->name);
    }
  }

  // Whether index arrays hold numbers: not in a dry run.
  bool readable() const { return !context_.ops->counting; }

  void indices(const char* name, const int32_t* values, int64_t count, int64_t limit) const {
    if (!readable()) return;
    for (int64_t i = 0; i < count; ++i) {
      if (values[i] < 0 || values[i] >= limit) out_of_range(name, i, values[i], limit);
    }
  }

  void targets(const HeadTarget* values, int64_t count, int64_t rows, int64_t vocabulary) const {
    if (!readable()) return;
    for (int64_t i = 0; i < count; ++i) {
      if (values[i].row < 0 || values[i].row >= rows) {
        out_of_range("target row", i, values[i].row, rows);
      }
      if (values[i].token < 0 || values[i].token >= vocabulary) {
        out_of_range("target token", i, values[i].token, vocabulary);
      }
    }
  }

  void lora(const LoraView& lora, View t, const char* t_name, int64_t rows, int64_t inputs,
            int64_t outputs) const {
    if (lora.count == 0) {
      if (!t.empty()) fail(std::string(t_name) + " is not empty, expected it so without LoRA");
      return;
    }
    shape(t_name, t, rows, lora.max_rank);
    int64_t next = 0;
    for (int64_t g = 0; g < lora.count; ++g) {
      const LoraRows& group = lora.groups[g];
      if (group.begin < next || group.count < 0 || group.begin + group.count > rows) {
        fail("LoRA group " + text(g) + " has rows [" + text(group.begin) + ", " +
             text(group.begin + group.count) + "), expected rows within [" + text(next) + ", " +
             text(rows) + ")");
      }
      next = group.begin + group.count;
      if (group.a.rows < 1 || group.a.rows > lora.max_rank) {
        fail("LoRA group " + text(g) + " has rank " + text(group.a.rows) + ", expected 1 to " +
             text(lora.max_rank));
      }
      shape("LoRA a", group.a, group.a.rows, inputs);
      shape("LoRA b", group.b, outputs, group.a.rows);
    }
  }

  void attention(View q, View k, View v, const PathsView& paths, const AttentionShape& s) const {
    if (s.heads < 1 || s.kv_heads < 1 || s.heads % s.kv_heads != 0 || s.head_dim < 1) {
      fail(text(s.heads) + " heads over " + text(s.kv_heads) + " key/value heads of width " +
           text(s.head_dim) + ", expected a whole number of heads for each");
    }
    shape("q", q, q.rows, s.heads * s.head_dim);
    shape("k", k, k.rows, s.kv_heads * s.head_dim);
    shape("v", v, k.rows, s.kv_heads * s.head_dim);
    if (readable()) this->paths(paths, q.rows, k.rows);
  }

 private:
  [[noreturn]] void out_of_range(const char* name, int64_t index, int64_t value,
                                 int64_t limit) const {
    fail(std::string(name) + " " + text(index) + " is " + text(value) + ", expected 0 to " +
         text(limit - 1));
  }

  // Every query row in one group, every key of a path a key row, every position on its path.
  void paths(const PathsView& paths, int64_t query_rows, int64_t key_rows) const {
    int64_t queries = 0;
    int32_t tree = 0;
    for (int64_t g = 0; g < paths.group_count; ++g) {
      const QueryGroup& group = paths.groups[g];
      const std::string name = "query group " + text(g);
      if (group.query_begin != queries || group.query_count < 1 ||
          group.query_count > query_rows - queries) {
        fail(name + " has rows [" + text(group.query_begin) + ", " +
             text(int64_t{group.query_begin} + group.query_count) +
             "), expected them to begin at " + text(queries) + " and end by " + text(query_rows));
      }
      queries += group.query_count;
      if (group.tree < tree || group.tree >= paths.tree_count) {
        fail(name + " is of tree " + text(group.tree) + ", expected " + text(tree) + " to " +
             text(paths.tree_count - 1));
      }
      tree = group.tree;
      if (group.segment_begin < 0 || group.segment_count < 1 ||
          int64_t{group.segment_begin} + group.segment_count > paths.segment_count) {
        fail(name + " has segments outside the " + text(paths.segment_count) + " there are");
      }
      int64_t length = 0;
      for (int32_t s = 0; s < group.segment_count; ++s) {
        const PathSegment& segment = paths.segments[group.segment_begin + s];
        if (segment.begin < 0 || segment.length < 1 ||
            int64_t{segment.begin} + segment.length > key_rows) {
          fail("path segment " + text(group.segment_begin + s) + " has keys [" +
               text(segment.begin) + ", " + text(int64_t{segment.begin} + segment.length) +
               "), there are " + text(key_rows));
        }
        length += segment.length;
      }
      if (length > paths.longest) {
        fail(name + " has a path of " + text(length) + " keys, expected at most " +
             text(paths.longest));
      }
      for (int64_t n = group.query_begin; n < queries; ++n) {
        if (paths.positions[n] < 0 || paths.positions[n] >= length) {
          out_of_range("position", n, paths.positions[n], length);
        }
      }
    }
    equal("the number of query rows in groups", queries, query_rows);
  }

  const char* op_;
  const Context& context_;
  const OperationTimer timer_;
};

// Scratch from the arena, given back when the operation is done.
class ScopedScratch {
 public:
  ScopedScratch(const Context& context, const ScratchSize& size) : scope_(*context.arena) {
    const int64_t per_worker = round_up(size.per_worker, kScratchAlignment);
    const int64_t shared = round_up(size.shared, kScratchAlignment);
    scratch_.bytes_per_worker = static_cast<size_t>(per_worker);
    scratch_.data = static_cast<uint8_t*>(context.arena->allocate(per_worker * context.threads()));
    scratch_.shared_bytes = static_cast<size_t>(shared);
    scratch_.shared =
        shared == 0 ? nullptr : static_cast<uint8_t*>(context.arena->allocate(shared));
  }
  operator const Scratch&() const { return scratch_; }

 private:
  ArenaScope scope_;
  Scratch scratch_;
};

}  // namespace

void embed_forward(View y, const Weight& table, const int32_t* ids, const Context& context) {
  const Check check("embed_forward", context);
  check.shape("y", y, y.rows, table.cols());
  check.indices("id", ids, y.rows, table.rows());
  if (y.empty()) return;
  context.ops->embed_forward(y, table, ids, context);
}

void rmsnorm_forward(View y, View x, View weight, float eps, const Context& context) {
  const Check check("rmsnorm_forward", context);
  check.shape("weight", weight, 1, weight.cols);
  check.expect(weight.cols > 0 && x.cols % weight.cols == 0, "columns a multiple of weight's");
  check.shape("x", x, x.rows, x.cols);
  check.shape("y", y, x.rows, x.cols);
  if (x.empty()) return;
  context.ops->rmsnorm_forward(y, x, weight, eps, context);
}

void rmsnorm_backward(View dx, View dy, View x, View weight, float eps, Write write,
                      const Context& context) {
  const Check check("rmsnorm_backward", context);
  check.shape("weight", weight, 1, weight.cols);
  check.expect(weight.cols > 0 && x.cols % weight.cols == 0, "columns a multiple of weight's");
  check.shape("x", x, x.rows, x.cols);
  check.shape("dy", dy, x.rows, x.cols);
  check.shape("dx", dx, x.rows, x.cols);
  if (x.empty()) return;
  context.ops->rmsnorm_backward(dx, dy, x, weight, eps, write, context);
}

void linear_forward(View y, View t, View x, const Weight& w, View bias, const LoraView& lora,
                    const Context& context) {
  const Check check("linear_forward", context);
  check.shape("x", x, x.rows, w.cols());
  check.shape("y", y, x.rows, w.rows());
  if (!bias.empty()) check.shape("bias", bias, 1, w.rows());
  check.lora(lora, t, "t", x.rows, w.cols(), w.rows());
  if (y.empty()) return;
  const ScopedScratch scratch(context,
                              context.ops->scratch->linear(context.compute, x.rows, x.cols));
  context.ops->linear_forward(y, t, x, w, bias, lora, scratch, context);
}

void linear_backward(View dx, View dt, View dy, const Weight& w, const LoraView& lora, Write write,
                     const Context& context) {
  const Check check("linear_backward", context);
  check.shape("dy", dy, dy.rows, w.rows());
  if (!dx.empty()) check.shape("dx", dx, dy.rows, w.cols());
  check.lora(lora, dt, "dt", dy.rows, w.cols(), w.rows());
  if (dy.empty() || (dx.empty() && lora.count == 0)) return;
  const ScopedScratch scratch(context,
                              context.ops->scratch->linear(context.compute, dy.rows, dy.cols));
  context.ops->linear_backward(dx, dt, dy, w, lora, write, scratch, context);
}

void lora_gradient(View da, View db, View dy, View x, View t, View dt, float scale,
                   const RowRange* trees, int64_t tree_count, const Context& context) {
  const Check check("lora_gradient", context);
  const int64_t rows = da.empty() ? dy.rows : x.rows;
  const int64_t rank = da.empty() ? db.cols : da.rows;
  if (!da.empty()) {
    check.shape("x", x, rows, x.cols);
    check.shape("da", da, rank, x.cols);
    check.shape("dt", dt, rows, dt.cols);
    check.expect(dt.cols >= rank, "dt at least as wide as the rank");
  }
  if (!db.empty()) {
    check.shape("dy", dy, rows, dy.cols);
    check.shape("db", db, dy.cols, rank);
    check.shape("t", t, rows, t.cols);
    check.expect(t.cols >= rank, "t at least as wide as the rank");
  }
  if (da.empty() && db.empty()) return;
  for (int64_t b = 0; b < tree_count; ++b) {
    check.expect(
        trees[b].begin >= 0 && trees[b].count >= 0 && trees[b].begin + trees[b].count <= rows,
        "every tree within the rows");
  }
  if (tree_count == 0 || rows == 0) return;
  context.ops->lora_gradient(da, db, dy, x, t, dt, scale, trees, tree_count,
                             ScopedScratch(context, context.ops->scratch->lora_gradient()),
                             context);
}

void rope(View x, View table, const int32_t* positions, int64_t head_dim, int direction,
          const Context& context) {
  const Check check("rope", context);
  check.expect(head_dim > 0 && head_dim % 2 == 0 && x.cols % head_dim == 0,
               "an even head width that divides x's columns");
  check.expect(direction == 1 || direction == -1, "a direction of 1 or -1");
  check.shape("x", x, x.rows, x.cols);
  check.shape("table", table, table.rows, head_dim);
  check.indices("position", positions, x.rows, table.rows);
  if (x.empty()) return;
  context.ops->rope(x, table, positions, head_dim, direction, context);
}

void attention_forward(View o, View lse, View q, View k, View v, const PathsView& paths,
                       const AttentionShape& shape, const Context& context) {
  const Check check("attention_forward", context);
  check.attention(q, k, v, paths, shape);
  check.shape("o", o, q.rows, q.cols);
  check.shape("lse", lse, q.rows, shape.heads);
  if (q.empty()) return;
  const ScopedScratch scratch(
      context, context.ops->scratch->attention_forward(context.compute, q.rows, k.rows, shape));
  context.ops->attention_forward(o, lse, q, k, v, paths, shape, scratch, context);
}

void attention_backward(View dq, View dk, View dv, View d_o, View o, View lse, View q, View k,
                        View v, const PathsView& paths, const AttentionShape& shape,
                        const Context& context) {
  const Check check("attention_backward", context);
  check.attention(q, k, v, paths, shape);
  check.shape("o", o, q.rows, q.cols);
  check.shape("d_o", d_o, q.rows, q.cols);
  check.shape("lse", lse, q.rows, shape.heads);
  check.shape("dq", dq, q.rows, q.cols);
  check.shape("dk", dk, k.rows, k.cols);
  check.shape("dv", dv, k.rows, k.cols);
  if (k.empty()) return;
  const ScopedScratch scratch(
      context, context.ops->scratch->attention_backward(context.compute, q.rows, k.rows, shape));
  context.ops->attention_backward(dq, dk, dv, d_o, o, lse, q, k, v, paths, shape, scratch, context);
}

void swiglu_forward(View h, View gate, View up, const Context& context) {
  const Check check("swiglu_forward", context);
  check.shape("gate", gate, gate.rows, gate.cols);
  check.shape("up", up, gate.rows, gate.cols);
  check.shape("h", h, gate.rows, gate.cols);
  if (h.empty()) return;
  context.ops->swiglu_forward(h, gate, up, context);
}

void swiglu_backward(View dgate, View dup, View dh, View gate, View up, const Context& context) {
  const Check check("swiglu_backward", context);
  check.shape("gate", gate, gate.rows, gate.cols);
  check.shape("up", up, gate.rows, gate.cols);
  check.shape("dh", dh, gate.rows, gate.cols);
  check.shape("dgate", dgate, gate.rows, gate.cols);
  check.shape("dup", dup, gate.rows, gate.cols);
  if (dh.empty()) return;
  context.ops->swiglu_backward(dgate, dup, dh, gate, up, context);
}

void head_forward(const HeadResult& result, View expected, View x, const Weight& w,
                  const HeadTarget* targets, int64_t target_count, const Context& context) {
  const Check check("head_forward", context);
  check.shape("x", x, x.rows, w.cols());
  if (!expected.empty()) check.shape("expected", expected, x.rows, w.cols());
  check.targets(targets, target_count, x.rows, w.rows());
  if (x.empty()) return;
  const ScopedScratch scratch(
      context, context.ops->scratch->head_forward(context.compute, x.rows, w.rows(), x.cols));
  context.ops->head_forward(result, expected, x, w, targets, target_count, scratch, context);
}

void head_backward(View dx, View expected, const Weight& w, const HeadTarget* targets,
                   const float* coefficients, int64_t target_count, const Context& context) {
  const Check check("head_backward", context);
  check.shape("expected", expected, expected.rows, w.cols());
  check.shape("dx", dx, expected.rows, w.cols());
  check.targets(targets, target_count, dx.rows, w.rows());
  if (dx.empty()) return;
  context.ops->head_backward(dx, expected, w, targets, coefficients, target_count, context);
}

void sample(int32_t* tokens, double* logprobs, View x, const Weight& w,
            const SampleParameters& parameters, const float* uniform, const Context& context) {
  const Check check("sample", context);
  check.shape("x", x, x.rows, w.cols());
  check.expect(parameters.temperature >= 0 && parameters.top_k >= 0 && parameters.top_p > 0 &&
                   parameters.top_p <= 1,
               "temperature >= 0, top_k >= 0 and 0 < top_p <= 1");
  if (x.empty()) return;
  const ScopedScratch scratch(
      context, context.ops->scratch->sample(context.compute, x.rows, w.rows(), x.cols));
  context.ops->sample(tokens, logprobs, x, w, parameters, uniform, scratch, context);
}

void add(View y, View x, const Context& context) {
  const Check check("add", context);
  check.shape("y", y, y.rows, y.cols);
  check.shape("x", x, y.rows, y.cols);
  if (y.empty()) return;
  context.ops->add(y, x, context);
}

void gather_rows(View y, View x, const int32_t* rows, const Context& context) {
  const Check check("gather_rows", context);
  check.shape("y", y, y.rows, y.cols);
  check.shape("x", x, x.rows, y.cols);
  check.indices("row", rows, y.rows, x.rows);
  if (y.empty()) return;
  context.ops->gather_rows(y, x, rows, context);
}

void scatter_rows(View y, View x, const int32_t* rows, Write write, const Context& context) {
  const Check check("scatter_rows", context);
  check.shape("x", x, x.rows, x.cols);
  check.shape("y", y, y.rows, x.cols);
  check.indices("row", rows, x.rows, y.rows);
  if (x.empty()) return;
  context.ops->scatter_rows(y, x, rows, write, context);
}

void adamw(View parameters, View m, View v, View gradient, const AdamwParameters& options,
           const Context& context) {
  const Check check("adamw", context);
  check.shape("parameters", parameters, parameters.rows, parameters.cols);
  check.shape("m", m, parameters.rows, parameters.cols);
  check.shape("v", v, parameters.rows, parameters.cols);
  check.shape("gradient", gradient, parameters.rows, parameters.cols);
  check.expect(options.step >= 1, "a step of at least 1");
  if (parameters.empty()) return;
  context.ops->adamw(parameters, m, v, gradient, options, context);
}

double sum_of_squares(View x, const Context& context) {
  const Check check("sum_of_squares", context);
  check.shape("x", x, x.rows, x.cols);
  if (x.empty()) return 0;
  return context.ops->sum_of_squares(x, context);
}

}  // namespace valora::ops
