// Which arrays are on the device, and where.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "cuda/runtime/runtime.h"
#include "cuda/runtime/uploads.h"

namespace valora::cuda {

namespace {

// Enough for the arrays of a pass over a hundred thousand rows.
constexpr int64_t kFirstCapacity = int64_t{16} << 20;

// Plans of a pass: of all rows and of the target rows, forward and backward.
constexpr size_t kPlans = 4;

// An array of up to so many bytes is looked up by its content: such are often made anew in the same
// place, or elsewhere. A longer one is looked up by where it was.
constexpr int64_t kByContent = 4096;

// FNV-1a (Fowler, Noll, Vo), over 8 bytes at a time.
uint64_t hash(uint64_t state, const void* data, int64_t bytes) {
  const auto* from = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    uint64_t word = 0;
    const int64_t part = std::min<int64_t>(bytes, 8);
    std::memcpy(&word, from, static_cast<size_t>(part));
    state = (state ^ word) * 0x100000001b3u;
    state ^= state >> 29;
    from += part;
    bytes -= part;
  }
  return state;
}

template <typename T>
void append(std::vector<uint8_t>& key, const T* values, int64_t count) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values);
  key.insert(key.end(), bytes, bytes + count * static_cast<int64_t>(sizeof(T)));
}

}  // namespace

Uploads::~Uploads() { runtime_.release(memory_); }

void Uploads::reserve(int64_t bytes) {
  if (bytes <= capacity_ - used_) return;
  // Kernels that read the old content were queued before what is about to be written over it.
  entries_.clear();
  used_ = 0;
  if (bytes <= capacity_) return;
  runtime_.release(memory_);
  memory_ = nullptr;
  capacity_ = 0;
  const int64_t wanted = std::max(2 * bytes, kFirstCapacity);
  memory_ = static_cast<uint8_t*>(runtime_.allocate(wanted));
  capacity_ = wanted;
}

void* Uploads::take(int64_t bytes) {
  if (padded(bytes) > capacity_ - used_) {
    throw Error(ErrorCode::kInternal, "cuda: an operation placed more than it had reserved");
  }
  void* place = memory_ + used_;
  used_ += padded(bytes);
  return place;
}

const void* Uploads::place_bytes(const void* from, int64_t bytes) {
  if (bytes == 0) return nullptr;
  uint64_t key = hash(0xcbf29ce484222325u, &bytes, sizeof bytes);
  key = bytes <= kByContent ? hash(key, from, bytes) : hash(key, &from, sizeof from);
  const auto found = entries_.find(key);
  if (found != entries_.end() && static_cast<int64_t>(found->second.bytes.size()) == bytes &&
      std::memcmp(found->second.bytes.data(), from, static_cast<size_t>(bytes)) == 0) {
    return found->second.place;
  }
  void* place = take(bytes);
  runtime_.write(place, from, bytes);
  const auto* content = static_cast<const uint8_t*>(from);
  entries_[key] = {place, std::vector<uint8_t>(content, content + bytes)};
  return place;
}

const AttentionPlan& Uploads::attention_plan(const PathsView& paths, int64_t query_rows,
                                             int64_t key_rows, const AttentionShape& shape,
                                             Compute compute) {
  std::vector<uint8_t> key;
  const int64_t numbers[] = {query_rows,
                             key_rows,
                             shape.heads,
                             shape.kv_heads,
                             static_cast<int64_t>(compute),
                             paths.segment_count,
                             paths.group_count};
  append(key, numbers, std::size(numbers));
  append(key, paths.segments, paths.segment_count);
  append(key, paths.groups, paths.group_count);
  append(key, paths.positions, query_rows);
  const auto found = std::find_if(plans_.begin(), plans_.end(),
                                  [&](const Planned& planned) { return planned.key == key; });
  if (found != plans_.end()) {
    plans_.splice(plans_.begin(), plans_, found);
  } else {
    plans_.push_front({std::move(key), key_rows == 0
                                           ? plan_forward(paths, shape, compute)
                                           : plan_backward(paths, key_rows, shape, compute)});
    if (plans_.size() > kPlans) plans_.pop_back();
  }
  return plans_.front().plan;
}

}  // namespace valora::cuda
