// Global and shared memory for the host: pointers that cannot be dereferenced, and the accessors of
// cuda/device.h that check and count.
#pragma once

#include <cstddef>
#include <type_traits>

#include "cuda/emulation/machine.h"
#include "cuda/emulation/runtime.h"

namespace valora::cuda {

template <typename T>
class Global {
 public:
  Global() = default;
  Global(T* address) : address_(address) {}  // a kernel's argument, as it comes from the launcher
  template <typename U>
  requires std::is_same_v<T, const U> Global(const Global<U>& other) : address_(other.address()) {}
  T* address() const { return address_; }
  Global operator+(ptrdiff_t count) const { return Global(address_ + count); }
  explicit operator bool() const { return address_ != nullptr; }

 private:
  T* address_ = nullptr;
};

template <typename T>
class Shared {
 public:
  Shared(emulation::SharedBlock* block, std::byte* address) : block_(block), address_(address) {}
  emulation::SharedBlock& block() const { return *block_; }
  std::byte* address() const { return address_; }
  Shared operator+(ptrdiff_t count) const {
    return Shared(block_, address_ + count * static_cast<ptrdiff_t>(sizeof(T)));
  }

 private:
  emulation::SharedBlock* block_;
  std::byte* address_;
};

template <typename U, typename T>
Shared<U> shared_cast(Shared<T> p) {
  return Shared<U>(&p.block(), p.address());
}

template <typename T, int kBytes = 0>
Shared<T> dynamic_shared() {
  emulation::SharedBlock& block = emulation::dynamic_block();
  if (kBytes > 0 && block.bytes() != kBytes) {
    emulation::fail("launched with " + std::to_string(block.bytes()) +
                    " bytes of dynamic shared memory, where the kernel says " +
                    std::to_string(kBytes));
  }
  return Shared<T>(&block, block.data());
}

template <typename Tag, typename T, int kCount>
Shared<T> static_shared() {
  static const char key = 0;
  emulation::SharedBlock& block = emulation::static_block(&key, sizeof(T) * kCount);
  return Shared<T>(&block, block.data());
}

}  // namespace valora::cuda

namespace valora::emulation {

inline void count(Traffic traffic, Site site, uint64_t address, size_t bytes) {
  if (traffic == Traffic::kGlobalRead || traffic == Traffic::kGlobalWrite) {
    check_global(address, bytes);
  }
  const Thread& thread = this_thread();
  meter().access(traffic, site, thread.warp, thread.lane, address, static_cast<unsigned>(bytes));
}

inline void global_access(Traffic traffic, Site site, const void* address, size_t bytes) {
  const auto number = reinterpret_cast<uintptr_t>(address);
  if (number % bytes != 0) {
    fail("misaligned: " + std::to_string(bytes) + " bytes of global memory at an address that is " +
         std::to_string(number % bytes) + " past a multiple");
  }
  count(traffic, site, number, bytes);
}

}  // namespace valora::emulation

namespace valora::cuda {

template <typename V, typename T>
V load_as(Global<T> p, emulation::Site site = emulation::Site::current()) {
  emulation::global_access(emulation::Traffic::kGlobalRead, site, p.address(), sizeof(V));
  V value;
  std::memcpy(&value, p.address(), sizeof value);
  return value;
}
template <typename V, typename T>
void store_as(Global<T> p, V value, emulation::Site site = emulation::Site::current()) {
  emulation::global_access(emulation::Traffic::kGlobalWrite, site, p.address(), sizeof(V));
  std::memcpy(p.address(), &value, sizeof value);
}
template <typename V, typename T>
V load_as(Shared<T> p, emulation::Site site = emulation::Site::current()) {
  const size_t offset = p.block().offset_of(p.address(), sizeof(V));
  p.block().read(offset, sizeof(V), emulation::this_thread().clocks);
  emulation::count(emulation::Traffic::kSharedRead, site, offset, sizeof(V));
  V value;
  std::memcpy(&value, p.address(), sizeof value);
  return value;
}
template <typename V, typename T>
void store_as(Shared<T> p, V value, emulation::Site site = emulation::Site::current()) {
  const size_t offset = p.block().offset_of(p.address(), sizeof(V));
  p.block().write(offset, sizeof(V), emulation::this_thread().clocks);
  emulation::count(emulation::Traffic::kSharedWrite, site, offset, sizeof(V));
  std::memcpy(p.address(), &value, sizeof value);
}

template <typename T>
std::remove_const_t<T> load(Global<T> p, emulation::Site site = emulation::Site::current()) {
  return load_as<std::remove_const_t<T>>(p, site);
}
template <typename T>
void store(Global<T> p, std::type_identity_t<T> value,
           emulation::Site site = emulation::Site::current()) {
  store_as(p, value, site);
}
template <typename T>
T load(Shared<T> p, emulation::Site site = emulation::Site::current()) {
  return load_as<T>(p, site);
}
template <typename T>
void store(Shared<T> p, std::type_identity_t<T> value,
           emulation::Site site = emulation::Site::current()) {
  store_as(p, value, site);
}

// Both give what was there before. Whole numbers only: sums of float32 would depend on the order.
template <typename T>
T atomic_add(Global<T> p, std::type_identity_t<T> value,
             emulation::Site site = emulation::Site::current()) {
  static_assert(std::is_integral_v<T>);
  emulation::global_access(emulation::Traffic::kGlobalWrite, site, p.address(), sizeof(T));
  const T before = *p.address();
  *p.address() = before + value;
  return before;
}
template <typename T>
T atomic_add(Shared<T> p, std::type_identity_t<T> value,
             emulation::Site site = emulation::Site::current()) {
  static_assert(std::is_integral_v<T>);
  const size_t offset = p.block().offset_of(p.address(), sizeof(T));
  p.block().atomic(offset, sizeof(T), emulation::this_thread().clocks);
  emulation::count(emulation::Traffic::kSharedWrite, site, offset, sizeof(T));
  T before;
  std::memcpy(&before, p.address(), sizeof before);
  const T after = before + value;
  std::memcpy(p.address(), &after, sizeof after);
  return before;
}

}  // namespace valora::cuda
