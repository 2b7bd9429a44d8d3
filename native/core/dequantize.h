// What each stored dtype decodes to: the plain definition (ggml's block layouts), bit-equal to
// gguf-py. Fast expanders in cpu/ are judged against these.
#pragma once

#include <cstdint>

#include "core/view.h"

namespace valora {

struct DtypeInfo {
  const char* name;     // as GGUF writes it: "Q4_1"
  int64_t block_size;   // numbers a block holds
  int64_t block_bytes;  // bytes a block takes
};

const DtypeInfo& dtype_info(Dtype dtype);
// The dtype whose name is `name`; false when there is none.
bool dtype_from_name(const char* name, Dtype* dtype);

// Bytes of one row of `cols` numbers; throws Error when cols is no multiple of the block.
int64_t dtype_row_bytes(Dtype dtype, int64_t cols);

// out[0..count) = the numbers stored at `bytes`; count is a multiple of the block size.
void dequantize(Dtype dtype, const uint8_t* bytes, int64_t count, float* out);

// The 6-bit scale and minimum of group g (0..7) in the 12 bytes that Q4_K and Q5_K share: four
// scales, four minima, then the low nibbles of the other four of each, whose high bits top the
// first eight.
// (Static: the instruction sets each compile their own.)
static inline void scale_and_minimum(const uint8_t* packed, int g, int* scale, int* minimum) {
  if (g < 4) {
    *scale = packed[g] & 63;
    *minimum = packed[g + 4] & 63;
  } else {
    *scale = (packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4;
    *minimum = (packed[g + 4] >> 4) | (packed[g] >> 6) << 4;
  }
}

}  // namespace valora
