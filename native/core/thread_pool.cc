// ThreadPool: one open loop at a time. The caller takes iterations like any worker and, when none
// is left, closes the loop: it waits only for the workers that had joined, so a worker that a busy
// machine has not woken yet costs nothing.
#include "core/thread_pool.h"

#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"

namespace valora {

namespace {

// Looks before sleeping: 50 to 100 microseconds. To be woken takes a thread about as long, so one
// that sleeps in the gaps between a small model's operations misses most of them; longer would
// steal time from other programs where cores are shared.
constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Condition>
bool spin_until(const Condition& condition) {
  for (int i = 0; i < kSpins; ++i) {
    if (condition()) return true;
    pause();
  }
  return false;
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  if (threads < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                "a thread pool needs at least 1 thread, not " + std::to_string(threads));
  }
  workers_.reserve(static_cast<size_t>(threads - 1));
  try {
    for (int worker = 1; worker < threads; ++worker) {
      workers_.emplace_back([this, worker] { work(worker); });
    }
  } catch (const std::system_error&) {
    stop();
    throw Error(ErrorCode::kOutOfMemory,
                "the system refused to start " + std::to_string(threads) + " threads");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::run(int64_t count, Body body, void* arg) {
  if (count <= 0) return;
  const Loop loop{body, arg, count, measured_};
  if (workers_.empty() || count == 1) {
    next_.store(0, std::memory_order_relaxed);
    take(loop, 0);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    return;
  }
  bool wake;
  {
    const std::lock_guard lock(mutex_);
    loop_ = loop;
    next_.store(0, std::memory_order_relaxed);
    open_ = true;
    generation_.fetch_add(1, std::memory_order_release);
    wake = sleeping_ > 0;
  }
  if (wake) wake_.notify_all();
  take(loop, 0);

  std::unique_lock lock(mutex_);
  open_ = false;
  if (active_.load(std::memory_order_relaxed) > 0) {
    lock.unlock();
    spin_until([this] { return active_.load(std::memory_order_relaxed) == 0; });
    lock.lock();
    done_.wait(lock, [this] { return active_.load(std::memory_order_relaxed) == 0; });
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;
  const auto called = [&] {
    return stop_.load(std::memory_order_relaxed) ||
           generation_.load(std::memory_order_relaxed) != seen;
  };
  for (;;) {
    spin_until(called);
    std::unique_lock lock(mutex_);
    ++sleeping_;
    wake_.wait(lock, called);
    --sleeping_;
    if (stop_.load(std::memory_order_relaxed)) return;
    seen = generation_.load(std::memory_order_relaxed);
    if (!open_) continue;
    active_.fetch_add(1, std::memory_order_relaxed);
    const Loop loop = loop_;
    lock.unlock();

    take(loop, worker);

    lock.lock();
    if (active_.fetch_sub(1, std::memory_order_relaxed) == 1) done_.notify_one();
  }
}

void ThreadPool::take(const Loop& loop, int worker) {
  if (!loop.measured) return iterate(loop, worker);
  const auto begin = std::chrono::steady_clock::now();
  iterate(loop, worker);
  const std::chrono::nanoseconds taken = std::chrono::steady_clock::now() - begin;
  busy_nanoseconds_.fetch_add(taken.count(), std::memory_order_relaxed);
}

void ThreadPool::iterate(const Loop& loop, int worker) {
  try {
    for (;;) {
      const int64_t index = next_.fetch_add(1, std::memory_order_relaxed);
      if (index >= loop.count) return;
      loop.body(loop.arg, index, worker);
    }
  } catch (...) {
    next_.store(loop.count, std::memory_order_relaxed);
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

}  // namespace valora
