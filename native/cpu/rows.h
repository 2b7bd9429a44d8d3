// for_rows: a loop over rows, a few to a task, so that handing out tasks costs little beside the
// work.
#pragma once

#include "core/context.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

// body(n) for every row n in [0, rows) of `cols` numbers. A task takes 8192 numbers or more, some
// microseconds of work.
template <typename Body>
static inline void for_rows(const Context& context, int64_t rows, int64_t cols, const Body& body) {
  const int64_t per_task = max_of(1, 8192 / max_of(1, cols));
  parallel_for(context, (rows + per_task - 1) / per_task, [&](int64_t task, int) {
    const int64_t end = min_of(rows, (task + 1) * per_task);
    for (int64_t n = task * per_task; n < end; ++n) body(n);
  });
}

}  // namespace valora::VALORA_ISA
