// Arena: alignment, limits, scopes, and that counting counts what allocating takes.
#include "core/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/error.h"

namespace valora {
namespace {

ErrorCode code_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

TEST(Arena, HandsOutAlignedMemoryThatDoesNotOverlap) {
  Arena arena(4096);
  auto* a = static_cast<uint8_t*>(arena.allocate(1));
  auto* b = static_cast<uint8_t*>(arena.allocate(65));
  auto* c = static_cast<uint8_t*>(arena.allocate(64));
  for (const void* p : {a, b, c}) EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u);
  EXPECT_EQ(b - a, 64);
  EXPECT_EQ(c - b, 128);
  std::memset(a, 1, 64 + 128 + 64);  // a sanitizer would object
}

TEST(Arena, GivesAllItsCapacityAndNotAByteMore) {
  Arena arena(256);
  arena.allocate(256);
  EXPECT_EQ(arena.used(), 256u);
  arena.allocate(0);
  EXPECT_EQ(code_of([&] { arena.allocate(1); }), ErrorCode::kOutOfMemory);
  Arena odd(100);
  EXPECT_EQ(code_of([&] { odd.allocate(101); }), ErrorCode::kOutOfMemory);
  EXPECT_EQ(code_of([&] { odd.allocate(100); }), ErrorCode::kOutOfMemory);  // rounds up to 128
  odd.allocate(64);
}

TEST(Arena, RefusesSizesThatWouldWrapAround) {
  for (Arena* arena : {new Arena(256), new Arena()}) {
    arena->allocate(64);
    const size_t most = std::numeric_limits<size_t>::max();
    for (const size_t bytes : {most, most - 1, most - 63, most - 64, most / 2 + 1}) {
      EXPECT_EQ(code_of([&] { arena->allocate(bytes); }), ErrorCode::kOutOfMemory);
    }
    EXPECT_EQ(code_of([&] { arena->matrix(int64_t{1} << 40, int64_t{1} << 40); }),
              ErrorCode::kInvalidArgument);
    EXPECT_EQ(code_of([&] { arena->matrix(-1, 4); }), ErrorCode::kInvalidArgument);
    EXPECT_EQ(arena->used(), 64u);
    delete arena;
  }
}

TEST(Arena, SaysSoWhenTheSystemHasNotGotTheMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's allocator stops the program instead";
#endif
  EXPECT_EQ(code_of([] { Arena arena(size_t{1} << 60); }), ErrorCode::kOutOfMemory);
}

TEST(Arena, ScopesGiveBackWhatTheyTookAndThePeakRemembers) {
  Arena arena(1024);
  arena.allocate(64);
  {
    const ArenaScope scope(arena);
    arena.allocate(512);
    EXPECT_EQ(arena.used(), 576u);
  }
  EXPECT_EQ(arena.used(), 64u);
  EXPECT_EQ(arena.peak(), 576u);
  arena.reset_peak();
  EXPECT_EQ(arena.peak(), 64u);
}

TEST(Arena, CountingPredictsWhatAllocatingNeeds) {
  const auto work = [](Arena& arena) {
    arena.matrix(3, 5);
    const ArenaScope scope(arena);
    arena.matrix(17, 31);
    arena.allocate(1);
  };
  Arena counting;
  EXPECT_TRUE(counting.counting());
  work(counting);
  Arena real(counting.peak());
  EXPECT_FALSE(real.counting());
  work(real);
  EXPECT_EQ(real.peak(), counting.peak());
  Arena small(counting.peak() - 64);
  EXPECT_EQ(code_of([&] { work(small); }), ErrorCode::kOutOfMemory);
}

TEST(Arena, MatrixIsContiguous) {
  Arena arena(4096);
  const View view = arena.matrix(3, 5);
  EXPECT_EQ(view.rows, 3);
  EXPECT_EQ(view.cols, 5);
  EXPECT_EQ(view.stride, 5);
  EXPECT_EQ(view.row(2) - view.row(0), 10);
  EXPECT_TRUE(arena.matrix(0, 5).empty());
}

}  // namespace
}  // namespace valora
