// Emulated streams, events and device memory.
#include "cuda/emulation/runtime.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <set>

#include "cuda/emulation/failure.h"

namespace valora::cuda {

// Work not done yet, each with its number; numbers count from 1.
struct EmulatedStream {
  std::deque<std::function<void()>> queue;
  uint64_t queued = 0;
  uint64_t done = 0;

  void add(std::function<void()> work) {
    queue.push_back(std::move(work));
    ++queued;
  }
  void run_until(uint64_t number) {
    while (done < number && !queue.empty()) {
      const std::function<void()> work = std::move(queue.front());
      queue.pop_front();
      ++done;
      work();
    }
  }
  void drop() {
    queue.clear();
    done = queued;
  }
};

struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  uint64_t number = 0;
};

}  // namespace valora::cuda

namespace valora::emulation {

namespace {

// Every allocation is whole pages of one reserved range, with a page of nothing behind it.
class DeviceMemory {
 public:
  void* allocate(size_t bytes, size_t capacity) {
    if (bytes == 0) bytes = 1;
    if (bytes > capacity || used_ > capacity - bytes) return nullptr;
    if (base_ == nullptr) {
      void* range =
          ::mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) return nullptr;
      base_ = static_cast<std::byte*>(range);
    }
    const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    const size_t span = (bytes + page - 1) / page * page + page;
    std::byte* place = base_;
    for (const auto& [begin, block] : blocks_) {
      if (begin >= place + span) break;
      place = begin + block.span;
    }
    if (place + span > base_ + kRange) return nullptr;
    blocks_[place] = {bytes, span, span - page};
    used_ += bytes;
    open();
    std::memset(place, 0xff, bytes);
    close();
    return place;
  }

  bool release(void* memory) {
    const auto found = blocks_.find(static_cast<std::byte*>(memory));
    if (found == blocks_.end()) return false;
    used_ -= found->second.bytes;
    // Gives the pages back.
    ::mmap(found->first, found->second.span, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    blocks_.erase(found);
    return true;
  }

  bool holds(uint64_t address, size_t bytes) const {
    auto after = blocks_.upper_bound(reinterpret_cast<std::byte*>(address));
    if (after == blocks_.begin()) return false;
    const auto& [begin, block] = *--after;
    const uint64_t offset = address - reinterpret_cast<uint64_t>(begin);
    return offset <= block.bytes && bytes <= block.bytes - offset;
  }

  size_t used() const { return used_; }

  // Access, from one to the other; they nest.
  void open() {
    if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    if (--open_ == 0) protect(PROT_NONE);
  }

 private:
  static constexpr size_t kRange = size_t{1} << 34;
  struct Block {
    size_t bytes, span, pages;
  };
  void protect(int rights) const {
    for (const auto& [begin, block] : blocks_) ::mprotect(begin, block.pages, rights);
  }

  std::byte* base_ = nullptr;
  std::map<std::byte*, Block> blocks_;
  size_t used_ = 0;
  int open_ = 0;
};

}  // namespace

struct Rule {
  std::string call;
  cudaError_t error;
  int after;
  bool lasting;
  bool met = false;
};

// All that there is. Never destroyed: a device may outlive other static data.
struct World {
  std::recursive_mutex mutex;
  std::vector<DeviceSpec> devices = {DeviceSpec{}};
  int current = 0;
  DeviceMemory memory;
  std::map<const std::byte*, size_t> pinned;
  std::set<cuda::EmulatedStream*> streams;
  std::deque<Rule> faults;
  bool strict = false;
};

static World& world() {
  static World* const kWorld = new World;
  return *kWorld;
}

namespace {

// What the call of this name is to answer instead of doing its work.
cudaError_t fault(const char* call) {
  for (Rule& rule : world().faults) {
    if (rule.met && rule.lasting) return rule.error;
    if (rule.met || rule.call != call) continue;
    if (rule.after-- > 0) continue;
    rule.met = true;
    // What was queued on a device that failed does not happen any more: whoever waited for it has
    // given up the memory that it was to arrive in.
    if (rule.lasting || rule.call == "cudaStreamSynchronize") {
      for (cuda::EmulatedStream* stream : world().streams) stream->drop();
    }
    return rule.error;
  }
  return cudaSuccess;
}

bool is_pinned(const void* memory, size_t bytes) {
  const auto* place = static_cast<const std::byte*>(memory);
  auto after = world().pinned.upper_bound(place);
  if (after == world().pinned.begin()) return false;
  const auto& [begin, size] = *--after;
  return place + bytes <= begin + size;
}

}  // namespace

void set_devices(std::vector<DeviceSpec> devices) { world().devices = std::move(devices); }

Fault::Fault(std::string call, cudaError_t error, int after, bool lasting) {
  world().faults.push_back({std::move(call), error, after, lasting});
}
Fault::~Fault() { world().faults.pop_back(); }

StreamLaunch::StreamLaunch(cudaStream_t stream) : strict_(stream != nullptr) {
  if (!strict_) return;
  World& all = world();
  all.mutex.lock();
  status = fault("launch");
  stream->run_until(stream->queued);
  all.strict = true;
  all.memory.open();
}

StreamLaunch::~StreamLaunch() {
  if (!strict_) return;
  World& all = world();
  all.memory.close();
  all.strict = false;
  all.mutex.unlock();
}

void check_global(uint64_t address, size_t bytes) {
  if (!world().strict || world().memory.holds(address, bytes)) return;
  fail(std::to_string(bytes) + " bytes that are in no allocation of the device's memory");
}

size_t device_bytes() { return world().memory.used(); }

}  // namespace valora::emulation

using valora::emulation::World;
using valora::emulation::world;

// Takes the world's lock, and leaves with what a test wants the call to answer.
#define VALORA_CALL(name)                                         \
  World& all = world();                                           \
  const std::lock_guard lock(all.mutex);                          \
  if (const cudaError_t error = valora::emulation::fault(name)) { \
    return error;                                                 \
  }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchOutOfResources:
      return "too many resources requested for launch";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaGetDeviceCount(int* count) {
  VALORA_CALL("cudaGetDeviceCount")
  *count = static_cast<int>(all.devices.size());
  return all.devices.empty() ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  VALORA_CALL("cudaSetDevice")
  if (device < 0 || static_cast<size_t>(device) >= all.devices.size()) {
    return cudaErrorInvalidDevice;
  }
  all.current = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  VALORA_CALL("cudaGetDeviceProperties")
  if (device < 0 || static_cast<size_t>(device) >= all.devices.size()) {
    return cudaErrorInvalidDevice;
  }
  const auto& spec = all.devices[static_cast<size_t>(device)];
  *properties = {};
  spec.name.copy(properties->name, sizeof properties->name - 1);
  properties->totalGlobalMem = spec.bytes;
  properties->major = spec.major;
  properties->minor = spec.minor;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  VALORA_CALL("cudaMemGetInfo")
  *total = all.devices[static_cast<size_t>(all.current)].bytes;
  *free = *total - std::min(*total, all.memory.used());
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  VALORA_CALL("cudaMalloc")
  *memory = all.memory.allocate(bytes, all.devices[static_cast<size_t>(all.current)].bytes);
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

// Waits for everything, as CUDA's does; nothing queued here can still want the memory, since every
// stream's work up to a kernel is done when the kernel is.
cudaError_t cudaFree(void* memory) {
  VALORA_CALL("cudaFree")
  for (valora::cuda::EmulatedStream* stream : all.streams) stream->run_until(stream->queued);
  return memory == nullptr || all.memory.release(memory) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  VALORA_CALL("cudaHostAlloc")
  auto* place = static_cast<std::byte*>(::operator new(bytes, std::align_val_t(256)));
  all.pinned[place] = bytes;
  *memory = place;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  VALORA_CALL("cudaFreeHost")
  for (valora::cuda::EmulatedStream* stream : all.streams) stream->run_until(stream->queued);
  if (all.pinned.erase(static_cast<std::byte*>(memory)) == 0) return cudaErrorInvalidValue;
  ::operator delete(memory, std::align_val_t(256));
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  VALORA_CALL("cudaStreamCreateWithFlags")
  *stream = new valora::cuda::EmulatedStream;
  all.streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  VALORA_CALL("cudaStreamDestroy")
  stream->run_until(stream->queued);
  all.streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  VALORA_CALL("cudaStreamSynchronize")
  stream->run_until(stream->queued);
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  VALORA_CALL("cudaStreamWaitEvent")
  if (event->stream == nullptr) return cudaSuccess;
  stream->add([from = event->stream, number = event->number] { from->run_until(number); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  VALORA_CALL("cudaEventCreateWithFlags")
  *event = new valora::cuda::EmulatedEvent;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  VALORA_CALL("cudaEventDestroy")
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  VALORA_CALL("cudaEventRecord")
  *event = {stream, stream->queued};
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  VALORA_CALL("cudaEventSynchronize")
  if (event->stream != nullptr) event->stream->run_until(event->number);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  VALORA_CALL("cudaMemcpyAsync")
  const auto on_device = [&](const void* place) {
    return all.memory.holds(reinterpret_cast<uint64_t>(place), bytes);
  };
  if ((kind != cudaMemcpyHostToDevice) != on_device(from) ||
      (kind != cudaMemcpyDeviceToHost) != on_device(to)) {
    return cudaErrorInvalidValue;
  }
  stream->add([to, from, bytes] {
    World& all = world();
    all.memory.open();
    std::memcpy(to, from, bytes);
    all.memory.close();
  });
  // Pageable memory has been read, into a buffer of the driver's, when the call returns.
  if (kind == cudaMemcpyHostToDevice && !valora::emulation::is_pinned(from, bytes)) {
    stream->run_until(stream->queued);
  }
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  VALORA_CALL("cudaMemsetAsync")
  if (!all.memory.holds(reinterpret_cast<uint64_t>(memory), bytes)) return cudaErrorInvalidValue;
  stream->add([memory, value, bytes] {
    World& all = world();
    all.memory.open();
    std::memset(memory, value, bytes);
    all.memory.close();
  });
  return cudaSuccess;
}

#undef VALORA_CALL
