// A weight that stays where it is stored, and pages for one that does not.
#include "core/weight.h"

#include <sys/mman.h>

#include "core/dequantize.h"
#include "core/error.h"

namespace valora {

Weight::~Weight() = default;

std::unique_ptr<Weight> upload_mapped_weight(const WeightSource& source, const Context&) {
  auto weight = std::make_unique<Weight>();
  weight->source = source;
  weight->row_bytes = dtype_row_bytes(source.dtype, source.cols);
  return weight;
}

Pages::Pages(int64_t bytes) : bytes_(bytes) {
  void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    throw Error(ErrorCode::kOutOfMemory,
                "the system refused " + std::to_string(bytes) + " bytes for a matrix");
  }
  data_ = static_cast<uint8_t*>(data);
#if defined(MADV_HUGEPAGE)
  ::madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
#endif
}

Pages::~Pages() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace valora
