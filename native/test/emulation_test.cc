// The emulated device on small kernels that are right, and on the same ones broken: each mistake is
// caught in every order, and what is right passes in every order.
//
// Seen failing: block barriers that order nothing; warps taken for ordered without one; __syncwarp
// that joins no clocks; writes not checked against reads; masks not compared; the lanes of a warp
// run in ascending order.
#include <set>
#include <vector>

#include "support/emulated_kernel.h"

namespace valora::test {
namespace {

using namespace cuda;

// Each thread writes its number and reads its neighbour's in the next warp.
template <bool kBarrier>
void neighbour_kernel(Global<int> out) {
  const Shared<int> numbers = dynamic_shared<int>();
  const int n = static_cast<int>(blockDim.x);
  store(numbers + thread_number(), thread_number());
  if constexpr (kBarrier) __syncthreads();
  store(out + thread_number(), load(numbers + (thread_number() + kWarp) % n));
}

TEST(Emulation, AMissingBlockBarrierIsARace) {
  std::vector<int> out(128);
  expect_clean(neighbour_kernel<true>, 128, 128 * 4, out.data());
  for (int i = 0; i < 128; ++i) EXPECT_EQ(out[i], (i + 32) % 128);
  // Which of the two comes first is the order's choice; one word or the other says it.
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    EXPECT_THROW(run_kernel(neighbour_kernel<false>, {.seed = seed}, 1, 128, 128 * 4, out.data()),
                 emulation::EmulationError);
  }
}

// The barrier that a buffer used twice needs before its second use.
template <bool kBarrier>
void reuse_kernel(Global<int> out) {
  const Shared<int> numbers = dynamic_shared<int>();
  const int n = static_cast<int>(blockDim.x), other = n - 1 - thread_number();
  int sum = 0;
  for (int round = 0; round < 2; ++round) {
    store(numbers + thread_number(), round);
    __syncthreads();
    sum += load(numbers + other);
    if constexpr (kBarrier) __syncthreads();
  }
  store(out + thread_number(), sum);
}

TEST(Emulation, AMissingBarrierBeforeABufferIsUsedAgainIsARace) {
  std::vector<int> out(64);
  expect_clean(reuse_kernel<true>, 64, 64 * 4, out.data());
  EXPECT_EQ(out, std::vector<int>(64, 1));
  expect_caught("race: ", reuse_kernel<false>, 64, 64 * 4, out.data());
}

// One warp reads what the other overwrites.
void overwrite_kernel(Global<int> out) {
  const auto number = static_shared<struct Number, int, 1>();
  if (thread_number() == 0) store(number, 1);
  __syncthreads();
  if (thread_number() < kWarp) {
    store(out + thread_number(), load(number));
  } else if (thread_number() == kWarp) {
    store(number, 2);
  }
}

TEST(Emulation, ARaceIsOneWhicheverOfReadAndWriteComesFirst) {
  std::vector<int> out(32);
  std::set<std::string> kinds;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    try {
      run_kernel(overwrite_kernel, {.seed = seed}, 1, 64, 0, out.data());
      kinds.insert("nothing");
    } catch (const emulation::EmulationError& error) {
      const std::string what = error.what();
      kinds.insert(what.find("thread 32 writes") != std::string::npos  ? "write after read"
                   : what.find("thread 32 wrote") != std::string::npos ? "read after write"
                                                                       : what);
    }
  }
  EXPECT_EQ(kinds, (std::set<std::string>{"read after write", "write after read"}));
}

template <bool kBarrier, unsigned kMask = kAllLanes>
void lanes_kernel(Global<int> out) {
  const Shared<int> numbers = dynamic_shared<int>();
  store(numbers + thread_number(), thread_number());
  if constexpr (kBarrier) {
    if ((kMask >> thread_number() & 1) != 0) __syncwarp(kMask);
  }
  store(out + thread_number(), load(numbers + (thread_number() ^ 1)));
}

TEST(Emulation, AMissingWarpBarrierIsARace) {
  std::vector<int> out(32);
  expect_clean(lanes_kernel<true>, 32, 32 * 4, out.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i ^ 1);
  // Read too early it is unwritten, too late it races with the write: the order says which.
  expect_caught("of shared memory", lanes_kernel<false>, 32, 32 * 4, out.data());
}

TEST(Emulation, AWarpBarrierOrdersOnlyTheLanesOfItsMask) {
  std::vector<int> out(32);
  expect_caught("of shared memory", lanes_kernel<true, 0x0000ffff>, 32, 32 * 4, out.data());
}

// A shuffle between a write and a read is no barrier.
void shuffle_is_no_barrier_kernel(Global<int> out) {
  const Shared<int> numbers = dynamic_shared<int>();
  store(numbers + thread_number(), thread_number());
  const int sum = __shfl_xor_sync(kAllLanes, thread_number(), 1);
  store(out + thread_number(), sum + load(numbers + (thread_number() ^ 1)));
}

TEST(Emulation, AShuffleOrdersNoMemory) {
  std::vector<int> out(32);
  expect_caught("race: ", shuffle_is_no_barrier_kernel, 32, 32 * 4, out.data());
}

// Global memory has no shadow: there a race shows as different results in different orders.
void global_race_kernel(Global<int> last) { store(last, thread_number()); }

TEST(Emulation, OrdersOfLanesAndWarpsAndBlocksDifferBetweenSeeds) {
  std::set<int> lanes, blocks;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    int last = -1;
    run_kernel(global_race_kernel, {.seed = seed}, 1, 128, 0, &last);
    lanes.insert(last);
    run_kernel(
        +[](Global<int> p) { store(p, static_cast<int>(blockIdx.x)); }, {.seed = seed}, 16, 1, 0,
        &last);
    blocks.insert(last);
  }
  EXPECT_GE(lanes.size(), 8u);
  EXPECT_GE(blocks.size(), 5u);
}

void index_kernel(int index) { store(dynamic_shared<float>() + index, 1.0f); }

TEST(Emulation, AnIndexOutsideSharedMemoryIsCaught) {
  expect_clean(index_kernel, 1, 40, 9);
  expect_caught("outside shared memory", index_kernel, 1, 40, 10);
  expect_caught("outside shared memory", index_kernel, 1, 40, -1);
}

void static_index_kernel(int index) {
  const auto first = static_shared<struct First, float, 4>();
  static_shared<struct Second, float, 4>();
  store(first + index, 1.0f);
}

TEST(Emulation, AnIndexOutsideAStaticArrayIsCaughtThoughAnotherArrayFollows) {
  expect_clean(static_index_kernel, 1, 0, 3);
  expect_caught("outside shared memory", static_index_kernel, 1, 0, 4);
}

void sized_kernel() { dynamic_shared<float, 36>(); }

TEST(Emulation, ALaunchWithOtherSharedMemoryThanTheKernelSaysIsCaught) {
  expect_clean(sized_kernel, 1, 36);
  expect_caught("where the kernel says 36", sized_kernel, 1, 40);
  expect_caught("where the kernel says 36", sized_kernel, 1, 32);
}

void unwritten_kernel(Global<float> out) {
  const Shared<float> numbers = dynamic_shared<float>();
  if (thread_number() != 7) store(numbers + thread_number(), 1.0f);
  __syncthreads();
  store(out + thread_number(), load(numbers + thread_number()));
}

TEST(Emulation, AReadOfUnwrittenSharedMemoryIsCaught) {
  std::vector<float> out(32);
  expect_caught("thread 7 reads byte 28 of shared memory, which nothing has written",
                unwritten_kernel, 32, 32 * 4, out.data());
}

// Written by the block before: another block's memory is new.
void stale_kernel(Global<float> out) {
  const auto one = static_shared<struct Stale, float, 1>();
  if (blockIdx.x == 0) store(one, 1.0f);
  store(out + blockIdx.x, load(one));
}

TEST(Emulation, SharedMemoryIsNotKeptFromBlockToBlock) {
  std::vector<float> out(2);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    EXPECT_THROW(run_kernel(stale_kernel, {.seed = seed}, 2, 1, 0, out.data()),
                 emulation::EmulationError);
  }
}

void global_vector_kernel(Global<float> p, int offset) {
  store_as(p + offset, make_float4(1, 2, 3, 4));
}
void shared_vector_kernel(int offset) {
  store_as(dynamic_shared<float>() + offset, make_float2(1, 2));
}

TEST(Emulation, MisalignedVectorsAreCaught) {
  alignas(16) float numbers[8] = {};
  expect_clean(global_vector_kernel, 1, 0, numbers, 4);
  EXPECT_EQ(numbers[7], 4);
  expect_caught("misaligned: 16 bytes of global memory", global_vector_kernel, 1, 0, numbers, 2);
  expect_clean(shared_vector_kernel, 1, 32, 2);
  expect_caught("misaligned: 8 bytes", shared_vector_kernel, 1, 32, 1);
}

void xor_sum_kernel(Global<int> out) {
  int sum = thread_number();
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bits);
  store(out + thread_number(), sum);
}

TEST(Emulation, ShufflesMoveWhatCudaSaysTheyMove) {
  std::vector<int> out(64);
  expect_clean(xor_sum_kernel, 64, 0, out.data());
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], i < 32 ? 496 : 496 + 32 * 32);
  expect_clean(
      +[](Global<int> p) {
        store(p + thread_number(), __shfl_down_sync(kAllLanes, thread_number(), 3));
      },
      32, 0, out.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i + 3 < 32 ? i + 3 : i);
  expect_clean(
      +[](Global<int> p) {
        store(p + thread_number(), __shfl_up_sync(kAllLanes, thread_number(), 3));
      },
      32, 0, out.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i >= 3 ? i - 3 : i);
  expect_clean(
      +[](Global<int> p) {
        store(p + thread_number(), __shfl_sync(kAllLanes, thread_number(), thread_number() * 5));
      },
      32, 0, out.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i * 5 % 32);
}

TEST(Emulation, VotesCountTheLanesOfTheirMask) {
  std::vector<unsigned> out(32);
  expect_clean(
      +[](Global<unsigned> p) {
        unsigned result = 99;
        if (thread_number() < 16) {
          result = __ballot_sync(0x0000ffff, thread_number() % 3 == 0);
        } else {
          result = static_cast<unsigned>(__all_sync(0xffff0000, thread_number() > 15)) * 2 +
                   static_cast<unsigned>(__any_sync(0xffff0000, thread_number() > 31));
        }
        store(p + thread_number(), result);
      },
      32, 0, out.data());
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i < 16 ? 0x9249u : 2u);
}

void half_warp_kernel(unsigned mask) {
  if (thread_number() < 16) __shfl_xor_sync(mask, 1, 8);
}
void asks_outside_kernel(unsigned mask) {
  if (thread_number() < 16) __shfl_xor_sync(mask, 1, 16);
}
void different_masks_kernel() {
  __shfl_xor_sync(thread_number() == 5 ? 0x0000ffffu : kAllLanes, 1, 1);
}

TEST(Emulation, WrongShuffleMasksAreCaught) {
  expect_clean(half_warp_kernel, 32, 0, 0x0000ffffu);
  expect_caught("but lane 31 has returned", half_warp_kernel, 32, 0, kAllLanes);
  expect_caught("lacks the lane itself", half_warp_kernel, 32, 0, 0x000000ffu);
  expect_caught("which is not in its mask", asks_outside_kernel, 32, 0, 0x0000ffffu);
  expect_caught("with mask", different_masks_kernel, 32, 0);
}

void early_return_kernel() {
  if (thread_number() >= 32) return;
  __syncthreads();
}
void two_barriers_kernel() {
  if (thread_number() < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
void divergent_kernel() {
  if (thread_number() < 16) {
    __syncthreads();
  } else {
    __syncwarp(kAllLanes);
  }
}

TEST(Emulation, BarriersThatNotAllThreadsReachAreCaught) {
  expect_caught("has returned", early_return_kernel, 64, 0);
  expect_caught("different barriers", two_barriers_kernel, 64, 0);
  expect_caught("waits at the block's barrier", divergent_kernel, 32, 0);
}

template <bool kAtomic>
void count_kernel(Global<int> out) {
  const auto count = static_shared<struct Count, int, 1>();
  if (thread_number() == 0) store(count, 0);
  __syncthreads();
  if constexpr (kAtomic) {
    atomic_add(count, 1);
  } else {
    store(count, load(count) + 1);
  }
  __syncthreads();
  if (thread_number() == 0) atomic_add(out, load(count));
}

TEST(Emulation, AtomicsMeetWithoutABarrierAndPlainAccessesDoNot) {
  int out = 0;
  expect_clean(count_kernel<true>, 96, 0, &out);
  EXPECT_EQ(out, 96 * kSeeds);
  expect_caught("race: ", count_kernel<false>, 96, 0, &out);
}

TEST(Emulation, MoreSharedMemoryOrThreadsThanEveryDeviceHasAreRefused) {
  expect_caught("101377 bytes of shared memory", index_kernel, 1, (99 << 10) + 1, 0);
  expect_caught("a block of 1025 threads", index_kernel, 1025, 4, 0);
}

TEST(Emulation, CoordinatesAreThoseOfTheGrid) {
  std::vector<int> seen(2 * 3 * 4 * 2, 0);
  run_kernel(
      +[](Global<int> p) {
        const unsigned block = (blockIdx.y * gridDim.x + blockIdx.x);
        const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
        atomic_add(p + (block * 8 + thread), 1);
      },
      {}, dim3(2, 3), dim3(2, 2, 2), 0, seen.data());
  EXPECT_EQ(seen, std::vector<int>(48, 1));
}

TEST(Emulation, WhatAKernelThrowsReachesTheCallerAndTheNextLaunchRuns) {
  EXPECT_THROW(run_kernel(
                   +[](int) {
                     __syncthreads();
                     if (thread_number() == 3) throw std::runtime_error("from a thread");
                     __syncthreads();
                   },
                   {}, 1, 64, 0, 0),
               std::runtime_error);
  std::vector<int> out(64);
  expect_clean(xor_sum_kernel, 64, 0, out.data());
}

}  // namespace
}  // namespace valora::test
