// The emulation's counts on kernels whose traffic is known by hand.
//
// Seen failing: visits of a line not told apart; broadcasts counted as conflicts; 16-byte
// accesses served a warp at a time; sectors of dirty lines never written back.
#include <vector>

#include "support/emulated_kernel.h"

namespace valora::test {
namespace {

using namespace cuda;

// Device memory starts on multiples of 256 bytes.
struct alignas(256) Numbers {
  float at[32 * 1024];
};

void copy_kernel(Global<float> out, Global<const float> in, int stride, int offset) {
  store(out + thread_number(), load(in + (thread_number() * stride + offset)));
}

TEST(EmulationCounters, SectorsTellCoalescedRequestsFromScatteredOnes) {
  Numbers in{}, out;
  const auto reads = [&](int stride, int offset) {
    return run_kernel(copy_kernel, {}, 1, 64, 0, out.at, in.at, stride, offset).counters.read;
  };
  const emulation::GlobalCount dense = reads(1, 0);
  EXPECT_EQ(dense.requests, 2);
  EXPECT_EQ(dense.bytes, 64 * 4);
  EXPECT_EQ(dense.sectors, 8);
  EXPECT_EQ(dense.wasted_sectors, 0);
  EXPECT_EQ(reads(1, 1).sectors, 10);  // 128 bytes across five sectors, twice
  EXPECT_EQ(reads(8, 0).sectors, 64);  // a sector a lane
  EXPECT_EQ(reads(8, 0).wasted_sectors, 56);
  const emulation::GlobalCount one = reads(0, 3);  // all lanes the same word
  EXPECT_EQ(one.sectors, 2);
  EXPECT_EQ(one.bytes, 8);
}

// Lanes that leave a loop early keep the others' visits together.
void ragged_kernel(Global<const float> in) {
  for (int i = 0; i <= thread_number() % 4; ++i) load(in + (i * 32 + thread_number()));
}

TEST(EmulationCounters, VisitsOfALineAreOneRequestAWarp) {
  Numbers in{};
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    EXPECT_EQ(run_kernel(ragged_kernel, {.seed = seed}, 1, 32, 0, in.at).counters.read.requests, 4);
  }
}

void twice_kernel(Global<float> out, Global<const float> in, int count) {
  float sum = 0;
  for (int round = 0; round < 2; ++round) {
    for (int i = thread_number(); i < count; i += 128) sum += load(in + i);
  }
  for (int i = thread_number(); i < count; i += 128) store(out + i, sum);
}

TEST(EmulationCounters, TheDevicesMemorySeesWhatTheCacheCannotKeep) {
  Numbers in{}, out;
  const auto moved = [&](int64_t l2_bytes) {
    return run_kernel(twice_kernel, {.l2_bytes = l2_bytes}, 1, 128, 0, out.at, in.at, 4096)
        .counters;
  };
  EXPECT_EQ(moved(1 << 20).memory_read_bytes, 4096 * 4);
  EXPECT_EQ(moved(1 << 20).memory_written_bytes, 4096 * 4);
  EXPECT_EQ(moved(1 << 11).memory_read_bytes, 2 * 4096 * 4);
  EXPECT_EQ(moved(1 << 11).memory_written_bytes, 4096 * 4);
  EXPECT_EQ(moved(1 << 20).read.bytes, 2 * 4096 * 4);
}

template <typename V>
void banks_kernel(int stride) {
  V value{};
  store_as(dynamic_shared<float>() + thread_number() * stride, value);
}

TEST(EmulationCounters, BankConflictsAreTurnsBeyondTheWidths) {
  const auto conflicts = [](auto kernel, int stride) {
    return run_kernel(kernel, {}, 1, 32, 32 << 10, stride).counters.bank_conflicts();
  };
  EXPECT_EQ(conflicts(banks_kernel<float>, 1), 0);
  EXPECT_EQ(conflicts(banks_kernel<float>, 2), 1);
  EXPECT_EQ(conflicts(banks_kernel<float>, 32), 31);
  EXPECT_EQ(conflicts(banks_kernel<float>, 33), 0);
  EXPECT_EQ(conflicts(banks_kernel<float2>, 2), 0);
  EXPECT_EQ(conflicts(banks_kernel<float2>, 4), 2);
  EXPECT_EQ(conflicts(banks_kernel<float4>, 4), 0);
  EXPECT_EQ(conflicts(banks_kernel<float4>, 32), 28);
}

void broadcast_kernel(int stride) {
  const Shared<float> numbers = dynamic_shared<float>();
  for (int i = thread_number(); i < 1024; i += 32) store(numbers + i, 0.0f);
  __syncwarp();
  load(numbers + thread_number() * stride);
}

TEST(EmulationCounters, LanesThatReadOneWordShareIt) {
  EXPECT_EQ(run_kernel(broadcast_kernel, {}, 1, 32, 4096, 0).counters.shared_read.conflicts, 0);
  EXPECT_EQ(run_kernel(broadcast_kernel, {}, 1, 32, 4096, 16).counters.shared_read.conflicts, 15);
}

// Rows of a 64-byte pitch, plain and with the swizzle of cuda/linear.cu.
template <bool kSwizzled>
void matrix_kernel() {
  const Shared<__half> tile = dynamic_shared<__half>();
  for (int i = thread_number(); i < 1024; i += 32) store(tile + i, {0});
  __syncwarp();
  uint32_t registers[4];
  const int row = thread_number() % 16, chunk = thread_number() / 16;
  const int place = kSwizzled ? chunk ^ (row >> 1 & 3) : chunk;
  ldmatrix<4, false>(registers, tile + (row * 32 + place * 8));
}

TEST(EmulationCounters, LdmatrixConflictsWhereRowsShareBanks) {
  EXPECT_EQ(run_kernel(matrix_kernel<false>, {}, 1, 32, 2048).counters.shared_read.conflicts, 12);
  EXPECT_EQ(run_kernel(matrix_kernel<true>, {}, 1, 32, 2048).counters.shared_read.conflicts, 0);
}

void mixed_kernel() {
  __syncthreads();
  __syncwarp();
  __shfl_xor_sync(kAllLanes, 1, 1);
  __syncthreads();
}

TEST(EmulationCounters, BarriersCountOnceABlockAndShufflesOnceAWarp) {
  const emulation::Counters counters = run_kernel(mixed_kernel, {}, 3, 64, 0).counters;
  EXPECT_EQ(counters.block_barriers, 6);
  EXPECT_EQ(counters.warp_barriers, 6);
  EXPECT_EQ(counters.shuffles, 6);
}

TEST(EmulationCounters, LinesNameTheirPlace) {
  Numbers in{}, out;
  const auto record = run_kernel(copy_kernel, {}, 1, 32, 0, out.at, in.at, 8, 0);
  ASSERT_EQ(record.lines.size(), 2u);
  for (const emulation::LineCount& line : record.lines) {
    EXPECT_EQ(line.where.rfind("emulation_counters_test.cc:", 0), 0u) << line.where;
    EXPECT_EQ(line.wasted_sectors, line.where.ends_with("global read") ? 28 : 0) << line.where;
  }
}

}  // namespace
}  // namespace valora::test
