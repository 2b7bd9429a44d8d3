// SharedBlock: one allocation of a block's shared memory with a shadow that knows, for every two
// bytes, whether they were written, who wrote and read them last, and whether a cp.async is on its
// way to them. So that these are found whatever the values and the schedule are:
//  * an access outside the allocation, or not aligned to its size;
//  * a read of what was never written;
//  * a read or write of what a cp.async has not delivered, or delivered without a wait;
//  * two accesses, one of them a write, that no barrier orders (Clocks below).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace valora::emulation {

// What a thread knows to have happened before. The block's barrier orders everything, and `epoch`
// counts it; within an epoch a warp's lanes are ordered by __syncwarp alone, as vector clocks tell:
// lane a's access stamped t is before lane b's once b's seen[a] >= t. (Shuffles, votes and mma
// order no memory, by CUDA's definition.)
struct Clocks {
  int thread = 0;
  uint32_t epoch = 0;
  std::array<uint32_t, 32> seen{};
  uint32_t now() const { return seen[thread % 32]; }
};

class SharedBlock {
 public:
  // Exactly `bytes` on the heap, filled with 0xff: NaN, should anything look past the shadow.
  explicit SharedBlock(size_t bytes);

  std::byte* data() { return data_.data(); }
  size_t bytes() const { return data_.size(); }
  // The place of `address` in the block; throws EmulationError where [address, +bytes) is not in it
  // or is not aligned to `bytes`.
  size_t offset_of(const std::byte* address, size_t bytes) const;

  void read(size_t offset, size_t bytes, const Clocks& by);
  void write(size_t offset, size_t bytes, const Clocks& by);
  // An atomic meets other atomics without a barrier, plain accesses not.
  void atomic(size_t offset, size_t bytes, const Clocks& by);
  // A cp.async was begun, and its wait has passed.
  void expect(size_t offset, size_t bytes, const Clocks& by);
  void deliver(size_t offset, size_t bytes, const Clocks& by);

 private:
  struct Access {
    int thread = -1;
    uint32_t epoch = 0;
    uint32_t time = 0;
  };
  struct Cell {
    bool written = false;
    bool by_atomic = false;
    int copier = -1;  // the thread whose cp.async is on its way
    Access write;
    std::vector<Access> reads;  // since the last write
  };
  static constexpr size_t kCellBytes = 2;  // the smallest number that kernels keep there

  static bool ordered(const Access& before, const Clocks& by);
  void check_no_copy(const Cell& cell, size_t place, const Clocks& by, const char* verb) const;
  void check_after_write(const Cell& cell, size_t place, const Clocks& by, const char* verb) const;
  void check_after_reads(const Cell& cell, size_t place, const Clocks& by) const;
  template <typename Action>
  void each_cell(size_t offset, size_t bytes, Action action);

  std::vector<std::byte> data_;
  std::vector<Cell> cells_;
};

}  // namespace valora::emulation
