// ThreadPool: a few threads that share the iterations of one loop. Not OpenMP, so that a prebuilt
// addon loads anywhere and the thread sanitizer stays clean. Which thread runs an iteration is left
// to chance; kernels are written so that it cannot matter (threads split outputs, never sums).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace valora {

class ThreadPool {
 public:
  // `threads` in all, the caller of run() among them; at least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  using Body = void (*)(void* arg, int64_t index, int worker);
  // Calls body(arg, i, worker) once for every i in [0, count), worker in [0, threads()). Returns
  // when all are done; the first exception a body throws is thrown again here, and iterations not
  // yet begun are then left out. Not re-entrant: one run at a time, from one thread (the model's
  // engine thread).
  void run(int64_t count, Body body, void* arg);

  // From the next loop on: whether the time that threads spend in iterations is added up.
  void measure(bool measured) { measured_ = measured; }
  double busy_seconds() const { return 1e-9 * static_cast<double>(busy_nanoseconds_.load()); }

 private:
  struct Loop {
    Body body = nullptr;
    void* arg = nullptr;
    int64_t count = 0;
    bool measured = false;
  };

  void work(int worker);
  void take(const Loop& loop, int worker);
  void iterate(const Loop& loop, int worker);
  void stop();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;  // a loop opened, or stop_
  std::condition_variable done_;  // active_ fell to 0
  // Changed under mutex_; atomic where a thread also watches without it, for a moment, before
  // sleeping.
  std::atomic<uint64_t> generation_{0};  // loops opened so far
  std::atomic<int> active_{0};           // workers inside the open loop
  std::atomic<bool> stop_{false};
  bool open_ = false;  // whether workers may still join the loop
  int sleeping_ = 0;   // workers waiting on wake_
  Loop loop_;
  std::exception_ptr failure_;
  std::atomic<int64_t> next_{0};  // the next iteration to hand out
  bool measured_ = false;         // the caller of run()'s
  std::atomic<int64_t> busy_nanoseconds_{0};
};

}  // namespace valora
