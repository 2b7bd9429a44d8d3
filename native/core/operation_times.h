// OperationTimes: how long the operations of a model's jobs take, and how much of that time its
// threads are at work. What a benchmark asks for; nothing is measured where nobody asked.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/thread_pool.h"

namespace valora {

struct OperationTime {
  std::string operation;
  int64_t calls = 0;
  double seconds = 0;
  double busy_seconds = 0;  // of all threads together, in iterations of the pool's loops
};

class OperationTimes {
 public:
  using Clock = std::chrono::steady_clock;

  void add(const char* operation, double seconds, double busy_seconds) {
    OperationTime& time = find(operation);
    ++time.calls;
    time.seconds += seconds;
    time.busy_seconds += busy_seconds;
  }

  // In the order in which they were first called; counting begins anew.
  std::vector<OperationTime> take() { return std::exchange(times_, {}); }

 private:
  OperationTime& find(const char* operation) {
    for (OperationTime& time : times_) {
      if (time.operation == operation) return time;
    }
    return times_.emplace_back(OperationTime{operation});
  }

  std::vector<OperationTime> times_;
};

// Adds the time from its making to its end, where there are times to add to. A null pool is one
// thread, always busy.
class OperationTimer {
 public:
  OperationTimer(const char* operation, OperationTimes* times, const ThreadPool* pool)
      : operation_(operation), times_(times), pool_(pool) {
    if (times_ == nullptr) return;
    begin_ = OperationTimes::Clock::now();
    busy_ = pool_ == nullptr ? 0 : pool_->busy_seconds();
  }
  ~OperationTimer() {
    if (times_ == nullptr) return;
    const std::chrono::duration<double> taken = OperationTimes::Clock::now() - begin_;
    times_->add(operation_, taken.count(),
                pool_ == nullptr ? taken.count() : pool_->busy_seconds() - busy_);
  }
  OperationTimer(const OperationTimer&) = delete;
  OperationTimer& operator=(const OperationTimer&) = delete;

 private:
  const char* operation_;
  OperationTimes* times_;
  const ThreadPool* pool_;
  OperationTimes::Clock::time_point begin_;
  double busy_ = 0;
};

}  // namespace valora
