// Weight: one frozen matrix [O, I] as a backend keeps it, made by Ops::upload_weight. The reference
// backend points at the mapped file; the CPU backend also keeps the same numbers, in their stored
// bits, in the order that its products read (cpu/panels.h).
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "core/view.h"

namespace valora {

// Where a matrix is stored: `rows` rows of `cols` numbers of `dtype`, rows back to back from
// `data`. GGUF files of `llama` models store the rows of q and k with the two rotary halves of each
// head interleaved; `interleaved_heads` is then that matrix's number of heads (else 0), and row(o)
// undoes it.
struct WeightSource {
  const uint8_t* data = nullptr;
  Dtype dtype = Dtype::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t interleaved_heads = 0;
};

struct Weight {
  WeightSource source;
  int64_t row_bytes = 0;
  int64_t own_bytes = 0;  // memory that a rearranged copy takes; 0: the mapped file is what is used

  virtual ~Weight();
  int64_t rows() const { return source.rows; }
  int64_t cols() const { return source.cols; }

  // The stored bytes of logical row o. In a head of width D, logical row b*D/2 + i (b = half,
  // i < D/2) is stored at 2*i + b.
  const uint8_t* row(int64_t o) const {
    if (source.interleaved_heads != 0) {
      const int64_t width = source.rows / source.interleaved_heads;
      const int64_t head = o / width;
      const int64_t j = o % width;
      o = head * width + 2 * (j % (width / 2)) + j / (width / 2);
    }
    return source.data + o * row_bytes;
  }
};

struct Context;  // core/context.h

// Ops::upload_weight of every backend that reads the mapped file itself. Throws Error where cols is
// no multiple of the dtype's block.
std::unique_ptr<Weight> upload_mapped_weight(const WeightSource& source, const Context&);

// Memory from the system for such a copy: whole pages, cleared, large ones where there are any.
class Pages {
 public:
  Pages() = default;
  // Throws Error{kOutOfMemory}.
  explicit Pages(int64_t bytes);
  ~Pages();
  Pages(Pages&& other) noexcept { *this = std::move(other); }
  Pages& operator=(Pages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace valora
