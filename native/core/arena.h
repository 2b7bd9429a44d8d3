// Arena: one block of memory handed out by bumping a mark and taken back by resetting it, so that a
// step allocates nothing. A counting arena hands out addresses of nothing and only keeps the peak:
// the model code run over it is the memory plan (design promise 4).
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/device.h"
#include "core/view.h"

namespace valora {

class Arena {
 public:
  // Counts only; nothing handed out may be read or written.
  Arena() = default;
  // Owns `bytes`, of the device's memory where there is one, which must outlive the arena; throws
  // Error{kOutOfMemory} when they are not to be had.
  explicit Arena(size_t bytes, Device* device = nullptr);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  bool counting() const { return base_ == nullptr; }
  size_t capacity() const { return capacity_; }
  size_t used() const { return used_; }
  size_t peak() const { return peak_; }
  void reset_peak() { peak_ = used_; }

  // 64-byte aligned, not cleared. Throws Error{kOutOfMemory} past the capacity.
  void* allocate(size_t bytes);
  View matrix(int64_t rows, int64_t cols);

  size_t mark() const { return used_; }
  void release(size_t mark) { used_ = mark; }

 private:
  Device* device_ = nullptr;
  uint8_t* base_ = nullptr;
  size_t capacity_ = 0;
  size_t used_ = 0;
  size_t peak_ = 0;
};

// Gives back, at the end of its scope, whatever was allocated since its start.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  size_t mark_;
};

}  // namespace valora
