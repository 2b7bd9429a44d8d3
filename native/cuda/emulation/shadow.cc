// The rules of shared memory, byte by byte.
#include "cuda/emulation/shadow.h"

#include "cuda/emulation/failure.h"

namespace valora::emulation {

namespace {

std::string at(size_t place) { return "byte " + std::to_string(place) + " of shared memory"; }
std::string thread_name(int thread) { return "thread " + std::to_string(thread); }

}  // namespace

SharedBlock::SharedBlock(size_t bytes)
    : data_(bytes, std::byte{0xff}), cells_((bytes + kCellBytes - 1) / kCellBytes) {}

size_t SharedBlock::offset_of(const std::byte* address, size_t bytes) const {
  const ptrdiff_t offset = address - data_.data();
  if (offset < 0 || static_cast<size_t>(offset) + bytes > data_.size()) {
    fail("outside shared memory: " + std::to_string(bytes) + " bytes at " + std::to_string(offset) +
         " of " + std::to_string(data_.size()));
  }
  if (static_cast<size_t>(offset) % bytes != 0) {
    fail("misaligned: " + std::to_string(bytes) + " bytes at " + at(static_cast<size_t>(offset)));
  }
  return static_cast<size_t>(offset);
}

bool SharedBlock::ordered(const Access& before, const Clocks& by) {
  if (before.thread < 0 || before.thread == by.thread || before.epoch != by.epoch) return true;
  if (before.thread / 32 != by.thread / 32) return false;
  return by.seen[before.thread % 32] >= before.time;
}

template <typename Action>
void SharedBlock::each_cell(size_t offset, size_t bytes, Action action) {
  for (size_t i = offset / kCellBytes; i <= (offset + bytes - 1) / kCellBytes; ++i) {
    action(cells_[i], i * kCellBytes);
  }
}

void SharedBlock::check_no_copy(const Cell& cell, size_t place, const Clocks& by,
                                const char* verb) const {
  if (cell.copier < 0) return;
  fail(thread_name(by.thread) + " " + verb + " " + at(place) + ", to which a cp.async of " +
       thread_name(cell.copier) + " is on its way: wait for it first");
}

void SharedBlock::check_after_write(const Cell& cell, size_t place, const Clocks& by,
                                    const char* verb) const {
  if (ordered(cell.write, by)) return;
  fail("race: " + thread_name(by.thread) + " " + verb + " " + at(place) + ", which " +
       thread_name(cell.write.thread) + " wrote with no barrier between them");
}

void SharedBlock::check_after_reads(const Cell& cell, size_t place, const Clocks& by) const {
  for (const Access& read : cell.reads) {
    if (ordered(read, by)) continue;
    fail("race: " + thread_name(by.thread) + " writes " + at(place) + ", which " +
         thread_name(read.thread) + " read with no barrier between them");
  }
}

void SharedBlock::read(size_t offset, size_t bytes, const Clocks& by) {
  each_cell(offset, bytes, [&](Cell& cell, size_t place) {
    check_no_copy(cell, place, by, "reads");
    if (!cell.written) {
      fail(thread_name(by.thread) + " reads " + at(place) + ", which nothing has written");
    }
    check_after_write(cell, place, by, "reads");
    if (!cell.reads.empty() && cell.reads.back().epoch != by.epoch) cell.reads.clear();
    if (cell.reads.empty() || cell.reads.back().thread != by.thread) cell.reads.emplace_back();
    cell.reads.back() = {by.thread, by.epoch, by.now()};
  });
}

void SharedBlock::write(size_t offset, size_t bytes, const Clocks& by) {
  each_cell(offset, bytes, [&](Cell& cell, size_t place) {
    check_no_copy(cell, place, by, "writes");
    check_after_write(cell, place, by, "writes");
    check_after_reads(cell, place, by);
    cell.written = true;
    cell.by_atomic = false;
    cell.write = {by.thread, by.epoch, by.now()};
    cell.reads.clear();
  });
}

void SharedBlock::atomic(size_t offset, size_t bytes, const Clocks& by) {
  each_cell(offset, bytes, [&](Cell& cell, size_t place) {
    check_no_copy(cell, place, by, "updates");
    if (!cell.written) {
      fail(thread_name(by.thread) + " updates " + at(place) + ", which nothing has written");
    }
    if (!cell.by_atomic) check_after_write(cell, place, by, "updates");
    check_after_reads(cell, place, by);
    cell.by_atomic = true;
    cell.write = {by.thread, by.epoch, by.now()};
    cell.reads.clear();
  });
}

void SharedBlock::expect(size_t offset, size_t bytes, const Clocks& by) {
  each_cell(offset, bytes, [&](Cell& cell, size_t place) {
    check_no_copy(cell, place, by, "copies to");
    check_after_write(cell, place, by, "copies to");
    check_after_reads(cell, place, by);
    cell.copier = by.thread;
    cell.reads.clear();
  });
}

void SharedBlock::deliver(size_t offset, size_t bytes, const Clocks& by) {
  each_cell(offset, bytes, [&](Cell& cell, size_t) {
    cell.copier = -1;
    cell.written = true;
    cell.by_atomic = false;
    cell.write = {by.thread, by.epoch, by.now()};
  });
}

}  // namespace valora::emulation
