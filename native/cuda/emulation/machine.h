// The emulated device: runs a grid block by block, a block's threads as fibers in a seeded order.
//
// A warp runs alone until all its lanes wait at the block's barrier or have returned, which is the
// largest skew between warps that a device allows; then the next warp of the shuffled order does.
// Blocks, warps and the ready lanes of a warp are drawn anew each time.
//
// Stricter than a device, where CUDA leaves the outcome open: every thread of a block must reach
// the same __syncthreads (none may have returned), the lanes named in a mask must meet at one line
// with one mask, a shuffle may not ask a lane outside it, and no cp.async may be left unwaited for.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/emulation/counters.h"
#include "cuda/emulation/failure.h"
#include "cuda/emulation/fiber.h"
#include "cuda/emulation/shadow.h"
#include "cuda/emulation/types.h"

namespace valora::emulation {

// Dynamic and static shared memory that a block may have on every architecture that is built for:
// sm_86, 89 and 120 allow 99 KiB (CUDA C++ Programming Guide, compute capabilities).
inline constexpr size_t kSharedLimit = 99 << 10;

struct Options {
  uint64_t seed = 0;
  int64_t l2_bytes = 1 << 20;
  // Whether cp.async copies when it is issued or when it is waited for; by the seed if empty.
  enum class Copies { kBySeed, kAtIssue, kAtWait } copies = Copies::kBySeed;
};

struct LaunchRecord {
  std::string kernel;
  Counters counters;
  std::vector<LineCount> lines;
};

// While one is alive, launches follow its options and are recorded in it; the innermost rules.
class Session {
 public:
  explicit Session(const Options& options = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Options& options() const { return options_; }
  std::vector<LaunchRecord> launches;

 private:
  Options options_;
  Session* outer_;
};

// Runs body once for every thread of the grid. One launch at a time in a process. Throws
// EmulationError, or what the body throws.
void run_grid(const char* name, dim3 grid, dim3 block, size_t shared_bytes,
              const std::function<void()>& body);

// What the running thread can ask of its surroundings. Lanes of one collective hand in their
// operands; the last to arrive computes every lane's result in place.
struct Operands {
  std::array<void*, 32> of{};  // null where the lane is not in the mask
  uint32_t mask = 0;
  template <typename T>
  T& at(int lane) const {
    return *static_cast<T*>(of[lane]);
  }
};
using Complete = void (*)(const Operands&);

struct Thread {
  enum class State { kReady, kAtBlockBarrier, kAtWarp, kReturned };
  // A cp.async that was issued; `group` counts the commits before it.
  struct Copy {
    SharedBlock* block;
    size_t offset;
    const std::byte* source;
    unsigned bytes;  // in shared memory
    unsigned valid;  // of them read from the source, the rest becomes 0
    uint32_t group;
  };

  Fiber fiber;
  uint3 index{};
  int warp = 0;
  int lane = 0;
  State state = State::kReady;
  Site site;
  uint32_t mask = 0;
  void* operand = nullptr;
  Complete complete = nullptr;
  Clocks clocks;
  std::vector<Copy> copies;
  uint32_t committed = 0;
};

Thread& this_thread();
Thread& lane_of_this_warp(int lane);
Meter& meter();
bool copies_at_issue();
void block_barrier(Site site);
void collective(uint32_t mask, Site site, void* operand, Complete complete);
// The block's shared memory: the dynamic part, and the array that belongs to `key`.
SharedBlock& dynamic_block();
SharedBlock& static_block(const void* key, size_t bytes);

}  // namespace valora::emulation
