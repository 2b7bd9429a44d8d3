// The scratch of the backends that compute on the host.
#include "core/scratch.h"

namespace valora {

const ScratchFormulas kHostScratch = {
    .linear = linear_scratch,
    .lora_gradient = lora_gradient_scratch,
    .attention_forward =
        [](Compute, int64_t, int64_t, const AttentionShape& shape) {
          return attention_forward_scratch(shape);
        },
    .attention_backward =
        [](Compute, int64_t, int64_t, const AttentionShape& shape) {
          return attention_backward_scratch(shape);
        },
    .head_forward = [](Compute compute, int64_t rows, int64_t,
                       int64_t channels) { return head_forward_scratch(compute, rows, channels); },
    .sample = sample_scratch};

}  // namespace valora
