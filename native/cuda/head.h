// What is known of the head's rows after some part of the vocabulary (head.cu), for sample.cu too.
#pragma once

#include "cuda/cuda.h"

namespace valora::cuda {

struct alignas(16) HeadState {
  double total;   // sum over the part of exp(logit - largest)
  float largest;  // -infinity before the first part
  int32_t argmax;
};

// Takes entries [begin, end) of the vocabulary into the states, `step` at a time; column 0 of
// logits is entry `begin`. The first part of the vocabulary begins at 0.
struct HeadPart {
  View logits;
  int64_t begin;
  int64_t end;
  int64_t step;
};
void take_in(HeadState* states, const HeadPart& part, Stream stream);

// Parts of one piece of scratch memory, each on a multiple of 256 bytes.
class ScratchParts {
 public:
  explicit ScratchParts(void* base) : base_(reinterpret_cast<uintptr_t>(base)) {}
  template <typename T>
  T* take(int64_t bytes) {
    const uintptr_t place = base_ + static_cast<uintptr_t>(bytes_);
    bytes_ += (bytes + 255) / 256 * 256;
    return reinterpret_cast<T*>(place);
  }
  int64_t bytes() const { return bytes_; }

 private:
  uintptr_t base_;
  int64_t bytes_ = 0;
};

}  // namespace valora::cuda
