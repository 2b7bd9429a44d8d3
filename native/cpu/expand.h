// Stored numbers to float32, sixteen at a time: to the bit what core/dequantize.cc defines, at the
// speed a product needs. Formats without a fast path here go through that definition.
#pragma once

#include "core/dequantize.h"
#include "core/weight.h"
#include "cpu/expand_bits.h"
#include "cpu/simd.h"

namespace valora::VALORA_ISA {

// Numbers a block of any format holds at most; a range whose ends are multiples of it is whole
// blocks.
inline constexpr int64_t kLargestBlock = 256;

// count numbers in blocks, one after the other.
template <typename Block>
static inline void expand_blocks(Dtype dtype, const uint8_t* bytes, int64_t count, float* out,
                                 const Block& block) {
  const DtypeInfo& info = dtype_info(dtype);
  for (int64_t i = 0; i < count; i += info.block_size, bytes += info.block_bytes) {
    block(bytes, out + i);
  }
}

// count numbers of two bytes each.
template <typename Convert>
static inline void expand_halves(const uint8_t* bytes, int64_t count, float* out,
                                 const Convert& convert) {
  int64_t i = 0;
  for (; i + kVector <= count; i += kVector) store(out + i, convert(bytes + 2 * i));
  if (i == count) return;
  uint8_t rest[2 * kVector] = {};
  std::memcpy(rest, bytes + 2 * i, 2 * (count - i));
  store_partial(out + i, convert(rest), count - i);
}

// out[0..count) = the numbers stored at `bytes`, count a multiple of the format's block.
static inline void expand(Dtype dtype, const uint8_t* bytes, int64_t count, float* out) {
  switch (dtype) {
    case Dtype::kF32:
      std::memcpy(out, bytes, count * 4);
      return;
    case Dtype::kF16:
      return expand_halves(bytes, count, out, [](const uint8_t* p) { return from_f16(p); });
    case Dtype::kBF16:
      return expand_halves(bytes, count, out, [](const uint8_t* p) { return from_bf16(p); });
    case Dtype::kQ4_0:
      for (int64_t i = 0; i < count; i += 32, bytes += 18) {
        const F16 d = broadcast(scalar_from_f16(bytes));
        F16 low, high;
        from_nibbles(bytes + 2, &low, &high);
        store(out + i, mul(d, sub(low, broadcast(8.0f))));
        store(out + i + 16, mul(d, sub(high, broadcast(8.0f))));
      }
      return;
    case Dtype::kQ4_1:
      for (int64_t i = 0; i < count; i += 32, bytes += 20) {
        const F16 d = broadcast(scalar_from_f16(bytes));
        const F16 m = broadcast(scalar_from_f16(bytes + 2));
        F16 low, high;
        from_nibbles(bytes + 4, &low, &high);
        store(out + i, add(mul(d, low), m));
        store(out + i + 16, add(mul(d, high), m));
      }
      return;
    case Dtype::kQ8_0:
      for (int64_t i = 0; i < count; i += 32, bytes += 34) {
        const F16 d = broadcast(scalar_from_f16(bytes));
        store(out + i, mul(from_i8(bytes + 2), d));
        store(out + i + 16, mul(from_i8(bytes + 18), d));
      }
      return;
    case Dtype::kQ5_0:
      return expand_blocks(dtype, bytes, count, out, expand_q5_0);
    case Dtype::kQ5_1:
      return expand_blocks(dtype, bytes, count, out, expand_q5_1);
    case Dtype::kQ4_K:
      return expand_blocks(dtype, bytes, count, out, expand_q4_k);
    case Dtype::kQ5_K:
      return expand_blocks(dtype, bytes, count, out, expand_q5_k);
    case Dtype::kQ6_K:
      return expand_blocks(dtype, bytes, count, out, expand_q6_k);
    default:
      dequantize(dtype, bytes, count, out);
  }
}

// Numbers [begin, begin + count) of any row of a weight, in terms of the blocks that hold them.
struct BlockRange {
  int64_t offset;   // bytes from the row's start to the first block
  int64_t skip;     // numbers of that block before the range
  int64_t numbers;  // in all blocks
  int64_t count;

  bool whole() const { return skip == 0 && numbers == count; }
};

static inline BlockRange block_range(const Weight& w, int64_t begin, int64_t count) {
  const DtypeInfo& info = dtype_info(w.source.dtype);
  const int64_t first = begin / info.block_size;
  const int64_t end = (begin + count + info.block_size - 1) / info.block_size;
  return {first * info.block_bytes, begin - first * info.block_size,
          (end - first) * info.block_size, count};
}

// out[0..range.count) = the numbers of the row that begins at `row`. Where the range cuts blocks,
// whole ones are expanded into `spare`, which holds count + 2 * kLargestBlock floats.
static inline void expand_range(const Weight& w, const BlockRange& range, const uint8_t* row,
                                float* out, float* spare) {
  const uint8_t* bytes = row + range.offset;
  if (range.whole()) {
    expand(w.source.dtype, bytes, range.count, out);
  } else {
    expand(w.source.dtype, bytes, range.numbers, spare);
    std::memcpy(out, spare + range.skip, range.count * 4);
  }
}

}  // namespace valora::VALORA_ISA
