// A weight that stays where it is stored.
#include "core/weight.h"

#include "core/dequantize.h"

namespace valora {

std::unique_ptr<Weight> upload_mapped_weight(const WeightSource& source) {
  auto weight = std::make_unique<Weight>();
  weight->source = source;
  weight->row_bytes = dtype_row_bytes(source.dtype, source.cols);
  return weight;
}

}  // namespace valora
