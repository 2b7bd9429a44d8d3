// The scheduler of a block's threads, its barriers and collectives.
#include "cuda/emulation/machine.h"

#include <algorithm>
#include <mutex>
#include <numeric>

namespace valora::emulation {

uint3 thread_index;
uint3 block_index;
dim3 block_size;
dim3 grid_size;

namespace {

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

std::string place(const Site& site) {
  const std::string file = site.file_name();
  return file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(site.line());
}

bool same_place(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::string_view(a.file_name()) == b.file_name();
}

// One grid as it runs.
class Grid {
 public:
  Grid(const char* name, dim3 grid, dim3 block, size_t shared_bytes,
       const std::function<void()>& body, const Options& options)
      : name_(name),
        grid_(grid),
        block_(block),
        shared_bytes_(shared_bytes),
        body_(body),
        random_(options.seed),
        meter(options.l2_bytes) {
    copies_at_issue = options.copies == Options::Copies::kBySeed
                          ? random_() % 2 == 0
                          : options.copies == Options::Copies::kAtIssue;
  }

  void run();
  std::string where() const;
  void arrive(uint32_t mask, Site site, void* operand, Complete complete);

 private:
  void run_block(unsigned index);
  void run_warp(int warp);
  void release_barrier();
  [[noreturn]] void report_stuck(const Thread& thread) const;
  template <typename T>
  void shuffle(std::vector<T>& list) {
    // Not std::shuffle, whose draws differ between libraries.
    for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random_() % i]);
  }

  const char* name_;
  dim3 grid_, block_;
  size_t shared_bytes_;
  const std::function<void()>& body_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Thread>> threads_;

 public:
  Meter meter;
  bool copies_at_issue;
  Thread* running = nullptr;
  Thread& thread(int index) { return *threads_[index]; }
  std::unique_ptr<SharedBlock> dynamic;
  std::map<const void*, std::unique_ptr<SharedBlock>> statics;
  size_t shared_used = 0;
};

Grid* current = nullptr;
Session* session = nullptr;
std::mutex one_launch;

void Grid::run() {
  const size_t threads = size_t{block_.x} * block_.y * block_.z;
  if (threads == 0 || threads > 1024) fail("a block of " + std::to_string(threads) + " threads");
  if (grid_.x == 0 || grid_.y == 0 || grid_.z == 0) fail("an empty grid");
  if (grid_.x > 0x7fffffffu || grid_.y > 65535 || grid_.z > 65535) fail("the grid is too large");
  if (shared_bytes_ > kSharedLimit) {
    fail(std::to_string(shared_bytes_) + " bytes of shared memory, and a block may have " +
         std::to_string(kSharedLimit));
  }
  block_size = block_;
  grid_size = grid_;
  for (size_t i = 0; i < threads; ++i) {
    threads_.push_back(std::make_unique<Thread>());
    Thread& thread = *threads_.back();
    const auto n = static_cast<unsigned>(i);
    thread.index = {n % block_.x, n / block_.x % block_.y, n / (block_.x * block_.y)};
    thread.warp = static_cast<int>(i / 32);
    thread.lane = static_cast<int>(i % 32);
  }
  std::vector<unsigned> order(size_t{grid_.x} * grid_.y * grid_.z);
  std::iota(order.begin(), order.end(), 0u);
  shuffle(order);
  for (const unsigned index : order) run_block(index);
  meter.end_launch();
}

void Grid::run_block(unsigned index) {
  block_index = {index % grid_.x, index / grid_.x % grid_.y, index / (grid_.x * grid_.y)};
  dynamic = std::make_unique<SharedBlock>(shared_bytes_);
  statics.clear();
  shared_used = shared_bytes_;
  for (size_t i = 0; i < threads_.size(); ++i) {
    Thread& thread = *threads_[i];
    thread.state = Thread::State::kReady;
    thread.clocks = {};
    thread.clocks.thread = static_cast<int>(i);
    thread.clocks.seen[i % 32] = 1;
    thread.copies.clear();
    thread.committed = 0;
    thread.fiber.start([](void* body) { (*static_cast<const std::function<void()>*>(body))(); },
                       const_cast<std::function<void()>*>(&body_));
  }
  std::vector<int> warps((threads_.size() + 31) / 32);
  std::iota(warps.begin(), warps.end(), 0);
  const auto returned = [](const auto& thread) {
    return thread->state == Thread::State::kReturned;
  };
  while (true) {
    shuffle(warps);
    for (const int warp : warps) run_warp(warp);
    if (std::all_of(threads_.begin(), threads_.end(), returned)) break;
    release_barrier();
  }
  meter.end_block();
}

// Until every lane is at the block's barrier or has returned.
void Grid::run_warp(int warp) {
  const int begin = warp * 32;
  const int end = std::min<int>(begin + 32, static_cast<int>(threads_.size()));
  std::vector<int> ready;
  while (true) {
    ready.clear();
    for (int i = begin; i < end; ++i) {
      if (threads_[i]->state == Thread::State::kReady) ready.push_back(i);
    }
    if (ready.empty()) break;
    shuffle(ready);
    for (const int i : ready) {
      running = threads_[i].get();
      thread_index = running->index;
      running->fiber.resume();
      if (running->fiber.done()) {
        if (!running->copies.empty()) fail("returns with a cp.async on its way");
        running->state = Thread::State::kReturned;
      }
      running = nullptr;
    }
  }
  for (int i = begin; i < end; ++i) {
    if (threads_[i]->state == Thread::State::kAtWarp) report_stuck(*threads_[i]);
  }
}

void Grid::report_stuck(const Thread& thread) const {
  std::string missing;
  for (int lane = 0; lane < 32; ++lane) {
    const size_t i = static_cast<size_t>(thread.warp) * 32 + lane;
    if ((thread.mask >> lane & 1) == 0) continue;
    if (i < threads_.size() && threads_[i]->state == Thread::State::kAtWarp) continue;
    const char* why = i >= threads_.size() ? "is not there"
                      : threads_[i]->state == Thread::State::kReturned
                          ? "has returned"
                          : "waits at the block's barrier";
    missing = "lane " + std::to_string(lane) + " " + why;
  }
  fail("lane " + std::to_string(thread.lane) + " of warp " + std::to_string(thread.warp) +
       " waits at " + place(thread.site) + " with mask " + hex(thread.mask) + ", but " + missing);
}

void Grid::release_barrier() {
  const Thread* first = nullptr;
  for (const auto& thread : threads_) {
    if (thread->state == Thread::State::kAtBlockBarrier) first = thread.get();
  }
  for (const auto& thread : threads_) {
    if (thread->state == Thread::State::kReturned) {
      fail("threads wait at the barrier of " + place(first->site) + ", but thread " +
           std::to_string(thread->clocks.thread) + " has returned");
    }
    if (!same_place(thread->site, first->site)) {
      fail("threads wait at different barriers: " + place(first->site) + " and " +
           place(thread->site));
    }
  }
  ++meter.counters.block_barriers;
  for (const auto& thread : threads_) {
    ++thread->clocks.epoch;
    thread->state = Thread::State::kReady;
  }
}

void Grid::arrive(uint32_t mask, Site site, void* operand, Complete complete) {
  Thread& me = *running;
  if ((mask >> me.lane & 1) == 0) {
    fail("the mask " + hex(mask) + " at " + place(site) + " lacks the lane itself");
  }
  me.state = Thread::State::kAtWarp;
  me.mask = mask;
  me.site = site;
  me.operand = operand;
  me.complete = complete;
  Operands operands;
  operands.mask = mask;
  bool all = true;
  for (int lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    const size_t i = static_cast<size_t>(me.warp) * 32 + lane;
    if (i >= threads_.size() || threads_[i]->state != Thread::State::kAtWarp) {
      all = false;
      continue;
    }
    const Thread& other = *threads_[i];
    if (other.mask != mask || !same_place(other.site, site) || other.complete != complete) {
      fail("at " + place(site) + " with mask " + hex(mask) + ", but lane " + std::to_string(lane) +
           " waits at " + place(other.site) + " with mask " + hex(other.mask));
    }
    operands.of[lane] = other.operand;
  }
  if (all) {
    complete(operands);
    for (int lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) != 0) {
        threads_[static_cast<size_t>(me.warp) * 32 + lane]->state = Thread::State::kReady;
      }
    }
  }
  Fiber::wait();
}

std::string Grid::where() const {
  std::string text = std::string(" (kernel ") + name_;
  if (running != nullptr) {
    text += ", block " + std::to_string(block_index.x) + "," + std::to_string(block_index.y) + "," +
            std::to_string(block_index.z) + ", warp " + std::to_string(running->warp) + ", lane " +
            std::to_string(running->lane);
  }
  return text + ")";
}

}  // namespace

void fail(const std::string& what) {
  throw EmulationError(what + (current == nullptr ? "" : current->where()));
}

Session::Session(const Options& options) : options_(options), outer_(session) { session = this; }
Session::~Session() { session = outer_; }

void run_grid(const char* name, dim3 grid, dim3 block, size_t shared_bytes,
              const std::function<void()>& body) {
  const std::lock_guard lock(one_launch);
  Grid running(name, grid, block, shared_bytes, body,
               session == nullptr ? Options{} : session->options());
  struct Current {
    explicit Current(Grid* grid) { current = grid; }
    ~Current() { current = nullptr; }
  } scope(&running);
  running.run();
  if (session != nullptr) {
    session->launches.push_back({name, running.meter.counters, running.meter.lines()});
  }
}

Thread& this_thread() { return *current->running; }
Thread& lane_of_this_warp(int lane) { return current->thread(this_thread().warp * 32 + lane); }
Meter& meter() { return current->meter; }
bool copies_at_issue() { return current->copies_at_issue; }

void block_barrier(Site site) {
  this_thread().state = Thread::State::kAtBlockBarrier;
  this_thread().site = site;
  Fiber::wait();
}

void collective(uint32_t mask, Site site, void* operand, Complete complete) {
  current->arrive(mask, site, operand, complete);
}

SharedBlock& dynamic_block() { return *current->dynamic; }

SharedBlock& static_block(const void* key, size_t bytes) {
  auto& block = current->statics[key];
  if (block == nullptr) {
    current->shared_used += bytes;
    if (current->shared_used > kSharedLimit) fail("the block's shared memory is too large");
    block = std::make_unique<SharedBlock>(bytes);
  }
  return *block;
}

}  // namespace valora::emulation
