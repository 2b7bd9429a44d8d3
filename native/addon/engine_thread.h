// EngineThread: the one thread that a model lives on, and the queue of its work. JavaScript's
// thread submits tasks and gets promises; the engine thread runs them in order; a thread-safe
// function rings JavaScript's thread, which settles them.
//
// Lifetime: whoever may still need the engine holds a shared_ptr to it, and every task that waits
// or runs is one of those; so a model that JavaScript has forgotten lives until its last promise is
// settled. All these pointers live and die on JavaScript's thread. Node may end first
// (process.exit, a worker's terminate): then a clean-up hook or, where Node runs none, an exit
// handler cancels the work in hand and joins the thread before anything it could touch is gone.
#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "model/model.h"
#include "model/trainer.h"

namespace valora::addon {

// Set by JavaScript's thread, read by the engine's.
using Cancel = std::shared_ptr<std::atomic<bool>>;
inline Cancel make_cancel() { return std::make_shared<std::atomic<bool>>(false); }

// What only the engine thread touches (plan() excepted, see Model). Trainers go before their model.
struct EngineState {
  std::unique_ptr<Model> model;
  std::map<int32_t, std::unique_ptr<Trainer>> trainers;
  int32_t last_trainer = 0;

  Trainer& trainer(int32_t id) const;
};

class EngineThread;

// A JavaScript function that hears of a task's progress. Reports that it has not yet heard of
// become one. What it throws cancels the task and is what the task's promise rejects with.
class Progress {
 public:
  explicit Progress(Napi::Function function) : function_(Napi::Persistent(function)) {}

 private:
  friend class EngineThread;
  Napi::FunctionReference function_;
  Cancel cancel_;
  std::exception_ptr failure_;
  std::atomic<int64_t> value_{0};
  std::atomic<bool> ringing_{false};
};

// One piece of work: run() on the engine thread, then settle() on JavaScript's.
class Task {
 public:
  virtual ~Task() = default;
  virtual void run(EngineState& state) = 0;
  virtual Napi::Value result(Napi::Env env) = 0;

 private:
  friend class EngineThread;
  std::shared_ptr<EngineThread> engine_;             // keeps it alive while this is under way
  std::optional<Napi::Promise::Deferred> deferred_;  // none: nobody waits for it
  Cancel cancel_;
  std::shared_ptr<Progress> progress_;
  bool refused_ = false;  // disposed of before its turn came
  std::exception_ptr failure_;
};

class EngineThread : public std::enable_shared_from_this<EngineThread> {
 public:
  static std::shared_ptr<EngineThread> start(Napi::Env env);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // Queues work(EngineState&) -> R and promises convert(Napi::Env, R&). `cancel` is what the work
  // watches; it is also set when the engine is disposed of or Node ends.
  template <typename Work, typename Convert>
  Napi::Promise submit(Napi::Env env, Work work, Convert convert, Cancel cancel = make_cancel(),
                       std::shared_ptr<Progress> progress = nullptr) {
    if (disposed_) return refuse(env);
    return enqueue(env,
                   std::make_unique<TaskOf<Work, Convert>>(std::move(work), std::move(convert)),
                   std::move(cancel), std::move(progress));
  }

  // Queues work that nobody waits for: it neither keeps the engine nor the event loop alive.
  void post(std::function<void(EngineState&)> work);

  // From the engine thread: tell `progress` of `value`.
  void report(const std::shared_ptr<Progress>& progress, int64_t value);

  // Cancels the work in hand, refuses what waits, frees the model; the promise resolves after that.
  Napi::Promise dispose(Napi::Env env);
  bool disposed() const { return disposed_; }

  // The model, for what may run beside the engine's work; throws Error{kDisposed}.
  const Model& model() const;

 private:
  template <typename Work, typename Convert>
  class TaskOf : public Task {
   public:
    TaskOf(Work work, Convert convert) : work_(std::move(work)), convert_(std::move(convert)) {}
    void run(EngineState& state) override { outcome_.emplace(work_(state)); }
    Napi::Value result(Napi::Env env) override { return convert_(env, *outcome_); }

   private:
    Work work_;
    Convert convert_;
    std::optional<decltype(std::declval<Work&>()(std::declval<EngineState&>()))> outcome_;
  };
  class Posted;
  class Registry;

  // What the thread-safe function points at: it may ring once more after the engine is gone.
  struct Doorbell {
    EngineThread* engine;
  };
  static void on_ring(Napi::Env env, Napi::Function, Doorbell* doorbell, void*);
  using Ringer = Napi::TypedThreadSafeFunction<Doorbell, void, &EngineThread::on_ring>;

  explicit EngineThread(Napi::Env env);
  Napi::Promise refuse(Napi::Env env);
  Napi::Promise enqueue(Napi::Env env, std::unique_ptr<Task> task, Cancel cancel,
                        std::shared_ptr<Progress> progress);
  void push(std::unique_ptr<Task> task);
  void work();
  void run(Task& task);
  void ring();
  void drain(Napi::Env env);
  void settle(Napi::Env env, Task& task);
  void join();
  static void on_environment_end(void* engine);

  // JavaScript's thread.
  Napi::Env env_;
  Doorbell* doorbell_;  // owned by ringer_'s finaliser
  Ringer ringer_;
  int64_t pending_ = 0;  // promises not settled
  bool disposed_ = false;
  bool environment_ended_ = false;

  // Both threads, under mutex_.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Task>> waiting_;
  std::deque<std::unique_ptr<Task>> finished_;
  std::deque<std::shared_ptr<Progress>> progress_;
  Cancel in_hand_;
  bool stop_ = false;
  bool ringing_ = false;

  EngineState state_;  // the engine thread
  std::thread thread_;
};

}  // namespace valora::addon
