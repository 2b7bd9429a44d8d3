// ThreadPool: every iteration once, on threads made once, with exceptions handed back.
#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/context.h"

namespace valora {
namespace {

// Runs `body` through parallel_for, the way every kernel does.
template <typename Body>
void loop(ThreadPool& pool, int64_t count, const Body& body) {
  Context context;
  context.pool = &pool;
  parallel_for(context, count, body);
}

TEST(ThreadPool, CallsEveryIterationOnceWhateverTheThreadsAndTheCount) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    for (const int64_t count : {0, 1, 2, 7, 1000}) {
      std::vector<int> calls(static_cast<size_t>(count), 0);  // each written by one thread only
      loop(pool, count, [&](int64_t i, int worker) {
        ASSERT_GE(worker, 0);
        ASSERT_LT(worker, threads);
        ++calls[static_cast<size_t>(i)];
      });
      for (const int n : calls) ASSERT_EQ(n, 1);
    }
  }
}

TEST(ThreadPool, WhatALoopWroteIsSeenByTheNextOneAndByTheCaller) {
  ThreadPool pool(4);
  std::vector<int64_t> a(64, 0), b(64, 0);
  for (int round = 0; round < 2000; ++round) {
    loop(pool, 64, [&](int64_t i, int) { a[static_cast<size_t>(i)] += 1; });
    loop(pool, 64,
         [&](int64_t i, int) { b[static_cast<size_t>(i)] += a[static_cast<size_t>(63 - i)]; });
  }
  EXPECT_EQ(std::accumulate(a.begin(), a.end(), int64_t{0}), 64 * 2000);
  EXPECT_EQ(std::accumulate(b.begin(), b.end(), int64_t{0}), 64 * (2000 * 2001 / 2));
}

TEST(ThreadPool, AddsUpTheTimeThatThreadsSpendInIterationsWhereItIsMeasured) {
  const auto sleep = [](int64_t, int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    loop(pool, 6, sleep);
    EXPECT_EQ(pool.busy_seconds(), 0);
    pool.measure(true);
    loop(pool, 6, sleep);
    const double busy = pool.busy_seconds();
    EXPECT_GE(busy, 0.030);
    loop(pool, 1, sleep);
    EXPECT_GE(pool.busy_seconds(), busy + 0.005);
  }
}

TEST(ThreadPool, WakesWorkersThatHaveGoneToSleep) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    // Three iterations that wait for each other need three threads.
    std::atomic<int> arrived{0};
    loop(pool, 3, [&](int64_t, int) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
    });
    EXPECT_EQ(arrived, 3);
  }
}

TEST(ThreadPool, UsesTheSameThreadsForEveryLoop) {
  ThreadPool pool(3);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  for (int round = 0; round < 200; ++round) {
    loop(pool, 16, [&](int64_t, int) {
      const std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
    });
  }
  EXPECT_LE(ids.size(), 3u);
}

TEST(ThreadPool, NoTwoIterationsRunUnderOneWorkerNumberAtOnce) {
  ThreadPool pool(4);
  std::atomic<bool> busy[4] = {};
  std::atomic<int> clashes{0};
  for (int round = 0; round < 500; ++round) {
    loop(pool, 32, [&](int64_t, int worker) {
      if (busy[worker].exchange(true)) ++clashes;
      busy[worker].store(false);
    });
  }
  EXPECT_EQ(clashes, 0);
}

TEST(ThreadPool, ThrowsAgainWhatABodyThrewAndGoesOnWorking) {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 50; ++round) {
      EXPECT_THROW(loop(pool, 100,
                        [](int64_t i, int) {
                          if (i % 10 == 3) throw std::runtime_error("body");
                        }),
                   std::runtime_error);
      std::atomic<int64_t> sum{0};
      loop(pool, 100, [&](int64_t i, int) { sum += i; });
      ASSERT_EQ(sum, 4950);
    }
  }
}

TEST(ThreadPool, LeavesOutIterationsAfterAFailure) {
  ThreadPool pool(2);
  std::atomic<int64_t> begun{0};
  EXPECT_THROW(loop(pool, 1000000,
                    [&](int64_t, int) {
                      ++begun;
                      throw std::runtime_error("body");
                    }),
               std::runtime_error);
  EXPECT_LE(begun, 2);
}

TEST(ThreadPool, RefusesFewerThanOneThread) {
  EXPECT_THROW(ThreadPool(0), Error);
  EXPECT_THROW(ThreadPool(-3), Error);
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(4);
}

}  // namespace
}  // namespace valora
