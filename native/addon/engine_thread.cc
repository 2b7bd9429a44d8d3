// EngineThread: the queue, the thread's loop, and the three ways it can end.
#include "addon/engine_thread.h"

#include <cstdlib>
#include <set>

#include "addon/values.h"

namespace valora::addon {

namespace {

constexpr char kDisposedMessage[] = "the model was disposed of";

}  // namespace

// Every engine of the process. process.exit ends the main thread without clean-up hooks, so an exit
// handler stops the threads before static data goes. Never destroyed: it must outlive every other
// static object.
class EngineThread::Registry {
 public:
  static Registry& get() {
    static auto* registry = new Registry;
    return *registry;
  }
  void add(EngineThread* engine) {
    const std::lock_guard lock(mutex_);
    engines_.insert(engine);
  }
  void remove(EngineThread* engine) {
    const std::lock_guard lock(mutex_);
    engines_.erase(engine);
  }

 private:
  Registry() {
    std::atexit([] {
      Registry& registry = get();
      const std::lock_guard lock(registry.mutex_);
      for (EngineThread* engine : registry.engines_) engine->join();
    });
  }

  std::mutex mutex_;
  std::set<EngineThread*> engines_;
};

// Work without a promise.
class EngineThread::Posted : public Task {
 public:
  explicit Posted(std::function<void(EngineState&)> work) : work_(std::move(work)) {}
  void run(EngineState& state) override { work_(state); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  std::function<void(EngineState&)> work_;
};

Trainer& EngineState::trainer(int32_t id) const {
  const auto found = trainers.find(id);
  if (found == trainers.end()) {
    throw Error(ErrorCode::kDisposed, "the trainer was disposed of");
  }
  return *found->second;
}

std::shared_ptr<EngineThread> EngineThread::start(Napi::Env env) {
  const std::shared_ptr<EngineThread> engine(new EngineThread(env));
  engine->thread_ = std::thread([raw = engine.get()] { raw->work(); });
  return engine;
}

EngineThread::EngineThread(Napi::Env env)
    : env_(env),
      doorbell_(new Doorbell{this}),
      ringer_(Ringer::New(
          env, "valora engine", 0, 1, doorbell_,
          [](Napi::Env, void*, Doorbell* doorbell) { delete doorbell; },
          static_cast<void*>(nullptr))) {
  ringer_.Unref(env);
  // Hooks run newest first, so this one, which joins the thread, comes before the thread-safe
  // function's own.
  napi_add_env_cleanup_hook(env, on_environment_end, this);
  Registry::get().add(this);
}

EngineThread::~EngineThread() {
  join();
  Registry::get().remove(this);
  if (environment_ended_) return;  // and the thread-safe function with it
  doorbell_->engine = nullptr;
  napi_remove_env_cleanup_hook(env_, on_environment_end, this);
  ringer_.Abort();
}

void EngineThread::on_environment_end(void* engine) {
  const auto self = static_cast<EngineThread*>(engine)->shared_from_this();
  self->environment_ended_ = true;
  self->join();
  self->doorbell_->engine = nullptr;
  // Their promises are never settled: nobody is left to hear.
  self->waiting_.clear();
  self->finished_.clear();
  self->progress_.clear();
}

void EngineThread::join() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    if (in_hand_) in_hand_->store(true, std::memory_order_relaxed);
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

const Model& EngineThread::model() const {
  if (disposed_) throw Error(ErrorCode::kDisposed, kDisposedMessage);
  return *state_.model;
}

void EngineThread::post(std::function<void(EngineState&)> work) {
  if (environment_ended_) return;
  push(std::make_unique<Posted>(std::move(work)));
}

Napi::Promise EngineThread::refuse(Napi::Env env) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  const std::exception_ptr disposed =
      std::make_exception_ptr(Error(ErrorCode::kDisposed, kDisposedMessage));
  deferred.Reject(make_error(env, disposed).Value());
  return deferred.Promise();
}

Napi::Promise EngineThread::enqueue(Napi::Env env, std::unique_ptr<Task> task, Cancel cancel,
                                    std::shared_ptr<Progress> progress) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  if (progress) progress->cancel_ = cancel;
  task->engine_ = shared_from_this();
  task->deferred_ = deferred;
  task->cancel_ = std::move(cancel);
  task->progress_ = std::move(progress);
  if (pending_++ == 0) ringer_.Ref(env);
  push(std::move(task));
  return deferred.Promise();
}

void EngineThread::push(std::unique_ptr<Task> task) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(task));
  }
  wake_.notify_one();
}

Napi::Promise EngineThread::dispose(Napi::Env env) {
  if (!disposed_) {
    disposed_ = true;
    const std::lock_guard lock(mutex_);
    if (in_hand_) in_hand_->store(true, std::memory_order_relaxed);
    for (const auto& task : waiting_) task->refused_ = true;
  }
  const auto free = [](EngineState& state) {
    state.trainers.clear();
    state.model.reset();
    return true;
  };
  const auto nothing = [](Napi::Env env, bool) { return env.Undefined(); };
  return enqueue(env, std::make_unique<TaskOf<decltype(free), decltype(nothing)>>(free, nothing),
                 make_cancel(), nullptr);
}

void EngineThread::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) break;
    std::unique_ptr<Task> task = std::move(waiting_.front());
    waiting_.pop_front();
    in_hand_ = task->cancel_;
    lock.unlock();

    run(*task);

    lock.lock();
    in_hand_.reset();
    finished_.push_back(std::move(task));
    ring();
  }
  state_.trainers.clear();
  state_.model.reset();
}

void EngineThread::run(Task& task) {
  try {
    if (task.refused_) throw Error(ErrorCode::kDisposed, kDisposedMessage);
    if (task.cancel_ && task.cancel_->load(std::memory_order_relaxed)) {
      throw Error(ErrorCode::kCancelled, "the work was cancelled");
    }
    task.run(state_);
  } catch (...) {
    task.failure_ = std::current_exception();
  }
}

void EngineThread::report(const std::shared_ptr<Progress>& progress, int64_t value) {
  progress->value_.store(value, std::memory_order_relaxed);
  if (progress->ringing_.exchange(true)) return;
  const std::lock_guard lock(mutex_);
  progress_.push_back(progress);
  ring();
}

// Under mutex_. One ring is enough for all that has gathered until JavaScript's thread answers it.
void EngineThread::ring() {
  if (ringing_ || stop_) return;
  ringing_ = true;
  ringer_.NonBlockingCall();
}

void EngineThread::on_ring(Napi::Env env, Napi::Function, Doorbell* doorbell, void*) {
  // Without an environment (it is ending) or an engine there is nobody to tell.
  if (static_cast<napi_env>(env) == nullptr || doorbell->engine == nullptr) return;
  try {
    doorbell->engine->drain(env);
  } catch (const Napi::Error&) {
    // A worker that is being terminated runs no JavaScript any more, not even to settle a promise;
    // its environment's end follows.
  }
}

void EngineThread::drain(Napi::Env env) {
  // The last task may hold the last pointer to this engine; `finished` goes after everything else
  // here.
  std::deque<std::unique_ptr<Task>> finished;
  std::deque<std::shared_ptr<Progress>> progress;
  {
    const std::lock_guard lock(mutex_);
    finished.swap(finished_);
    progress.swap(progress_);
    ringing_ = false;
  }
  for (const auto& item : progress) {
    item->ringing_.store(false);
    const auto value = static_cast<double>(item->value_.load(std::memory_order_relaxed));
    try {
      const Napi::HandleScope scope(env);
      item->function_.Call({Napi::Number::New(env, value)});
    } catch (const Napi::Error&) {
      if (!item->failure_) item->failure_ = std::current_exception();
      item->cancel_->store(true, std::memory_order_relaxed);
    }
  }
  for (const auto& task : finished) settle(env, *task);
}

void EngineThread::settle(Napi::Env env, Task& task) {
  if (!task.deferred_) return;
  if (--pending_ == 0) ringer_.Unref(env);
  const Napi::HandleScope scope(env);
  if (task.progress_ && task.progress_->failure_) task.failure_ = task.progress_->failure_;
  if (!task.failure_) {
    try {
      task.deferred_->Resolve(task.result(env));
      return;
    } catch (...) {
      task.failure_ = std::current_exception();
    }
  }
  task.deferred_->Reject(make_error(env, task.failure_).Value());
}

}  // namespace valora::addon
