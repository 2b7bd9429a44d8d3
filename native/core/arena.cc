// Arena: bump allocation from one block, or the counting of it.
#include "core/arena.h"

#include <algorithm>
#include <limits>
#include <new>
#include <string>

#include "core/error.h"

namespace valora {

namespace {

constexpr size_t kAlignment = 64;  // a cache line, and an AVX-512 register

// Where a counting arena's block pretends to start: not null, since a null pointer means "empty" to
// a View's reader, and arithmetic on null is undefined even when nothing is read.
constexpr uintptr_t kCountingBase = 1u << 16;

std::string describe(size_t wanted, size_t used, size_t capacity) {
  return "an operation needed " + std::to_string(wanted) + " bytes of working memory where " +
         std::to_string(capacity - used) + " of " + std::to_string(capacity) + " were free";
}

}  // namespace

Arena::Arena(size_t bytes, Device* device) : device_(device), capacity_(bytes) {
  if (device_ != nullptr) {
    base_ =
        static_cast<uint8_t*>(device_->allocate(static_cast<int64_t>(std::max(bytes, kAlignment))));
    return;
  }
  base_ = static_cast<uint8_t*>(
      ::operator new(std::max(bytes, kAlignment), std::align_val_t(kAlignment), std::nothrow));
  if (base_ == nullptr) {
    throw Error(ErrorCode::kOutOfMemory,
                "the system has not got " + std::to_string(bytes) + " bytes of working memory");
  }
}

Arena::~Arena() {
  if (device_ != nullptr) {
    device_->release(base_);
  } else {
    ::operator delete(base_, std::align_val_t(kAlignment));
  }
}

void* Arena::allocate(size_t bytes) {
  const size_t limit = counting() ? std::numeric_limits<size_t>::max() / 2 : capacity_;
  const size_t free = limit - used_;
  // `bytes` is compared first, so that a size near the largest cannot wrap to a small one.
  const size_t rounded = bytes > free ? bytes : (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded > free) throw Error(ErrorCode::kOutOfMemory, describe(bytes, used_, limit));
  void* result = counting() ? reinterpret_cast<void*>(kCountingBase + used_) : base_ + used_;
  used_ += rounded;
  peak_ = std::max(peak_, used_);
  return result;
}

View Arena::matrix(int64_t rows, int64_t cols) {
  if (rows < 0 || cols < 0 ||
      (cols != 0 && rows > std::numeric_limits<int64_t>::max() / 8 / cols)) {
    throw Error(ErrorCode::kInvalidArgument, "a matrix of " + std::to_string(rows) + " x " +
                                                 std::to_string(cols) + " has no size in bytes");
  }
  void* data = allocate(static_cast<size_t>(rows) * static_cast<size_t>(cols) * sizeof(float));
  return make_view(static_cast<float*>(data), rows, cols,
                   device_ == nullptr ? Space::kHost : Space::kDevice);
}

}  // namespace valora
